/**
 * All variables of one Raft node (Raft figure 2, "State"), and the only ways out of it: messages,
 * persist effects, apply effects. It decides nothing; roles.ts, election.ts, replication.ts and
 * their neighbours do.
 *
 * The persistence contract lives here:
 * - a promise (a granted vote, an accepted append) leaves only inside a persist effect's `then`,
 *   or directly where what it promises is known to be durable already;
 * - no message leaves before the term that it reveals is durable;
 * - a node's own vote and own log count only when `persisted` says so.
 */
import { assert, type LogIndex, type Ms, type NodeId, type Rng, type Term } from '../base/index.js';
import { DEFAULT_LIMITS, type RaftLimits, type RaftOptions, validateTiming } from './config.js';
import { RaftLog } from './log.js';
import type { Progress } from './progress.js';
import { isVoter } from './quorum.js';
import type { ReadQueue } from './read-index.js';
import type {
  ConfState,
  Effect,
  Entry,
  Envelope,
  Message,
  RaftTiming,
  Role,
  SnapshotMeta,
  StoredState,
} from './types.js';

const APPLY_BATCH_ENTRIES = 512;
const APPLY_BATCH_BYTES = 1024 * 1024;

/** What only a leader has (Raft figure 2, "Volatile state on leaders"). */
export interface Leadership {
  /** Every other member; the leader's own match index is its log's `stable`. */
  readonly progress: Map<NodeId, Progress>;
  readonly reads: ReadQueue;
  /** Index of this term's no-op: below it nothing is committed by counting (Raft §5.4.2). */
  readonly firstIndex: LogIndex;
  heartbeatAt: Ms;
  /** Since when the own disk owes an answer, without any progress. */
  diskBusySince: Ms | undefined;
  uncommittedBytes: number;
  /** Learners on their way to a vote: see reconfigure.ts. */
  readonly catchUps: Map<NodeId, CatchUp>;
  /** Removed by an entry that is not yet committed; told when it is. */
  readonly leaving: Set<NodeId>;
  transfer: { readonly to: NodeId; readonly deadline: Ms } | undefined;
}

/** One round of replication to a new voter (dissertation §4.2.1). */
export interface CatchUp {
  /** What there was to replicate when the round began. */
  readonly goal: LogIndex;
  readonly since: Ms;
}

export class RaftState {
  readonly self: NodeId;
  readonly timing: RaftTiming;
  readonly limits: RaftLimits;
  readonly rng: Rng;
  now: Ms;

  role: Role = 'follower';
  term: Term;
  vote: NodeId | undefined;
  /** Undefined also when it was forgotten on evidence that its process is gone. */
  leader: NodeId | undefined;
  /** The newest term that is on disk, with its vote. */
  durableTerm: Term;

  readonly log: RaftLog;
  commit: LogIndex;
  /** Handed out in apply effects; at most `limits.applyEntriesMax` above `applied`. */
  applying: LogIndex;
  applied: LogIndex;
  appliedDurable: LogIndex;
  isSuspect: boolean;
  /** A suspect node's question to the leader of this term, and its answer (suspicion.ts). */
  recovery: { readonly id: number; readonly goal: LogIndex | undefined } | undefined;
  /** Told that the configuration committed there is without this node; until a leader is heard. */
  removedAt: LogIndex | undefined;

  /**
   * Follower: the log is known to equal the current leader's up to here. At least `commit`, by
   * Leader Completeness (Raft §5.4.3); the rest comes from accepted appends of this term.
   */
  verified: LogIndex;
  /** When a current leader was heard last; vote stickiness is measured from here. */
  heardAt: Ms = Number.NEGATIVE_INFINITY;
  /** Pre-votes that voters asked for lately, and that were refused because a leader lives. */
  readonly asked = new Map<
    NodeId,
    { readonly message: Extract<Message, { type: 'pre-vote' }>; readonly at: Ms }
  >();
  /** A staged snapshot that is being swapped in. Until then no append and no campaign. */
  installing: { readonly from: NodeId; readonly meta: SnapshotMeta } | undefined;
  electionDeadline: Ms = 0;
  votes = new Map<NodeId, boolean>();
  /** Peers whose process is gone, by the transport's evidence. */
  readonly down = new Set<NodeId>();
  /** Until then failed election rounds are repeated fast (DESIGN: fast failover). */
  fastUntil: Ms = Number.NEGATIVE_INFINITY;
  /** A transfer ended our leadership; its outcome is known when the next leader is. */
  isTransferOpen = false;

  leading: Leadership | undefined;

  /** When the next tick was due; how late it comes tells whether this process slept. */
  armedDeadline: Ms = Number.POSITIVE_INFINITY;
  /** A late tick was forgiven; the next one will not be. */
  isLateForgiven = false;

  #effects: Effect[] = [];
  #then: Envelope[] = [];
  #emittedTerm: Term;
  #emittedVote: NodeId | undefined;
  #emittedRole: { role: Role; term: Term; leader: NodeId | undefined };
  #emittedConf: { conf: ConfState; isCommitted: boolean; isRemoved: boolean };

  constructor(options: RaftOptions, stored: StoredState, now: Ms) {
    const problems = validateTiming(options.timing);
    assert(problems.length === 0, problems.join('; '));
    this.self = options.self;
    this.timing = options.timing;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.rng = options.rng;
    this.isSuspect = options.isSuspect ?? false;
    this.now = now;
    this.term = this.durableTerm = this.#emittedTerm = stored.hardState.term;
    this.vote = this.#emittedVote = stored.hardState.vote;
    this.log = new RaftLog(stored.snapshot, stored.entries);
    assert(stored.applied >= stored.snapshot.index, 'the log forgot what was never applied');
    assert(stored.applied <= this.log.lastIndex, 'the state machine is ahead of the log');
    assert(this.log.lastTerm <= this.term, 'the log is from a later term than the hard state');
    // What was applied was committed; more is learned from the leader (Raft figure 2).
    this.commit = Math.max(stored.snapshot.index, stored.applied);
    this.applying = this.applied = this.appliedDurable = this.commit;
    this.verified = this.commit;
    this.#emittedRole = { role: this.role, term: this.term, leader: undefined };
    this.#emittedConf = { conf: this.conf, isCommitted: this.isConfCommitted, isRemoved: false };
  }

  /** In force as soon as it is in the log (Raft §6). */
  get conf(): ConfState {
    return this.log.conf;
  }

  get isConfCommitted(): boolean {
    return this.log.confIndex <= this.commit;
  }

  get isPromotable(): boolean {
    if (this.isSuspect || this.removedAt !== undefined) return false;
    return this.installing === undefined && isVoter(this.conf, this.self);
  }

  get isFast(): boolean {
    return this.now < this.fastUntil;
  }

  emit(effect: Effect): void {
    this.#effects.push(effect);
  }

  /** Promises nothing, but reveals the term: waits for that to be durable, usually not at all. */
  send(to: NodeId, message: Message): void {
    if (this.durableTerm === this.term) this.emit({ kind: 'send', to, message });
    else this.#then.push({ to, message });
  }

  /** Leaves when everything decided in this step is durable. */
  sendDurable(to: NodeId, message: Message): void {
    this.#then.push({ to, message });
  }

  /** Adopts a term, and with it an unused vote (Raft §5.1). */
  setTerm(term: Term): void {
    assert(term > this.term, `term ${term} does not exceed ${this.term}`);
    this.term = term;
    this.vote = undefined;
    this.verified = this.commit;
    this.recovery = undefined;
  }

  /** The only place where the commit index moves. */
  commitTo(index: LogIndex): void {
    if (index <= this.commit) return;
    assert(index <= this.log.lastIndex, `commit ${index} is beyond the log`);
    this.commit = index;
    this.verified = Math.max(this.verified, index);
    this.emitApplies();
  }

  /** Hands out what is committed, durable here, and not above the window. */
  emitApplies(): void {
    if (this.installing !== undefined) return;
    const window = this.applied + this.limits.applyEntriesMax;
    const end = Math.min(this.commit, this.log.stable, window);
    while (this.applying < end) {
      const countMax = Math.min(APPLY_BATCH_ENTRIES, end - this.applying);
      const entries = this.log.slice(this.applying + 1, countMax, APPLY_BATCH_BYTES);
      assert(entries[0]?.index === this.applying + 1, 'entries to apply are missing');
      this.applying += entries.length;
      this.emit({ kind: 'apply', entries });
    }
  }

  /** Ends a step: what must become durable goes out as one persist effect; then the role. */
  takeEffects(): readonly Effect[] {
    this.#emitPersist();
    const said = this.#emittedRole;
    if (said.role !== this.role || said.term !== this.term || said.leader !== this.leader) {
      this.#emittedRole = { role: this.role, term: this.term, leader: this.leader };
      this.emit({ kind: 'role', ...this.#emittedRole });
    }
    this.#emitConf();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #emitConf(): void {
    const { conf, isConfCommitted: isCommitted } = this;
    const said = this.#emittedConf;
    const isRemoved = this.removedAt !== undefined;
    if (said.conf === conf && said.isCommitted === isCommitted && said.isRemoved === isRemoved) {
      return;
    }
    this.#emittedConf = { conf, isCommitted, isRemoved };
    this.emit({ kind: 'conf', conf, index: this.log.confIndex, isCommitted, isRemoved });
  }

  #emitPersist(): void {
    const { truncateFrom, append } = this.log.takeUnpersisted();
    const isHardNew = this.term !== this.#emittedTerm || this.vote !== this.#emittedVote;
    const isLogNew = truncateFrom !== undefined || append.length > 0;
    if (!isHardNew && !isLogNew && this.#then.length === 0) return;
    this.emit({
      kind: 'persist',
      ...(isHardNew ? { hardState: { term: this.term, vote: this.vote } } : {}),
      ...(truncateFrom === undefined ? {} : { truncateFrom }),
      append,
      // biome-ignore lint/suspicious/noThenProperty: effects are never awaited
      then: this.#then,
      index: this.log.lastIndex,
      term: this.log.lastTerm,
      hardTerm: this.term,
    });
    this.#then = [];
    this.#emittedTerm = this.term;
    this.#emittedVote = this.vote;
  }
}

/** Entries of a proposal or the leader's own, added to its log. Returns the entry. */
export function appendOwn(
  state: RaftState,
  leading: Leadership,
  kind: Entry['kind'],
  timeMs: number,
  data: Uint8Array,
): Entry {
  const entry: Entry = { index: state.log.lastIndex + 1, term: state.term, kind, timeMs, data };
  state.log.append(entry);
  leading.diskBusySince ??= state.now;
  return entry;
}
