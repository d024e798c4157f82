/**
 * The clock of one simulated node: it runs a little fast or slow, began anywhere, and may be made
 * to jump. Time is the cluster's virtual clock.
 */
import type { Ms, Rng, VirtualClock } from '../base/index.js';

/** How far a clock may be off: one part in a hundred, far more than a real one. */
const DRIFT = 0.01;
const OFFSET_MS_MAX: Ms = 1_000_000;

export class NodeClock {
  readonly #clock: VirtualClock;
  readonly #rate: number;
  #offset: Ms;
  #wallOffset: Ms = 0;

  constructor(clock: VirtualClock, rng: Rng) {
    this.#clock = clock;
    this.#rate = 1 - DRIFT + rng.fork('clock').float() * 2 * DRIFT;
    this.#offset = rng.fork('offset').int(OFFSET_MS_MAX);
  }

  /** What timers go by. */
  now(): Ms {
    return this.#offset + this.#clock.now() * this.#rate;
  }

  /** What entries are stamped with. */
  wall(): Ms {
    return this.#clock.wall() + this.#wallOffset;
  }

  jump(localMs: Ms, wallMs: Ms): void {
    this.#offset += localMs;
    this.#wallOffset += wallMs;
  }

  /** The virtual time at which this clock will show `local`. */
  whenItReads(local: Ms): Ms {
    // A hair later, so that rounding never makes it ring before its time.
    return (local - this.#offset) / this.#rate + 0.001;
  }
}
