/**
 * The deadlines of many calls on one timer. Calls come by the ten thousand per second and nearly
 * all end long before their time, so a timer each would be work for nothing. The timer is armed
 * for the earliest deadline known; when it fires it looks at all, which happens about once per
 * timeout. Nothing wakes an idle connection.
 */
import type { Clock, Ms, Timer } from '../base/index.js';

export interface Expiring {
  /** May be put off while it waits, never brought forward. */
  readonly deadlineMs: Ms;
  /** Called once, after the item was removed. */
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #items = new Set<Expiring>();
  #timer: Timer | undefined;
  #firesAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(item: Expiring): void {
    this.#items.add(item);
    if (item.deadlineMs < this.#firesAtMs) this.#arm(item.deadlineMs);
  }

  delete(item: Expiring): void {
    this.#items.delete(item);
  }

  stop(): void {
    this.#items.clear();
    this.#timer?.cancel();
  }

  #arm(atMs: Ms): void {
    this.#timer?.cancel();
    this.#firesAtMs = atMs;
    this.#timer = this.#clock.setTimer(atMs - this.#clock.now(), () => this.#fire());
  }

  #fire(): void {
    this.#firesAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.now();
    let nextMs = Number.POSITIVE_INFINITY;
    const expired: Expiring[] = [];
    for (const item of this.#items) {
      if (item.deadlineMs <= nowMs) expired.push(item);
      else nextMs = Math.min(nextMs, item.deadlineMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(nextMs);
    for (const item of expired) if (this.#items.delete(item)) item.expire();
  }
}
