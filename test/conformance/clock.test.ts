/** What every Clock promises, asked of the machine's and of the virtual one. */
import t from 'tap';
import {
  type Clock,
  createRealClock,
  isIdunnoError,
  VirtualClock,
  withTimeout,
} from '../../src/base/index.js';

interface Subject {
  readonly clock: Clock;
  /** Waits for the promise, letting time pass. */
  until<T>(promise: Promise<T>): Promise<T>;
}

const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  'the real clock': () => ({ clock: createRealClock(), until: (promise) => promise }),
  'the virtual clock': () => {
    const clock = new VirtualClock();
    return { clock, until: (promise) => clock.runUntil(promise) };
  },
};

for (const [name, create] of Object.entries(SUBJECTS)) {
  t.test(`${name}: a timer never fires early`, async (t) => {
    const { clock, until } = create();
    for (const delayMs of [0, 0.4, 1, 3.7, 12]) {
      const start = clock.now();
      const firedAt = await until(
        new Promise<number>((resolve) => clock.setTimer(delayMs, () => resolve(clock.now()))),
      );
      t.ok(firedAt - start >= delayMs, `${delayMs} ms took ${firedAt - start}`);
    }
  });

  t.test(`${name}: a cancelled timer never fires, and cancelling again is harmless`, async (t) => {
    const { clock, until } = create();
    let isFired = false;
    const timer = clock.setTimer(1, () => {
      isFired = true;
    });
    timer.cancel();
    timer.cancel();
    await until(clock.sleep(5));
    t.notOk(isFired);
  });

  t.test(`${name}: the earlier of two timers fires first`, async (t) => {
    const { clock, until } = create();
    const order: string[] = [];
    clock.setTimer(20, () => order.push('later'));
    clock.setTimer(2, () => order.push('sooner'));
    await until(clock.sleep(30));
    t.same(order, ['sooner', 'later']);
  });

  t.test(`${name}: sleep ends with the signal's reason when it aborts`, async (t) => {
    const { clock, until } = create();
    const controller = new AbortController();
    const asleep = clock.sleep(1_000_000, controller.signal);
    clock.setTimer(1, () => controller.abort(new Error('enough')));
    await t.rejects(until(asleep), { message: 'enough' });
    await t.rejects(clock.sleep(1, controller.signal), { message: 'enough' }, 'aborted before');
  });

  t.test(`${name}: withTimeout passes on the outcome, or TIMEOUT`, async (t) => {
    const { clock, until } = create();
    t.equal(await until(withTimeout(clock, Promise.resolve(7), 1000, 'work')), 7);
    const never = new Promise<void>(() => undefined);
    const error = await until(withTimeout(clock, never, 2, 'the work').catch((e: unknown) => e));
    t.ok(isIdunnoError(error, 'TIMEOUT'));
    t.match(String(error), /the work did not end within 2 ms/);
  });

  t.test(`${name}: wall time is whole milliseconds and goes on`, async (t) => {
    const { clock, until } = create();
    const before = clock.wall();
    await until(clock.sleep(5));
    t.ok(Number.isInteger(before));
    t.ok(clock.wall() >= before + 4);
  });
}
