/**
 * What the core means to do later: a binary heap of tasks by due time, and by order of entry where
 * that is equal, so that a run is repeatable. Tasks are never taken back: whoever handles one
 * checks that it still applies.
 */
import { assert, type Ms } from '../base/index.js';

interface Item<Task> {
  dueMs: Ms;
  readonly order: number;
  readonly task: Task;
}

/** More than any cluster needs; reaching it means that tasks leak. */
const TASKS_MAX = 1_000_000;

export class Agenda<Task> {
  readonly #heap: Item<Task>[] = [];
  #order = 0;

  /** When the next task is due; Infinity when there is none. */
  get nextMs(): Ms {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  push(dueMs: Ms, task: Task): void {
    assert(Number.isFinite(dueMs), 'a task needs a time');
    assert(this.#heap.length < TASKS_MAX, 'tasks are added faster than they end');
    const item = { dueMs, order: this.#order++, task };
    let child = this.#heap.length;
    this.#heap.push(item);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || isBefore(above, item)) break;
      this.#heap[child] = above;
      child = parent;
    }
    this.#heap[child] = item;
  }

  /** The earliest task that is due, if any. */
  popDue(nowMs: Ms): Task | undefined {
    const top = this.#heap[0];
    if (top === undefined || top.dueMs > nowMs) return undefined;
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
    return top.task;
  }

  /** Moves everything into the future, in the same order. */
  delay(byMs: Ms): void {
    for (const item of this.#heap) item.dueMs += byMs;
  }

  #sink(item: Item<Task>): void {
    let parent = 0;
    for (;;) {
      let child = parent * 2 + 1;
      const left = this.#heap[child];
      const right = this.#heap[child + 1];
      if (left === undefined) break;
      let smaller = left;
      if (right !== undefined && isBefore(right, left)) {
        smaller = right;
        child++;
      }
      if (isBefore(item, smaller)) break;
      this.#heap[parent] = smaller;
      parent = child;
    }
    this.#heap[parent] = item;
  }
}

function isBefore<Task>(a: Item<Task>, b: Item<Task>): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
