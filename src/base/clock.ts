/**
 * What every clock shares, and the two waits that the house is built of. Nothing here reads the
 * machine's time: it comes from the Clock that is passed in.
 */
import { IdunnoError } from './errors.js';
import type { Ms } from './ids.js';
import type { Clock } from './runtime.js';

/** Resolves after the delay; rejects with the signal's reason as soon as it aborts. */
export function sleepOn(clock: Clock, delayMs: Ms, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * The promise's own outcome, or TIMEOUT with `what` in its text. The promise goes on: pass its
 * maker a signal where it can be stopped.
 */
export function withTimeout<T>(
  clock: Clock,
  promise: Promise<T>,
  timeoutMs: Ms,
  what: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(timeoutMs, () => {
      reject(new IdunnoError('TIMEOUT', `${what} did not end within ${timeoutMs} ms`));
    });
    promise.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
