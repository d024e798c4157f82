/** One node's view of its cluster, as plain data. */
import type { LogIndex, NodeId, Term } from '../base/index.js';
import type { ProgressState } from './progress.js';
import type { RaftState } from './state.js';
import type { Role } from './types.js';

export interface PeerStatus {
  readonly peer: NodeId;
  readonly state: ProgressState;
  readonly match: LogIndex;
  readonly next: LogIndex;
  readonly inflight: number;
  /** Answered within an election timeout, and its process is not known to be gone. */
  readonly isActive: boolean;
  /** Has no vote at present, by its own account. */
  readonly isSuspect: boolean;
}

export interface RaftStatus {
  readonly self: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly leader: NodeId | undefined;
  readonly commit: LogIndex;
  /** Last index of the log, durable or not. */
  readonly last: LogIndex;
  readonly lastTerm: Term;
  /** The log is durable here up to this index. */
  readonly stable: LogIndex;
  readonly applied: LogIndex;
  /** The log starts after this index. */
  readonly snapshot: LogIndex;
  readonly logBytes: number;
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** The voters to be, while those of them that are learners catch up. */
  readonly next: readonly NodeId[] | undefined;
  /** The entry of the configuration in force. */
  readonly confIndex: LogIndex;
  readonly isConfCommitted: boolean;
  /** Told by others that it is not a member any more. */
  readonly isRemoved: boolean;
  readonly isSuspect: boolean;
  readonly isInstalling: boolean;
  /** Target of a transfer in progress. */
  readonly transferTo: NodeId | undefined;
  readonly pendingReads: number;
  /** Leader only: the others, in the order of the configuration. */
  readonly progress: readonly PeerStatus[];
}

export function describeStatus(state: RaftState): RaftStatus {
  const { log, conf, leading } = state;
  const activeSince = state.now - state.timing.electionMaxMs;
  return {
    self: state.self,
    role: state.role,
    term: state.term,
    vote: state.vote,
    leader: state.leader,
    commit: state.commit,
    last: log.lastIndex,
    lastTerm: log.lastTerm,
    stable: log.stable,
    applied: state.applied,
    snapshot: log.snapshotIndex,
    logBytes: log.bytes,
    voters: conf.voters,
    outgoing: conf.outgoing,
    learners: conf.learners,
    next: conf.next,
    confIndex: log.confIndex,
    isConfCommitted: state.isConfCommitted,
    isRemoved: state.removedAt !== undefined,
    isSuspect: state.isSuspect,
    isInstalling: state.installing !== undefined,
    transferTo: leading?.transfer?.to,
    pendingReads: leading?.reads.size ?? 0,
    progress: [...(leading?.progress ?? [])].map(([peer, progress]) => ({
      peer,
      state: progress.state,
      match: progress.match,
      next: progress.next,
      inflight: progress.inflightCount,
      isActive: progress.activeAt >= activeSince && !state.down.has(peer),
      isSuspect: progress.isSuspect === true,
    })),
  };
}
