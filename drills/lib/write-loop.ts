/**
 * One client that writes one command after the other, as fast as they are acknowledged, and tells
 * when each was sent and how it ended. Keeps nothing itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface WriteEnd {
  /** From 0. */
  readonly count: number;
  /** performance.now() at the call and at its end. */
  readonly sentMs: number;
  readonly endedMs: number;
  /** What was thrown; undefined: acknowledged. */
  readonly error: unknown;
}

/** After a failure, before the next try: a client that spins would be the load. */
const AFTER_FAILURE_MS = 5;

export interface WriteLoopOptions {
  /** One attempt of the client to have one command acknowledged, retries included. */
  readonly write: (count: number) => Promise<void>;
  /** What it throws ends the loop, and `stop` rejects with it. */
  readonly onEnd: (end: WriteEnd) => void;
  /** Rest between a write and the next one. */
  readonly pauseMs?: number;
}

export class WriteLoop {
  readonly #options: WriteLoopOptions;
  #isStopped = false;
  #loop: Promise<void> | undefined;

  constructor(options: WriteLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** The write that is under way ends first. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { write, onEnd, pauseMs = 0 } = this.#options;
    for (let count = 0; !this.#isStopped; count += 1) {
      const sentMs = performance.now();
      let error: unknown;
      try {
        await write(count);
      } catch (thrown) {
        error = thrown ?? new Error('nothing was said');
      }
      onEnd({ count, sentMs, endedMs: performance.now(), error });
      const restMs = error === undefined ? pauseMs : Math.max(pauseMs, AFTER_FAILURE_MS);
      if (restMs > 0) await sleep(restMs);
    }
  }
}
