/**
 * The machine's clock. It promises what Node's timers do not: a timer never fires before its time
 * by `now()` (libuv rounds to whole milliseconds and may be one early), and delays beyond 2^31 ms
 * work. Timers that have nothing left to do must be cancelled: they keep the process alive.
 */
import { performance } from 'node:perf_hooks';
import { sleepOn } from './clock.js';
import type { Ms } from './ids.js';
import type { Clock, Timer } from './runtime.js';

/** setTimeout's own bound, about 24.8 days. */
const DELAY_MAX_MS = 2 ** 31 - 1;

class RealTimer implements Timer {
  readonly #dueMs: Ms;
  readonly #fire: () => void;
  #handle: NodeJS.Timeout | undefined;

  constructor(delayMs: Ms, fire: () => void) {
    const delay = Math.max(0, delayMs);
    this.#dueMs = performance.now() + delay;
    this.#fire = fire;
    this.#arm(delay);
  }

  #arm(delayMs: Ms): void {
    this.#handle = setTimeout(
      () => {
        const early = this.#dueMs - performance.now();
        if (early > 0) return this.#arm(early);
        this.#handle = undefined;
        this.#fire();
      },
      Math.min(Math.ceil(delayMs), DELAY_MAX_MS),
    );
  }

  cancel(): void {
    clearTimeout(this.#handle);
    this.#handle = undefined;
  }
}

export function createRealClock(): Clock {
  const clock: Clock = {
    now: () => performance.now(),
    wall: () => Date.now(),
    setTimer: (delayMs, fire) => new RealTimer(delayMs, fire),
    sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
  };
  return clock;
}
