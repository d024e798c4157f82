/**
 * What a coordinator's driver (driver.ts) is made of, and what it tells about itself.
 */
import type { Clock, Disk, LogIndex, Logger, Ms, NodeId, Rng, Term } from '../base/index.js';
import type { Rpc } from '../net/index.js';
import type { RaftLimits } from './config.js';
import type { RaftStatus } from './status.js';
import type { ConfState, LogStore, RaftTiming, ReplicatedMachine, Role } from './types.js';

export interface RaftDriverOptions {
  readonly self: NodeId;
  /** Voters of a cluster that does not exist yet. */
  readonly coordinators: readonly NodeId[];
  readonly timing: RaftTiming;
  readonly limits?: Partial<RaftLimits>;
  /** Keeps this node's incarnation and whom it founded the cluster with. */
  readonly bootFile: string;
  /** Found the cluster without asking the others: an operator's decision. */
  readonly forceBootstrap?: boolean;
}

export interface RaftDriverParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly log: Logger;
  readonly logStore: LogStore;
  readonly machine: ReplicatedMachine;
  /** A receiver found a snapshot of this node damaged: its rows should be looked at. */
  readonly onSnapshotRefused?: () => void;
  /** The process must end: what it would do from now on could not be trusted. */
  readonly onFatal: (error: Error) => void;
}

export interface RoleEvent {
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  /** Leads and has applied its own no-op: everything committed before is applied here. */
  readonly isReady: boolean;
}

export interface MembersEvent {
  readonly conf: ConfState;
  /** The entry since which it is in force. */
  readonly index: LogIndex;
  readonly isCommitted: boolean;
  /** This node is one of them. */
  readonly isMember: boolean;
}

export type DriverPhase = 'new' | 'waiting' | 'running' | 'failed' | 'stopped';

export interface DriverStatus {
  readonly phase: DriverPhase;
  readonly isReady: boolean;
  readonly applied: LogIndex;
  readonly durable: LogIndex;
  readonly lastWriteMs: Ms;
  readonly queuedProposals: number;
  /** Why this node is suspect: it follows and catches up, but neither votes nor leads. */
  readonly doubt: string | undefined;
  /** Why there can be no leader without a person's help. */
  readonly stuck: string | undefined;
  /** Undefined until the node is part of a cluster. */
  readonly raft: RaftStatus | undefined;
}
