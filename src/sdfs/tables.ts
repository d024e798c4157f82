/**
 * The rows of SDFS in the state machine.
 *
 *     files    [name]              newest version number, what a delete took away
 *     versions [name, version]     immutable: size, hash, and which part of which blob
 *     blobs    [blob]              who holds it, and which versions live in it
 *     intents  [blob]              open writes; closing deletes the row
 *     tombs    [name]              versions that a delete hid and pruning will remove
 *     tokens   [session, seq, part] commits of numbered requests, so that a retry finds its answer
 *     counters ['blob']            the next blob id
 *
 * Holders are kept per blob, not per version: a pack of 100 small files is repaired, and its bad
 * copy dropped, with one row; a version's row is never rewritten. A node's status is joined when
 * read (the store's `nodes` table), never copied here.
 *
 * Invariants: a version's blob row exists and lists the version; a blob row lists at least one
 * version (else it is deleted and its bytes are garbage); an id in `intents` is not in `blobs`;
 * ids are given once, in the order of the log.
 */
import { defineTable } from '../store/index.js';

export interface FileRow {
  /** Highest version number ever given. Never falls, also not by a delete. */
  readonly latest: number;
  /** Versions up to this one were deleted. The file is there exactly when latest > gone. */
  readonly gone: number;
  /** Of its visible versions. */
  readonly bytes: number;
}

export interface VersionRow {
  readonly bytes: number;
  readonly sha: string;
  /** Log time of the commit. */
  readonly ms: number;
  readonly blob: number;
  /** Offset in the blob's data. */
  readonly at: number;
}

export interface BlobRow {
  readonly bytes: number;
  /** SHA-256 of the whole data: the file's own unless it is a pack. */
  readonly sha: string;
  readonly pack: boolean;
  readonly wanted: number;
  /** Nodes with a durable copy, in the order in which they were added. */
  readonly holders: readonly string[];
  readonly refs: readonly (readonly [name: string, version: number])[];
}

export interface IntentRow {
  readonly pack: boolean;
  readonly wanted: number;
  /** Where bytes may be written, the spare included: what garbage collection looks at first. */
  readonly targets: readonly string[];
  /** Log time after which it may be closed. */
  readonly until: number;
}

export interface TombRow {
  /** First version that is not yet pruned, and last one that was deleted. */
  readonly from: number;
  readonly to: number;
  /** Log time of the newest delete. */
  readonly ms: number;
}

export interface TokenRow {
  readonly blob: number;
  readonly ms: number;
  readonly versions: readonly number[];
}

/** Buckets 10-19 are SDFS's; a number is never given to another table. */
export const SDFS_BUCKETS = {
  files: 10,
  versions: 11,
  blobs: 12,
  intents: 13,
  tombs: 14,
  tokens: 15,
  counters: 16,
} as const;

export const FILES = defineTable<FileRow>({ bucket: SDFS_BUCKETS.files, name: 'files' });
export const VERSIONS = defineTable<VersionRow>({
  bucket: SDFS_BUCKETS.versions,
  name: 'versions',
});
export const BLOBS = defineTable<BlobRow>({ bucket: SDFS_BUCKETS.blobs, name: 'blobs' });
export const INTENTS = defineTable<IntentRow>({ bucket: SDFS_BUCKETS.intents, name: 'intents' });
export const TOMBS = defineTable<TombRow>({ bucket: SDFS_BUCKETS.tombs, name: 'tombs' });
export const TOKENS = defineTable<TokenRow>({ bucket: SDFS_BUCKETS.tokens, name: 'tokens' });
export const COUNTERS = defineTable<number>({ bucket: SDFS_BUCKETS.counters, name: 'counters' });

/** Row of COUNTERS: ids below it have been given. The first id is 1. */
export const NEXT_BLOB = ['blob'] as const;
