/** Time that passes when it is told to. */
import t from 'tap';
import { createSeededRng, VirtualClock } from '../../src/base/index.js';

t.test('timers fire in order of their time, and of their making where that is equal', async (t) => {
  const clock = new VirtualClock();
  const rng = createSeededRng('timers');
  const fired: [number, number][] = [];
  const expected: [number, number][] = [];
  for (let i = 0; i < 500; i++) {
    const at = rng.int(50);
    const timer = clock.setTimer(at, () => fired.push([at, i]));
    if (rng.int(4) === 0) timer.cancel();
    else expected.push([at, i]);
  }
  t.equal(clock.pending, expected.length);
  clock.advance(50);
  expected.sort(([a, i], [b, j]) => a - b || i - j);
  t.same(fired, expected);
  t.equal(clock.pending, 0);
});

t.test('advance stops exactly where told, and fires what was set on the way', async (t) => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  const again = () => {
    fired.push(clock.now());
    clock.setTimer(10, again);
  };
  clock.setTimer(10, again);
  clock.advance(35);
  t.same(fired, [10, 20, 30]);
  t.equal(clock.now(), 35);
  t.equal(clock.nextDueMs, 40);
  t.ok(clock.runNext());
  t.equal(clock.now(), 40);
});

t.test('a wait for the rest of a time ends, whatever the rounding', async (t) => {
  const clock = new VirtualClock();
  clock.advance(1000.1);
  const start = clock.now();
  let rounds = 0;
  const wait = () => {
    const rest = 3.7 - (clock.now() - start);
    if (rest > 0 && ++rounds < 100) clock.setTimer(rest, wait);
  };
  wait();
  while (clock.runNext());
  t.equal(rounds, 1);
});

t.test('runUntil lets promises settle between timers, and gives up with TIMEOUT', async (t) => {
  const clock = new VirtualClock();
  const work = async () => {
    for (let i = 0; i < 10; i++) await clock.sleep(100);
    return clock.now();
  };
  t.equal(await clock.runUntil(work()), 1000);
  await t.rejects(clock.runUntil(clock.sleep(5000), 1000), { code: 'TIMEOUT' });
  await t.rejects(new VirtualClock().runUntil(new Promise(() => undefined)), {
    message: /nothing is left to happen/,
  });
  await t.rejects(clock.runUntil(Promise.reject(new Error('failed'))), { message: 'failed' });
});

t.test('a timer cancelled by another in the same moment does not fire', async (t) => {
  const clock = new VirtualClock();
  let isFired = false;
  clock.setTimer(5, () => second.cancel());
  const second = clock.setTimer(5, () => {
    isFired = true;
  });
  clock.advance(5);
  t.notOk(isFired);
  t.notOk(clock.runNext());
});
