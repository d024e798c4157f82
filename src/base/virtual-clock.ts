/**
 * Time that passes only when told to: the clock of tests and of the simulator. Timers fire in
 * order of their due time, and of their creation where that is equal, so a run is repeatable.
 *
 * `advance` and `runNext` are synchronous: they suit pure drivers. Code that awaits needs its
 * promises settled between two timers: `advanceSettled` and `runUntil` do that.
 */
import { assert } from './assert.js';
import { sleepOn } from './clock.js';
import { IdunnoError } from './errors.js';
import type { Ms } from './ids.js';
import type { Clock, Timer } from './runtime.js';

interface Entry {
  readonly dueMs: Ms;
  readonly order: number;
  fire: (() => void) | undefined;
}

/** An arbitrary but fixed moment: Tuesday, 14 November 2023. */
const WALL_ORIGIN_MS = 1_700_000_000_000;

/** Lets everything that waits on promises, but not on timers or real I/O, run to its next wait. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class VirtualClock implements Clock {
  /** A binary heap by (due, order); cancelled entries stay until they surface. */
  readonly #heap: Entry[] = [];
  readonly #wallOriginMs: Ms;
  #nowMs: Ms = 0;
  #order = 0;
  #live = 0;

  constructor(wallOriginMs: Ms = WALL_ORIGIN_MS) {
    this.#wallOriginMs = wallOriginMs;
  }

  now(): Ms {
    return this.#nowMs;
  }

  wall(): Ms {
    return Math.floor(this.#wallOriginMs + this.#nowMs);
  }

  setTimer(delayMs: Ms, fire: () => void): Timer {
    assert(!Number.isNaN(delayMs), 'a timer needs a delay');
    const dueMs = this.#nowMs + onGrid(delayMs);
    const entry: Entry = { dueMs, order: this.#order++, fire };
    this.#push(entry);
    this.#live++;
    return {
      cancel: () => {
        if (entry.fire === undefined) return;
        entry.fire = undefined;
        this.#live--;
      },
    };
  }

  sleep(delayMs: Ms, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** Timers that are neither fired nor cancelled. */
  get pending(): number {
    return this.#live;
  }

  /** When the next timer is due; undefined when there is none. */
  get nextDueMs(): Ms | undefined {
    this.#dropCancelled();
    return this.#heap[0]?.dueMs;
  }

  /** Goes to the next timer and fires it; false when there is none. */
  runNext(): boolean {
    this.#dropCancelled();
    const entry = this.#pop();
    if (entry?.fire === undefined) return false;
    assert(entry.dueMs >= this.#nowMs, 'a timer lies in the past');
    this.#nowMs = entry.dueMs;
    const fire = entry.fire;
    entry.fire = undefined;
    this.#live--;
    fire();
    return true;
  }

  /** Lets `ms` pass, firing what becomes due on the way, also timers set meanwhile. */
  advance(ms: Ms): void {
    assert(ms >= 0, 'time does not go back');
    const until = this.#nowMs + onGrid(ms);
    for (let due = this.nextDueMs; due !== undefined && due <= until; due = this.nextDueMs) {
      this.runNext();
    }
    this.#nowMs = until;
  }

  /** Like `advance`, with all promises settled before and after each timer. */
  async advanceSettled(ms: Ms): Promise<void> {
    assert(ms >= 0, 'time does not go back');
    const until = this.#nowMs + onGrid(ms);
    await settle();
    for (let due = this.nextDueMs; due !== undefined && due <= until; due = this.nextDueMs) {
      this.runNext();
      await settle();
    }
    this.#nowMs = until;
  }

  /** Lets time pass until the promise settles; TIMEOUT after `limitMs` of virtual time. */
  async runUntil<T>(promise: Promise<T>, limitMs: Ms = 600_000): Promise<T> {
    const until = this.#nowMs + onGrid(limitMs);
    let settled = false;
    const mark = () => {
      settled = true;
    };
    promise.then(mark, mark);
    await settle();
    while (!settled) {
      const due = this.nextDueMs;
      if (due === undefined || due > until) {
        const why = due === undefined ? 'nothing is left to happen' : `${limitMs} ms have passed`;
        throw new IdunnoError('TIMEOUT', `the awaited event did not come: ${why}`);
      }
      this.runNext();
      await settle();
    }
    return promise;
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0]?.fire === undefined) this.#pop();
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let child = heap.length;
    heap.push(entry);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, entry)) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let parent = 0;
    for (;;) {
      let child = parent * 2 + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      let smaller = left;
      if (right !== undefined && isBefore(right, left)) {
        smaller = right;
        child++;
      }
      if (isBefore(last, smaller)) break;
      heap[parent] = smaller;
      parent = child;
    }
    heap[parent] = last;
    return top;
  }
}

/**
 * Time moves in steps of 1/1024 ms, which binary fractions hold exactly: a timer of `d` is seen to
 * have taken at least `d`. With rounding errors, code that waits for the rest would wait for
 * 1e-16 ms, for ever.
 */
function onGrid(ms: Ms): Ms {
  return Math.ceil(Math.max(0, ms) * 1024) / 1024;
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
