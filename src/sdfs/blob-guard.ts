/**
 * Decides, on a data node, which blobs may be written and which may be deleted, so that writes and
 * deletion orders that cross on the way do no harm.
 *
 * A deletion order is carried out unless
 *   - it comes from an earlier leader than one heard before (term), or
 *   - the blob was ordered to be here by a newer decision than the order's (log index).
 * So an order that was under way while the leader changed cannot take away a copy that the next
 * leader made. A blob whose deletion was ordered is not written any more, but for a repair.
 *
 * Bound: 10,000 pins and deletions are remembered. A forgotten pin raises the floor for all: then
 * garbage stays until the next order rather than a copy going too early.
 */
import { IdunnoError } from '../base/index.js';
import { BoundedMap } from './bounded-map.js';

const REMEMBERED_MAX = 10_000;

export class BlobGuard {
  readonly #writers = new Map<number, Set<AbortController>>();
  readonly #deleted = new BoundedMap<number, true>(REMEMBERED_MAX);
  /** The newest log index at which a leader ordered this blob to be here. */
  readonly #pins = new BoundedMap<number, number>(REMEMBERED_MAX);
  #pinFloor = 0;
  #newestTerm = 0;

  /** Registers a write; its signal aborts when the blob is deleted. Throws INTENT_CLOSED. */
  admit(blob: number): AbortController {
    if (this.#deleted.has(blob)) throw writeIsOver(blob);
    const stop = new AbortController();
    const writers = this.#writers.get(blob) ?? new Set();
    this.#writers.set(blob, writers.add(stop));
    return stop;
  }

  leave(blob: number, stop: AbortController): void {
    const writers = this.#writers.get(blob);
    writers?.delete(stop);
    if (writers?.size === 0) this.#writers.delete(blob);
  }

  /** A leader wants this blob here, by its state at this log index. */
  pin(blob: number, index: number): void {
    const forgotten = this.#pins.set(blob, Math.max(index, this.#pins.get(blob) ?? 0));
    this.#pinFloor = Math.max(this.#pinFloor, forgotten ?? 0);
    this.#deleted.delete(blob);
  }

  /** May a leader of this term give orders still? Remembers it. */
  heeds(term: number): boolean {
    if (term < this.#newestTerm) return false;
    this.#newestTerm = term;
    return true;
  }

  /** May the blob be deleted by a decision at this index? If so its writers are stopped. */
  maybeCondemn(blob: number, index: number): boolean {
    if (Math.max(this.#pins.get(blob) ?? 0, this.#pinFloor) >= index) return false;
    this.#deleted.set(blob, true);
    for (const stop of this.#writers.get(blob) ?? []) stop.abort(writeIsOver(blob));
    return true;
  }

  isCondemned(blob: number): boolean {
    return this.#deleted.has(blob);
  }
}

function writeIsOver(blob: number): IdunnoError {
  return new IdunnoError('INTENT_CLOSED', `the write under intent ${blob} is over`, { blob });
}
