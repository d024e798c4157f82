/**
 * The key space of the state machine's database on one page. Each table owns one numbered bucket,
 * the first byte of its keys. A number is never given to another table, also after its table is
 * gone: rows of an old meaning must not be read with a new one.
 */

/** The store's own tables. */
export const STORE_BUCKETS = {
  /** What has been applied: index, term, time. */
  meta: 0,
  /** Client sessions. */
  sessions: 1,
  /** What Raft has decided about each node. */
  nodes: 2,
  /** Cluster-wide settings. */
  settings: 3,
  /** Remembered outcomes of sessions' requests. */
  outcomes: 4,
} as const;

/** Inclusive ranges, by the module that defines tables in them. */
export const BUCKET_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  store: [0, 9],
  sdfs: [10, 19],
  idunno: [20, 39],
};

/** Modules without a range of their own (tests) live here. */
export const FREE_BUCKETS: readonly [number, number] = [200, 254];

/** Numbers whose table no longer exists. They stay here for ever. */
export const RETIRED_BUCKETS: readonly number[] = [];

/** The range in which a module of this name may define tables. */
export function bucketRangeOf(module: string): readonly [number, number] {
  return BUCKET_RANGES[module] ?? FREE_BUCKETS;
}
