/**
 * Lifeguard's local health (§IV.A): a node that hears nothing, or has to defend itself, is more
 * likely to be ill itself than all others together. Its score stretches the suspicions that it
 * raises, and nothing else: a healthy accuser keeps the deadline, however few confirm it.
 *
 * One difference to the paper: it adds one for each missing nack. When neighbours crash together,
 * helpers are missing through no fault of the accuser, and the deadline would be lost just then.
 * Here a probe counts against the prober only if it heard from nobody at all meanwhile.
 */
import { HEALTH_MAX } from './config.js';

export class LocalHealth {
  #score = 0;

  /** 0 = healthy, at most 7. */
  get score(): number {
    return this.#score;
  }

  /** Factor by which this node's own accusations must wait longer. */
  get stretch(): number {
    return 1 + this.#score;
  }

  /** It was probed in silence, overslept, or was accused itself. */
  worsen(): void {
    this.#score = Math.min(HEALTH_MAX, this.#score + 1);
  }

  /** A probe of it was answered in time. */
  improve(): void {
    this.#score = Math.max(0, this.#score - 1);
  }
}
