/**
 * Compares what nodes have with what the records say, while this node leads, and orders what no
 * record and no open write needs to be deleted.
 *
 * A node's inventory is looked at when it comes up (its disk may be another one), when this node
 * begins to lead, and every ten minutes. Blobs of writes that were given up are ordered away
 * without waiting for that.
 *
 * Why a deletion cannot take a copy that is needed (no clock is part of the argument):
 *   - ids are never given twice, so a blob without intent and record stays without;
 *   - an id that this leader's state does not know yet is left alone;
 *   - a record gains a holder only by this leader's repair, whose copies in flight are left alone;
 *     an earlier leader's are refused by the command (another term);
 *   - the order carries the leader's applied index, term and the node's epoch: see service.ts.
 *
 * The other way round, a blob that the record wants more copies of, found on a node that the
 * record does not name, is recorded instead of deleted; and a copy that a node should have and has
 * not leaves the record, except the last: where it was may be all that leads to it again.
 */
import { asIdunnoError, type Clock, type Logger, nodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import {
  type Change,
  type LeaderDuty,
  type LocalStore,
  NODES,
  type NodeRow,
} from '../store/index.js';
import { HOLDERS } from './holder-index.js';
import { BLOBS_PER_ORDER_MAX, HOLDER_CHANGES_MAX, INVENTORY_PAGE_MAX } from './limits.js';
import { type NodeCalls, shareSignal } from './node-calls.js';
import type { Repair } from './repair.js';
import { BLOBS, type BlobRow, COUNTERS, INTENTS, type IntentRow, NEXT_BLOB } from './tables.js';
import { METHODS } from './transfer.js';
import { readFlag, readInt, readList, readTuple } from './wire.js';

export interface CollectorParts {
  readonly calls: NodeCalls;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: LocalStore;
  readonly repair: Repair;
}

const STEP_MS = 1_000;
const INVENTORY_EVERY_MS = 10 * 60_000;
const INVENTORY_FIRST_MS = 3_000;
const INVENTORY_RETRY_MS = 30_000;
/** A client may still be writing when its intent is closed: look a moment later. */
const CLOSED_AFTER_MS = 2_000;
const SUSPECTS_MAX = 20_000;
const CALL_MS = 10_000;
const PROPOSE_MS = 10_000;

/** A blob that may have become garbage on this node. */
interface Suspect {
  readonly blob: number;
  readonly node: string;
  readonly notBeforeMs: number;
}

export class Collector implements LeaderDuty {
  readonly name = 'sdfs.collect';
  readonly #parts: CollectorParts;
  #run: CollectorRun | undefined;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
    parts.store.onChanges((changes) => this.#run?.onChanges(changes));
  }

  lead(term: number, signal: AbortSignal): void {
    const run = new CollectorRun(term, this.#parts, shareSignal(signal));
    this.#run = run;
    run
      .run()
      .catch((error: unknown) => {
        if (!signal.aborted) this.#parts.logger.error('sdfs.collector-ended', { error });
      })
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
  }
}

class CollectorRun {
  readonly #term: number;
  readonly #parts: CollectorParts;
  readonly #signal: AbortSignal;
  /** When each node's inventory is due, by the monotonic clock. */
  readonly #dueMs = new Map<string, number>();
  #suspects: Suspect[] = [];

  constructor(term: number, parts: CollectorParts, signal: AbortSignal) {
    this.#term = term;
    this.#parts = parts;
    this.#signal = signal;
  }

  onChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.table.bucket === NODES.bucket) this.#onNode(change);
      else if (change.table.bucket === INTENTS.bucket) this.#onIntent(change);
      else if (change.table.bucket === BLOBS.bucket) this.#onBlob(change);
    }
  }

  async run(): Promise<void> {
    const { clock, store } = this.#parts;
    for (const node of store.view().index(HOLDERS).nodes.keys()) this.#plan(node);
    while (!this.#signal.aborted) {
      await clock.sleep(STEP_MS, this.#signal);
      await this.#collectSuspects();
      for (const [node, dueMs] of [...this.#dueMs]) {
        if (dueMs <= clock.now()) await this.#inspect(node);
      }
    }
  }

  #plan(node: string, delayMs = INVENTORY_FIRST_MS): void {
    this.#dueMs.set(node, this.#parts.clock.now() + delayMs);
  }

  #onNode(change: Change): void {
    const before = change.before as NodeRow | undefined;
    const after = change.after as NodeRow | undefined;
    if (after?.status !== 'up') return;
    if (before?.epoch !== after.epoch || before.status !== 'up') this.#plan(after.name);
  }

  #onIntent(change: Change): void {
    if (change.after !== undefined) return;
    const blob = change.key[0] as number;
    // A commit closes the intent too: its leftovers, rare and small, wait for the inventory.
    if (this.#parts.store.view().get(BLOBS, [blob]) !== undefined) return;
    const { targets } = change.before as IntentRow;
    for (const node of targets) this.#suspect(blob, node);
  }

  #onBlob(change: Change): void {
    const before = change.before as BlobRow | undefined;
    const after = change.after as BlobRow | undefined;
    for (const node of before?.holders ?? []) {
      if (!after?.holders.includes(node)) this.#suspect(change.key[0] as number, node);
    }
  }

  /** What does not fit is found by the inventory. */
  #suspect(blob: number, node: string): void {
    if (this.#suspects.length >= SUSPECTS_MAX) return;
    const notBeforeMs = this.#parts.clock.now() + CLOSED_AFTER_MS;
    this.#suspects.push({ blob, node, notBeforeMs });
  }

  async #collectSuspects(): Promise<void> {
    const nowMs = this.#parts.clock.now();
    const due = this.#suspects.filter((one) => one.notBeforeMs <= nowMs);
    if (due.length === 0) return;
    this.#suspects = this.#suspects.filter((one) => one.notBeforeMs > nowMs);
    const byNode = new Map<string, number[]>();
    for (const { blob, node } of due) {
      const blobs = byNode.get(node) ?? [];
      blobs.push(blob);
      byNode.set(node, blobs);
    }
    for (const [node, blobs] of byNode) {
      const row = this.#parts.store.view().index(HOLDERS).nodes.get(node);
      if (row?.status === 'up' || row?.status === 'draining') {
        await this.#collect(node, row.epoch, blobs).catch((error) => this.#onError(node, error));
      }
    }
  }

  async #inspect(node: string): Promise<void> {
    const row = this.#parts.store.view().index(HOLDERS).nodes.get(node);
    if (row?.status !== 'up') {
      this.#dueMs.delete(node);
      return;
    }
    this.#plan(node, INVENTORY_EVERY_MS);
    try {
      await this.#compare(node, row.epoch);
    } catch (error) {
      this.#onError(node, error);
    }
  }

  #onError(node: string, error: unknown): void {
    if (this.#signal.aborted) return;
    this.#plan(node, INVENTORY_RETRY_MS);
    const text = asIdunnoError(error).message;
    this.#parts.logger.warn('sdfs.inventory-failed', { node, error: text });
  }

  /** Page by page: the record's ids are taken first, so that what is added meanwhile is no loss. */
  async #compare(node: string, epoch: number): Promise<void> {
    const { calls, store } = this.#parts;
    for (let after = 0; ; ) {
      const expected = store.view().index(HOLDERS).blobsOf(node, after, INVENTORY_PAGE_MAX);
      const options = { timeoutMs: CALL_MS, signal: this.#signal };
      const { value } = await calls.call(nodeId(node), METHODS.inventory, [after], options);
      const answer = readTuple(value, 'inventory', 3);
      if (readInt(answer[0], 'epoch') !== epoch) return;
      const found = readList(answer[1], 'ids', INVENTORY_PAGE_MAX, (id, what) => readInt(id, what));
      const isEnd = readFlag(answer[2], 'is the end');
      const until = pageEnd(expected, found, isEnd);
      await this.#comparePage(node, epoch, {
        expected: expected.filter((id) => id <= until),
        found: found.filter((id) => id <= until),
      });
      if (until === Number.POSITIVE_INFINITY) return;
      after = until;
    }
  }

  async #comparePage(
    node: string,
    epoch: number,
    page: { expected: readonly number[]; found: readonly number[] },
  ): Promise<void> {
    const found = new Set(page.found);
    const missing = page.expected.filter((id) => !found.has(id));
    const expected = new Set(page.expected);
    const unknown = page.found.filter((id) => !expected.has(id));
    const wanted = unknown.filter((id) => this.#isWantedHere(id, node));
    await this.#dropMissing(node, missing);
    await this.#addFound(node, epoch, wanted);
    const rest = unknown.filter((id) => !wanted.includes(id));
    for (let at = 0; at < rest.length; at += BLOBS_PER_ORDER_MAX) {
      await this.#collect(node, epoch, rest.slice(at, at + BLOBS_PER_ORDER_MAX));
    }
  }

  /** Its record has too few copies on nodes that are up: one more is welcome. */
  #isWantedHere(blob: number, node: string): boolean {
    const view = this.#parts.store.view();
    const row = view.get(BLOBS, [blob]);
    if (row === undefined || row.holders.includes(node)) return false;
    const { nodes } = view.index(HOLDERS);
    const up = row.holders.filter((holder) => nodes.get(holder)?.status === 'up').length;
    return up < row.wanted;
  }

  async #dropMissing(node: string, missing: readonly number[]): Promise<void> {
    const { store, logger } = this.#parts;
    const view = store.view();
    const dropped = missing.filter((id) => (view.get(BLOBS, [id])?.holders.length ?? 0) > 1);
    if (missing.length > 0) logger.warn('sdfs.copies-missing', { node, blobs: missing.length });
    for (const batch of batches(dropped, HOLDER_CHANGES_MAX)) {
      const copies = batch.map((id): Wire => [id, node]);
      await store.propose('sdfs.drop-holders', ['missing', copies], this.#proposeOptions());
    }
    for (const id of missing) {
      if (!dropped.includes(id))
        this.#parts.repair.reportBad(id, node, 'the node has no such blob');
    }
  }

  async #addFound(node: string, epoch: number, found: readonly number[]): Promise<void> {
    for (const batch of batches(found, HOLDER_CHANGES_MAX)) {
      const copies = batch.map((id): Wire => [id, node, epoch]);
      const args = [this.#term, copies];
      await this.#parts.store.propose('sdfs.add-holders', args, this.#proposeOptions());
    }
  }

  /** Orders away what is garbage by the state of this moment; its index goes with the order. */
  async #collect(node: string, epoch: number, blobs: readonly number[]): Promise<void> {
    const view = this.#parts.store.view();
    const index = view.appliedIndex;
    const garbage = blobs.filter((blob) => this.#isGarbage(blob, node));
    for (const batch of batches(garbage, BLOBS_PER_ORDER_MAX)) {
      const args: Wire[] = [this.#term, index, epoch, [...batch]];
      const options = { timeoutMs: CALL_MS, signal: this.#signal };
      await this.#parts.calls.call(nodeId(node), METHODS.collect, args, options);
    }
  }

  #isGarbage(blob: number, node: string): boolean {
    const view = this.#parts.store.view();
    if (blob >= (view.get(COUNTERS, NEXT_BLOB) ?? 1)) return false;
    if (view.get(INTENTS, [blob]) !== undefined) return false;
    if (this.#parts.repair.isCopying(blob, node)) return false;
    const row = view.get(BLOBS, [blob]);
    if (row === undefined) return true;
    return !row.holders.includes(node) && !this.#isWantedHere(blob, node);
  }

  #proposeOptions(): { timeoutMs: number; signal: AbortSignal } {
    return { timeoutMs: PROPOSE_MS, signal: this.#signal };
  }
}

/** Up to which id both pages are complete. */
function pageEnd(expected: readonly number[], found: readonly number[], isEnd: boolean): number {
  const end = (page: readonly number[]): number => page.at(-1) ?? Number.POSITIVE_INFINITY;
  return Math.min(
    expected.length < INVENTORY_PAGE_MAX ? Number.POSITIVE_INFINITY : end(expected),
    isEnd ? Number.POSITIVE_INFINITY : end(found),
  );
}

function* batches<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
