/**
 * While a simulated run is on, the machine's own time and chance are out of bounds: whoever asks
 * for them gets an error with a name, not a run that cannot be replayed.
 */
import { AssertionError } from '../base/index.js';

/** Runs `body` with the machine's clocks, timers and random numbers throwing. */
export function withoutMachine<T>(body: () => T): T {
  const restores = [
    forbid(Date, 'now', 'Date.now'),
    forbid(Math, 'random', 'Math.random'),
    forbid(performance, 'now', 'performance.now'),
    forbid(crypto, 'randomUUID', 'crypto.randomUUID'),
    forbid(globalThis, 'setTimeout', 'setTimeout'),
    forbid(globalThis, 'setInterval', 'setInterval'),
    forbid(globalThis, 'setImmediate', 'setImmediate'),
  ];
  try {
    return body();
  } finally {
    for (const restore of restores.reverse()) restore();
  }
}

/** Replaces a global function; returns what puts it back. */
function forbid(owner: object, key: string, name: string): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, key);
  Object.defineProperty(owner, key, {
    configurable: true,
    writable: true,
    value: () => {
      throw new AssertionError(`${name} was called inside a simulated run`);
    },
  });
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, key);
    else Object.defineProperty(owner, key, before);
  };
}
