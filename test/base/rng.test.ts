/** Chance that can be repeated. */
import t from 'tap';
import { createSeededRng, createSystemRng } from '../../src/base/index.js';

const first = (seed: number | string, count = 5) => {
  const rng = createSeededRng(seed);
  return Array.from({ length: count }, () => rng.nextU32());
};

t.test('one seed gives one stream, on every machine', async (t) => {
  t.same(first(1), first(1));
  t.same(first(1), first('1'));
  t.not(first(1)[0], first(2)[0]);
  // Written down: a change of the generator would silently change every recorded seed.
  t.same(first(1, 3), [986517678, 2672681029, 625981019]);
});

t.test('forks depend on the seed and their name, not on what was drawn', async (t) => {
  const fresh = createSeededRng(1);
  const used = createSeededRng(1);
  for (let i = 0; i < 100; i++) used.nextU32();
  t.equal(fresh.fork('disk').nextU32(), used.fork('disk').nextU32());
  t.not(fresh.fork('disk').nextU32(), fresh.fork('net').nextU32());
  t.not(fresh.fork('disk').nextU32(), fresh.fork('disk').fork('disk').nextU32());
});

t.test('integers are in their range, and evenly spread', async (t) => {
  const rng = createSeededRng('even');
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 20_000; i++) {
    const value = rng.int(10);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  t.equal(
    counts.reduce((sum, n) => sum + n, 0),
    20_000,
  );
  for (const count of counts) t.ok(Math.abs(count - 2000) < 200, `${count} of about 2000`);
  t.equal(rng.int(1), 0);
  for (let i = 0; i < 1000; i++) {
    const large = rng.int(2 ** 50);
    if (!Number.isSafeInteger(large) || large >= 2 ** 50) t.fail(String(large));
  }
  t.throws(() => rng.int(0), /cannot draw/);
  t.throws(() => rng.int(1.5), /cannot draw/);
});

t.test('floats are in [0, 1) with their mean in the middle', async (t) => {
  const rng = createSeededRng('float');
  let sum = 0;
  for (let i = 0; i < 20_000; i++) {
    const value = rng.float();
    if (value < 0 || value >= 1) t.fail(String(value));
    sum += value;
  }
  t.ok(Math.abs(sum / 20_000 - 0.5) < 0.01);
});

t.test('the system’s chance differs from process to process', async (t) => {
  t.not(createSystemRng().nextU32(), createSystemRng().nextU32());
});
