/**
 * Natural batching: what comes while a batch is on its way shares the next one. No timers and no
 * linger: a lone item leaves at the end of the present turn, and the busier it gets, the larger
 * the batches. Used wherever one round trip costs much more than one item: commands that become
 * log entries, small writes of a client.
 */
import { assert } from './assert.js';
import { IdunnoError, asIdunnoError } from './errors.js';

export interface CoalescerOptions<Item, Result> {
  /** For messages: "commands". */
  readonly what: string;
  /** Batches on their way at once; two fill the pipe, and the rest coalesces. */
  readonly inFlightMax: number;
  /** Items that wait; beyond it BUSY. */
  readonly waitingMax: number;
  readonly batchItemsMax: number;
  readonly batchBytesMax: number;
  readonly bytesOf: (item: Item) => number;
  /** An item that shares its batch with nobody. */
  readonly isAlone?: (item: Item) => boolean;
  /** One result per item, in their order; a rejection is that of every item. */
  readonly send: (items: readonly Item[]) => Promise<readonly Result[]>;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: IdunnoError) => void;
}

export class Coalescer<Item, Result> {
  readonly #options: CoalescerOptions<Item, Result>;
  readonly #waiting: Waiting<Item, Result>[] = [];
  #inFlight = 0;
  #isPlanned = false;

  constructor(options: CoalescerOptions<Item, Result>) {
    this.#options = options;
  }

  submit(item: Item): Promise<Result> {
    const { what, waitingMax } = this.#options;
    if (this.#waiting.length >= waitingMax) {
      const error = new IdunnoError('BUSY', `${waitingMax} ${what} wait`, { retryAfterMs: 50 });
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#plan();
    });
  }

  #plan(): void {
    const { inFlightMax } = this.#options;
    if (this.#isPlanned || this.#inFlight >= inFlightMax || this.#waiting.length === 0) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      while (this.#waiting.length > 0 && this.#inFlight < inFlightMax) this.#sendNext();
    });
  }

  #sendNext(): void {
    const taken = this.#take();
    this.#inFlight += 1;
    this.#options
      .send(taken.map(({ item }) => item))
      .then(
        (results) => settle(taken, results),
        (error: unknown) => {
          const reason = asIdunnoError(error);
          for (const { reject } of taken) reject(reason);
        },
      )
      .finally(() => {
        this.#inFlight -= 1;
        this.#plan();
      });
  }

  #take(): Waiting<Item, Result>[] {
    const { batchItemsMax, batchBytesMax, bytesOf, isAlone } = this.#options;
    let count = 0;
    let bytes = 0;
    for (const { item } of this.#waiting) {
      const alone = isAlone?.(item) === true;
      bytes += bytesOf(item);
      if (count > 0 && (alone || bytes > batchBytesMax)) break;
      count += 1;
      if (alone || count === batchItemsMax) break;
    }
    return this.#waiting.splice(0, count);
  }
}

function settle<Item, Result>(
  taken: readonly Waiting<Item, Result>[],
  results: readonly Result[],
): void {
  assert(results.length === taken.length, 'one result per item');
  for (const [at, { resolve }] of taken.entries()) resolve(results[at] as Result);
}
