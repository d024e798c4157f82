/**
 * Keeps the heartbeat lane to a peer open for as long as its control connection is. The lane
 * carries a few small messages, and nothing may queue in front of them; where it cannot be had they
 * travel on the control connection, so its loss is never more than a loss of speed.
 *
 * An open lane is asked for a sign of life again and again: one that swallows what it is given,
 * beside a control connection that works, would keep every election from ending. Its end may be
 * the first sign that the peer's process is gone: reconnecting at once is refused then. That is
 * reported, and nothing else is concluded from this lane.
 */
import { type Clock, isIdunnoError, type Ms, type Timer } from '../base/index.js';

export interface LaneKeeperHost {
  readonly clock: Clock;
  /** Opens the lane; resolves when there is one. Throws why not. */
  open(): Promise<unknown>;
  isOpen(): boolean;
  /** It must show life, or it is closed. */
  doubt(): void;
  /** The peer is kept, and its control connection is there. */
  isWanted(): boolean;
  /** A lane that was open ended, and the peer's machine refuses another. */
  onRefused(): void;
}

/** First wait after a failure: a dying process's backlog accepts and resets for so long. */
const BACK_OFF_MIN_MS: Ms = 2;
/** The lane may be refused for good, by an older version: asking again costs next to nothing. */
const BACK_OFF_MAX_MS: Ms = 1_000;
/** Followers say nothing to each other for hours. */
const CHECK_EVERY_MS: Ms = 1_000;
/** The node whose name comes later lets the other dial first: mostly one connection is made. */
const YIELD_MS: Ms = 100;

export class LaneKeeper {
  readonly #host: LaneKeeperHost;
  readonly #dialsFirst: boolean;
  #backOffMs = BACK_OFF_MIN_MS;
  #timer: Timer | undefined;
  #isDialing = false;
  #isLost = false;

  constructor(host: LaneKeeperHost, dialsFirst: boolean) {
    this.#host = host;
    this.#dialsFirst = dialsFirst;
  }

  /** It may be wanted from now on. */
  want(): void {
    if (this.#host.isOpen() || !this.#host.isWanted()) return;
    this.#dialAfter(this.#dialsFirst ? 0 : YIELD_MS);
  }

  onOpen(): void {
    this.stop();
    this.#backOffMs = BACK_OFF_MIN_MS;
    this.#isLost = false;
    this.#checkLater();
  }

  /**
   * The last connection of the lane closed. A moment later its control connection mostly has too,
   * since the process is gone or ends: then there is nothing to open.
   */
  onLost(): void {
    this.#isLost = true;
    if (this.#host.isWanted()) this.#dialAfter(BACK_OFF_MIN_MS);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #checkLater(): void {
    this.#timer = this.#host.clock.setTimer(CHECK_EVERY_MS, () => {
      this.#timer = undefined;
      if (!this.#host.isOpen()) return;
      this.#host.doubt();
      this.#checkLater();
    });
  }

  #dialAfter(delayMs: Ms): void {
    this.stop();
    this.#timer = this.#host.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      void this.#dial();
    });
  }

  async #dial(): Promise<void> {
    if (this.#isDialing || this.#host.isOpen() || !this.#host.isWanted()) return;
    this.#isDialing = true;
    try {
      await this.#host.open();
      this.#isDialing = false;
    } catch (error) {
      this.#isDialing = false;
      const isRefused = isIdunnoError(error) && error.data['reason'] === 'refused';
      if (isRefused && this.#isLost && this.#host.isWanted()) this.#host.onRefused();
      if (this.#timer !== undefined || !this.#host.isWanted() || this.#host.isOpen()) return;
      this.#dialAfter(this.#backOffMs);
      this.#backOffMs = Math.min(BACK_OFF_MAX_MS, 2 * this.#backOffMs);
    }
  }
}
