/**
 * The vocabulary of the consensus core: what goes in, what comes out, what is stored.
 *
 * The core is a synchronous value machine: `step(input) → effects`. Votes and append
 * acknowledgements exist only inside a `persist` effect (`then`) and leave when it is durable, so
 * "acknowledge before fsync" cannot be written down. Sources: Ongaro and Ousterhout, "In Search of
 * an Understandable Consensus Algorithm" (the Raft paper), and Ongaro's dissertation.
 */
import type { LogIndex, Ms, NodeId, Term } from '../base/index.js';

/** What an entry means to the core. `command` is opaque; the others are the core's own. */
export type EntryKind = 'bootstrap' | 'noop' | 'command' | 'config';

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Leader's wall clock when it was proposed, ms; the state machine's only source of time. */
  readonly timeMs: number;
  readonly data: Uint8Array;
}

/** Raft §5: persistent state besides the log. */
export interface HardState {
  readonly term: Term;
  readonly vote: NodeId | undefined;
}

/** Voters and learners; `outgoing` is non-empty only during joint consensus (Raft §6). */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** The voters to be, once those of them that are learners have caught up. */
  readonly next?: readonly NodeId[];
}

/** Everything up to and including (index, term) is in the snapshot. */
export interface SnapshotMeta {
  readonly index: LogIndex;
  readonly term: Term;
  readonly conf: ConfState;
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader';

export type Message =
  /** Candidate to all voters, `term` = the term it would campaign in (dissertation §9.6). */
  | { type: 'pre-vote'; term: Term; lastIndex: LogIndex; lastTerm: Term }
  | { type: 'pre-vote-reply'; term: Term; granted: boolean }
  /** Raft §5.2, §5.4.1. `transfer` marks a campaign that TimeoutNow asked for. */
  | { type: 'vote'; term: Term; lastIndex: LogIndex; lastTerm: Term; transfer: boolean }
  | { type: 'vote-reply'; term: Term; granted: boolean }
  /** Raft §5.3. `commit` is the leader's. */
  | {
      type: 'append';
      term: Term;
      prevIndex: LogIndex;
      prevTerm: Term;
      commit: LogIndex;
      entries: readonly Entry[];
    }
  /**
   * `ok`: the log equals the leader's up to `index`. Not ok: `index` is the prevIndex that was
   * refused and (hintIndex, hintTerm) the follower's best guess (fast back-up, Raft §5.3 end).
   */
  | {
      type: 'append-reply';
      term: Term;
      ok: boolean;
      index: LogIndex;
      hintIndex: LogIndex;
      hintTerm: Term;
    }
  /** Leader to all; carries the newest read number that waits for a quorum (ReadIndex). */
  | { type: 'heartbeat'; term: Term; commit: LogIndex; read: number }
  /**
   * `verified`: the follower's log is known to equal the leader's up to here, in this term; 0 after
   * a restart. No acknowledgement (nothing is promised to be durable): it tells the leader what was
   * lost on the way, and that a restarted follower has to be probed before it may learn the commit.
   * `suspect`: it has no vote at present (suspicion.ts).
   */
  | { type: 'heartbeat-reply'; term: Term; read: number; verified: LogIndex; suspect: boolean }
  /** Leader to the target of a transfer (dissertation §3.10). */
  | { type: 'timeout-now'; term: Term }
  /**
   * A suspect node to its leader: where does your log end now? `id` is drawn anew in each boot and
   * term, so that an answer to an earlier question is not taken for one to this (suspicion.ts).
   */
  | { type: 'catch-up'; term: Term; id: number }
  | { type: 'catch-up-reply'; term: Term; id: number; index: LogIndex }
  /**
   * Whoever knows better to a node that asks for votes, and the leader to those it has removed: the
   * configuration committed at `index` is without you. The receiver does not campaign any more.
   */
  | { type: 'removed'; term: Term; index: LogIndex };

export interface Envelope {
  readonly to: NodeId;
  readonly message: Message;
}

export type Input =
  /** Time has passed. `now` never goes back. The core says when it wants the next: nextDeadline. */
  | { kind: 'tick'; now: Ms }
  | { kind: 'message'; now: Ms; from: NodeId; message: Message }
  /** `id`s are the driver's, answered by `proposals` effects. */
  | {
      kind: 'propose';
      now: Ms;
      proposals: readonly { id: number; timeMs: number; data: Uint8Array }[];
    }
  | { kind: 'read-index'; now: Ms; id: number }
  /** The newest `persist` effect up to this mark is durable; stale marks are ignored. */
  | { kind: 'persisted'; now: Ms; index: LogIndex; term: Term; hardTerm: Term }
  /** The state machine has applied up to `index`, durably up to `durable`. */
  | { kind: 'applied'; now: Ms; index: LogIndex; durable: LogIndex }
  /** Transport evidence: connection closed and not answered again (`down`), or back (`up`). */
  | { kind: 'peer-down' | 'peer-up'; now: Ms; peer: NodeId }
  | { kind: 'transfer'; now: Ms; to?: NodeId }
  /**
   * Change the members; answered by `reconfigure-accepted` or `-rejected`. Accepted means begun: it
   * goes on by itself, also under later leaders, and `conf` effects tell how far it is.
   */
  | {
      kind: 'reconfigure';
      now: Ms;
      id: number;
      voters: readonly NodeId[];
      learners: readonly NodeId[];
      /** Voters that have lost their disks: they start over as learners. */
      renew?: readonly NodeId[];
    }
  | { kind: 'snapshot-sent'; now: Ms; to: NodeId; index: LogIndex; ok: boolean }
  /** A whole verified snapshot of the leader `from` at `term` is staged on this node. */
  | { kind: 'snapshot-received'; now: Ms; from: NodeId; term: Term; meta: SnapshotMeta }
  | { kind: 'snapshot-installed'; now: Ms; meta: SnapshotMeta };

export type RejectReason = 'not-leader' | 'busy' | 'transferring';

/**
 * `not-ready`: this term has committed nothing yet, or not every voter that matters had the time to
 * answer. `pending`: another change is on its way. `would-lose-quorum`: of those who would have a
 * vote then, too few answer.
 */
export type ReconfigureRefusal =
  | 'not-leader'
  | 'not-ready'
  | 'pending'
  | 'transferring'
  | 'would-lose-quorum'
  | 'impossible';

export type Effect =
  /** May leave at once. */
  | { kind: 'send'; to: NodeId; message: Message }
  /**
   * Write in this order: truncate, append, hard state; sync; then send `then` and feed `persisted`
   * with (index, term) of the last entry and hardTerm. Effects are persisted in order.
   */
  | {
      kind: 'persist';
      hardState?: HardState;
      /** Delete entries from this index on, before appending. */
      truncateFrom?: LogIndex;
      append: readonly Entry[];
      then: readonly Envelope[];
      index: LogIndex;
      term: Term;
      hardTerm: Term;
    }
  /** Committed entries in order, each exactly once. */
  | { kind: 'apply'; entries: readonly Entry[] }
  | { kind: 'proposed'; id: number; index: LogIndex; term: Term }
  | { kind: 'proposal-rejected'; id: number; reason: RejectReason; leader: NodeId | undefined }
  /** Reads are linearizable once the state machine has applied `index`. */
  | { kind: 'read-ready'; id: number; index: LogIndex }
  | { kind: 'read-rejected'; id: number; leader: NodeId | undefined }
  | { kind: 'role'; role: Role; term: Term; leader: NodeId | undefined }
  /** The follower needs what the log no longer has. */
  | { kind: 'send-snapshot'; to: NodeId }
  /**
   * Swap the staged snapshot in, atomically; then feed `snapshot-installed`. Takes its place in the
   * order of the persist effects: after those before it, before those after it.
   */
  | { kind: 'install-snapshot'; from: NodeId; meta: SnapshotMeta }
  /** Nothing before or at this index is needed by the log any more; `meta` is for LogStore.compact. */
  | { kind: 'compact'; upTo: LogIndex; meta: SnapshotMeta }
  /** A transfer ended: with this new leader, or (undefined) without one. */
  | { kind: 'transfer-done'; to: NodeId | undefined }
  /** `index`: the entry that begins the change; undefined: everything is as asked for already. */
  | { kind: 'reconfigure-accepted'; id: number; index: LogIndex | undefined }
  | {
      kind: 'reconfigure-rejected';
      id: number;
      reason: ReconfigureRefusal;
      /** For people. */
      why: string;
      leader: NodeId | undefined;
    }
  /**
   * The configuration in force here, or what is known about it, has changed. `isRemoved`: others
   * say that a newer one, which will not come here, is without this node.
   */
  | {
      kind: 'conf';
      conf: ConfState;
      index: LogIndex;
      isCommitted: boolean;
      isRemoved: boolean;
    };

/** Milliseconds; DESIGN defaults in config.ts. */
export interface RaftTiming {
  readonly heartbeatMs: Ms;
  readonly electionMinMs: Ms;
  readonly electionMaxMs: Ms;
}

/** What a node reads back at boot. */
export interface StoredState {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  /** Entries after the snapshot, contiguous. */
  readonly entries: readonly Entry[];
  /** Durable applied index of the state machine. */
  readonly applied: LogIndex;
}

/** One durable step; see the `persist` effect for the order. */
export interface LogBatch {
  readonly hardState?: HardState;
  readonly truncateFrom?: LogIndex;
  readonly append: readonly Entry[];
}

/** What a log gives back at boot, and how far it is to be trusted (recovery.ts). */
export interface LoadedLog extends Omit<StoredState, 'applied'> {
  /** Why this node is suspect: it may have lost what it acknowledged. */
  readonly doubt?: string | undefined;
  /** Why what it once promised is not known any more: it must start as somebody new. */
  readonly wiped?: string | undefined;
}

/** Where the log lives. One batch in flight at a time per caller; errors are fatal. */
export interface LogStore {
  /** Boot scan: CRC, contiguity, term chain. What is broken is repaired as far as it can be. */
  load(): Promise<LoadedLog>;
  /** Durable: this node is suspect from now on, also after a crash, until `trust`. */
  doubt(reason: string): Promise<void>;
  trust(): Promise<void>;
  /** Durable when it resolves. Calls are applied in order; many are coalesced into one sync. */
  write(batch: LogBatch): Promise<void>;
  /** Entries in [from, to), at most `bytesMax` but at least one; for followers far behind. */
  read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<Entry[]>;
  /** Forget entries up to `meta.index`, which a durable state machine covers. */
  compact(meta: SnapshotMeta): Promise<void>;
  /** Replace everything by a snapshot's position (after an install). */
  reset(meta: SnapshotMeta, hardState: HardState): Promise<void>;
  /** The same, where what is there cannot be used: it is moved aside. Only between two cores. */
  startOver(meta: SnapshotMeta, hardState: HardState): Promise<void>;
  close(): Promise<void>;
}

/** The state of one moment, as bytes. Close it, or overwritten rows pile up. */
export interface SnapshotImage {
  readonly index: LogIndex;
  readonly term: Term;
  /** From the beginning; the same bytes each time. */
  open(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** What the driver asks of the thing that is replicated. Implemented by src/store. */
export interface ReplicatedMachine {
  /** Index of the last applied entry that is durable on disk; asked at boot. */
  readonly appliedIndex: LogIndex;
  /** The newest snapshot that was installed here; lets a boot finish an install cut off by a crash. */
  readonly installedSnapshot?: SnapshotMeta | undefined;
  /**
   * Apply in order, synchronously in memory; one result per entry. Durability follows by itself:
   * `onDurable` reports it.
   */
  apply(entries: readonly Entry[]): readonly unknown[];
  onDurable(listener: (index: LogIndex) => void): void;
  /** A consistent image at the applied index; applying goes on meanwhile. */
  image(): Promise<SnapshotImage>;
  /** Stage a received image; nothing visible changes until `installStaged`. */
  stage(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  installStaged(meta: SnapshotMeta): Promise<void>;
  /** Durable: nothing is applied any more. What cannot be trusted is replaced by the log's or a leader's. */
  startOver(): Promise<void>;
}
