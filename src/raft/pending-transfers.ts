/**
 * Callers that wait until leadership has been handed over, each with a bound: a target that does
 * not take over must not keep anybody from stopping.
 */
import type { Clock, Ms, NodeId } from '../base/index.js';

const TRANSFER_TIMEOUT_MS: Ms = 5_000;

export class PendingTransfers {
  readonly #clock: Clock;
  #waiting: ((to: NodeId | undefined) => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves with the new leader, or undefined where nobody took over in time. */
  begin(feed: () => void): Promise<NodeId | undefined> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(TRANSFER_TIMEOUT_MS, () => resolve(undefined));
      this.#waiting.push((leader) => {
        timer.cancel();
        resolve(leader);
      });
      feed();
    });
  }

  onDone(to: NodeId | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(to);
  }
}
