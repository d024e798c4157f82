/**
 * The numbers of the consensus core: what each means, its default, and what moving it costs.
 * Timing comes from the cluster's config file (presets `local`, `lan`, `test`); limits are the
 * bounds of every queue and message in the core.
 */
import type { NodeId, Rng } from '../base/index.js';
import type { RaftTiming } from './types.js';

/** Bounds. Every one has a consequence when it is reached; none loses data. */
export interface RaftLimits {
  /**
   * Append messages with entries on the way to one follower. 2 keeps the pipe busy and lets the
   * rest coalesce into large messages; deep pipelines raise tail latency (hashicorp/raft#541).
   */
  readonly inflightMax: number;
  /** Entries per append message. */
  readonly messageEntriesMax: number;
  /** Bytes per append message; a single larger entry still travels, alone. */
  readonly messageBytesMax: number;
  /** Entries above the commit index; beyond it proposals are refused as `busy`. */
  readonly uncommittedEntriesMax: number;
  /** Bytes above the commit index; beyond it proposals are refused as `busy`. */
  readonly uncommittedBytesMax: number;
  /** Linearizable reads waiting for a quorum; beyond it they are refused. */
  readonly readsMax: number;
  /** Entries kept behind the durable applied index, for followers that were away briefly. */
  readonly trailingEntries: number;
  /** Compaction waits until it can drop so many, because it costs a write. */
  readonly compactStep: number;
  /** Memory for the log; above it the trailing entries are given up early. */
  readonly logBytesMax: number;
  /** Committed entries handed out and not yet reported as applied. */
  readonly applyEntriesMax: number;
}

export const DEFAULT_LIMITS: RaftLimits = {
  inflightMax: 2,
  messageEntriesMax: 512,
  messageBytesMax: 512 * 1024,
  uncommittedEntriesMax: 20_000,
  uncommittedBytesMax: 64 * 1024 * 1024,
  readsMax: 10_000,
  trailingEntries: 5_000,
  compactStep: 1_000,
  logBytesMax: 128 * 1024 * 1024,
  applyEntriesMax: 2_048,
};

/**
 * Fast failover after transport evidence that the leader's process is gone (see election.ts). The
 * figures are for a local network: a pre-vote round and a vote round with its fsync fit into one
 * rank step there.
 */
export const FAST_FAILOVER = {
  /** The r-th live voter waits r of these before it pre-votes. */
  rankStepMs: 12,
  /** Having granted another's pre-vote, a node holds its own back so long: [from, to). */
  postponeMs: [25, 50],
  /** A fast round that failed is repeated after: [from, to). */
  retryMs: [10, 40],
} as const;

/** A leader whose disk made no progress for max(this, 2 × election timeout) steps down. */
export const DISK_STALL_MIN_MS = 1_000;

export interface RaftOptions {
  readonly self: NodeId;
  readonly timing: RaftTiming;
  readonly rng: Rng;
  readonly limits?: Partial<RaftLimits>;
  /**
   * The boot scan found that this node may have lost entries it once acknowledged. It follows and
   * catches up, but neither votes nor campaigns until it has all of them again (suspicion.ts).
   */
  readonly isSuspect?: boolean;
}

/** Problems of a timing, empty when it is usable. */
export function validateTiming(timing: RaftTiming): string[] {
  const problems: string[] = [];
  const { heartbeatMs, electionMinMs, electionMaxMs } = timing;
  if (!(heartbeatMs > 0)) problems.push(`heartbeatMs is ${heartbeatMs}: must be above 0`);
  if (!(electionMinMs >= 2 * heartbeatMs)) {
    problems.push(`electionMinMs ${electionMinMs} must be at least 2 x heartbeatMs ${heartbeatMs}`);
  }
  if (!(electionMaxMs > electionMinMs)) {
    problems.push(`electionMaxMs ${electionMaxMs} must be above electionMinMs ${electionMinMs}`);
  }
  return problems;
}
