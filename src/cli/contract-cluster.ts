/** Nodes, members and the consensus group in the contract: see contract.ts. */
import { z } from 'zod';
import type { NodeRow } from '../store/index.js';
import type { Evidence, Member } from '../swim/index.js';
import { count, maybeText, node } from './contract-fields.js';

export const memberSchema: z.ZodType<Member> = z.object({
  name: node,
  host: z.string(),
  port: count,
  bootEpoch: z.number(),
  incarnation: z.number(),
  state: z.enum(['active', 'suspicious', 'failed', 'deleted', 'left']),
  bootWallMs: z.number(),
  sinceMs: z.number(),
  stalledMs: z.number(),
});

export const evidenceSchema: z.ZodType<Evidence> = z.object({
  atWallMs: z.number(),
  text: z.string(),
});

/** How far a coordinator's own log and state can be trusted. */
export interface StorageHealth {
  /** `running`, `waiting`, ...; `observer` where the node is no coordinator. */
  readonly phase: string;
  /** Why it is suspect: it follows and catches up, but neither votes nor leads. */
  readonly doubt: string | undefined;
  /** Why there can be no leader without a person's help. */
  readonly stuck: string | undefined;
  /** The sum over all rows at this applied index: equal on all coordinators. */
  readonly index: number;
  readonly sum: string;
}

export const storageHealthSchema: z.ZodType<StorageHealth> = z.object({
  phase: z.string(),
  doubt: maybeText,
  stuck: maybeText,
  index: z.number(),
  sum: z.string(),
});

/** One coordinator's view of the consensus group; on other nodes only who leads. */
export interface RaftStatus {
  readonly node: string;
  readonly isCoordinator: boolean;
  readonly role: string;
  readonly term: number;
  readonly leader: string | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly voters: readonly string[];
  /** The voters before, while a change needs both majorities. */
  readonly outgoing: readonly string[];
  readonly learners: readonly string[];
  /** The voters to be, while some of them catch up; else empty. */
  readonly next: readonly string[];
}

/** A change of the coordinators that is done. */
export interface CoordinatorChange {
  readonly before: readonly string[];
  readonly voters: readonly string[];
}

export const coordinatorChangeSchema: z.ZodType<CoordinatorChange> = z.object({
  before: z.array(z.string()),
  voters: z.array(z.string()),
});

export const raftStatusSchema: z.ZodType<RaftStatus> = z.object({
  node: z.string(),
  isCoordinator: z.boolean(),
  role: z.string(),
  term: z.number(),
  leader: maybeText,
  commitIndex: z.number(),
  appliedIndex: z.number(),
  lastIndex: z.number(),
  voters: z.array(z.string()),
  outgoing: z.array(z.string()),
  learners: z.array(z.string()),
  next: z.array(z.string()),
});

/** A node of the cluster, joined from the config file, SWIM and the replicated nodes table. */
export interface NodeStatusRow {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly isCoordinator: boolean;
  readonly isLeader: boolean;
  /** SWIM's verdict as this node sees it; `unknown` where it never met the member. */
  readonly state: Member['state'] | 'unknown';
  /** What Raft has decided; `unknown` where this node cannot say (no leader, not registered). */
  readonly status: NodeRow['status'] | 'unknown';
  readonly bootWallMs: number;
  readonly bootEpoch: number;
  readonly stalledMs: number;
}

export interface ClusterStatus {
  readonly cluster: string;
  /** The node that answers. */
  readonly node: string;
  readonly version: string;
  readonly leader: string | undefined;
  readonly term: number;
  /** This node can serve commands: it is registered and knows a leader. */
  readonly ready: boolean;
  readonly nodes: readonly NodeStatusRow[];
}

export const clusterStatusSchema: z.ZodType<ClusterStatus> = z.object({
  cluster: z.string(),
  node: z.string(),
  version: z.string(),
  leader: maybeText,
  term: z.number(),
  ready: z.boolean(),
  nodes: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      port: z.number(),
      isCoordinator: z.boolean(),
      isLeader: z.boolean(),
      state: z.enum(['active', 'suspicious', 'failed', 'deleted', 'left', 'unknown']),
      status: z.enum(['up', 'down', 'left', 'draining', 'unknown']),
      bootWallMs: z.number(),
      bootEpoch: z.number(),
      stalledMs: z.number(),
    }),
  ),
});
