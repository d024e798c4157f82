/**
 * Who holds what, in memory: derived from the blob and file rows, rebuilt at start.
 *
 * Blobs are grouped by their *copy set* (the same holders, the same number wanted): all blobs of a
 * set are in the same situation whatever happens to nodes, so repair planning and reports look at
 * sets, of which a cluster of ten nodes has a few hundred, not at a million blobs.
 *
 * Bound: about 100 bytes per blob and 8 per copy. Order: a node's blobs by id, so that pages of a
 * listing continue where they stopped.
 */
import {
  type Change,
  type DerivedIndex,
  type DerivedIndexKey,
  NODES,
  type NodeRow,
} from '../store/index.js';
import { SortedIds } from './sorted-ids.js';
import { BLOBS, type BlobRow, FILES, type FileRow, INTENTS, type IntentRow } from './tables.js';

/** Blobs with the same holders and the same number of copies wanted. */
export interface CopySet {
  readonly key: string;
  readonly wanted: number;
  /** Sorted. */
  readonly holders: readonly string[];
  /** Bytes by blob id, in the order in which they came into this set. */
  readonly blobs: ReadonlyMap<number, number>;
  readonly versions: number;
}

interface MutableSet {
  readonly key: string;
  readonly wanted: number;
  readonly holders: readonly string[];
  readonly blobs: Map<number, number>;
  versions: number;
}

export interface Totals {
  files: number;
  versions: number;
  bytes: number;
}

export class HolderIndex {
  readonly totals: Totals = { files: 0, versions: 0, bytes: 0 };
  /** What Raft has decided about each node, by name. */
  readonly nodes = new Map<string, NodeRow>();
  readonly #sets = new Map<string, MutableSet>();
  readonly #setOf = new Map<number, MutableSet>();
  readonly #byNode = new Map<string, SortedIds>();
  readonly #openByNode = new Map<string, number>();

  /** Every non-empty set. */
  sets(): Iterable<CopySet> {
    return this.#sets.values();
  }

  setOf(blob: number): CopySet | undefined {
    return this.#setOf.get(blob);
  }

  /** At most `limit` ids above `after` that the record says this node holds, in order. */
  blobsOf(node: string, after: number, limit: number): number[] {
    return this.#byNode.get(node)?.page(after, limit) ?? [];
  }

  /** Open intents that may write to this node: its load for placement. */
  openIntents(node: string): number {
    return this.#openByNode.get(node) ?? 0;
  }

  onFile(before: FileRow | undefined, after: FileRow | undefined): void {
    this.#count(before, -1);
    this.#count(after, 1);
  }

  onBlob(blob: number, before: BlobRow | undefined, after: BlobRow | undefined): void {
    if (before !== undefined) this.#remove(blob, before);
    if (after !== undefined) this.#add(blob, after);
  }

  onNode(name: string, after: NodeRow | undefined): void {
    if (after === undefined) this.nodes.delete(name);
    else this.nodes.set(name, after);
  }

  onIntent(before: IntentRow | undefined, after: IntentRow | undefined): void {
    for (const node of before?.targets ?? []) this.#addOpen(node, -1);
    for (const node of after?.targets ?? []) this.#addOpen(node, 1);
  }

  #count(row: FileRow | undefined, sign: 1 | -1): void {
    if (row === undefined || row.latest <= row.gone) return;
    this.totals.files += sign;
    this.totals.versions += sign * (row.latest - row.gone);
    this.totals.bytes += sign * row.bytes;
  }

  #add(blob: number, row: BlobRow): void {
    const holders = [...row.holders].sort();
    const key = `${row.wanted} ${holders.join(' ')}`;
    let set = this.#sets.get(key);
    if (set === undefined) {
      set = { key, wanted: row.wanted, holders, blobs: new Map(), versions: 0 };
      this.#sets.set(key, set);
    }
    set.blobs.set(blob, row.bytes);
    set.versions += row.refs.length;
    this.#setOf.set(blob, set);
    for (const node of row.holders) {
      let ids = this.#byNode.get(node);
      if (ids === undefined) {
        ids = new SortedIds();
        this.#byNode.set(node, ids);
      }
      ids.add(blob);
    }
  }

  #remove(blob: number, row: BlobRow): void {
    const set = this.#setOf.get(blob);
    if (set === undefined) return;
    set.blobs.delete(blob);
    set.versions -= row.refs.length;
    if (set.blobs.size === 0) this.#sets.delete(set.key);
    this.#setOf.delete(blob);
    for (const node of row.holders) this.#byNode.get(node)?.remove(blob);
  }

  #addOpen(node: string, by: 1 | -1): void {
    const open = (this.#openByNode.get(node) ?? 0) + by;
    if (open > 0) this.#openByNode.set(node, open);
    else this.#openByNode.delete(node);
  }
}

export const HOLDERS: DerivedIndexKey<HolderIndex> = { name: 'sdfs.holders' };

/** Keeps HOLDERS up to date. */
export const holderIndex: DerivedIndex<HolderIndex> = {
  key: HOLDERS,
  tables: [FILES, BLOBS, INTENTS, NODES],
  create: () => new HolderIndex(),
  onChange(index: HolderIndex, change: Change): void {
    const { table, key } = change;
    if (table.bucket === BLOBS.bucket) {
      index.onBlob(
        key[0] as number,
        change.before as BlobRow | undefined,
        change.after as BlobRow | undefined,
      );
    } else if (table.bucket === FILES.bucket) {
      index.onFile(change.before as FileRow | undefined, change.after as FileRow | undefined);
    } else if (table.bucket === NODES.bucket) {
      index.onNode(key[0] as string, change.after as NodeRow | undefined);
    } else {
      index.onIntent(change.before as IntentRow | undefined, change.after as IntentRow | undefined);
    }
  },
};
