/**
 * The consensus core: one Raft node as a synchronous value machine. `step(input)` changes the
 * state and returns what must happen, in order. It has no clock, chance, I/O or promises of its
 * own; time comes with each input, random numbers from the given stream.
 *
 * Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), cited
 * as Raft; Ongaro, "Consensus: Bridging Theory and Practice" (2014), cited as dissertation. The
 * shape follows etcd-io/raft. Where we differ from both, the file says so.
 */
import {
  assert,
  assertNever,
  type LogIndex,
  type Ms,
  type NodeId,
  type Term,
} from '../base/index.js';
import type { RaftOptions } from './config.js';
import {
  campaign,
  hasLiveLeader,
  onOwnVoteDurable,
  onPeerDown,
  onPreVote,
  onPreVoteReply,
  onVote,
  onVoteReply,
} from './election.js';
import {
  onAppend,
  onHeartbeat,
  onSnapshotInstalled,
  onSnapshotReceived,
  onSnapshotSent,
} from './follower.js';
import { assertInvariants, type Marks, marksOf } from './invariants.js';
import { entryBytes } from './log.js';
import {
  isLeaving,
  maybeAdvanceConf,
  maybeTellRemoved,
  onRemoved,
  startReconfigure,
} from './reconfigure.js';
import {
  maybeCommit,
  maybeStartReadRound,
  onAppendReply,
  onHeartbeatReply,
  replicateTo,
  replicateToAll,
} from './replication.js';
import { armElection, becomeFollower } from './roles.js';
import { appendOwn, RaftState } from './state.js';
import { maybeClearSuspicion, onCatchUp, onCatchUpReply } from './suspicion.js';
import { describeStatus, type RaftStatus } from './status.js';
import { nextDeadline, onTick } from './timers.js';
import { startTransfer } from './transfer.js';
import type {
  ConfState,
  Effect,
  Input,
  Message,
  RejectReason,
  Role,
  StoredState,
} from './types.js';

/** A follower that was silent for longer holds up no compaction. */
const CATCH_UP_ACTIVE_MS = 5_000;

type Propose = Extract<Input, { kind: 'propose' }>;
type Persisted = Extract<Input, { kind: 'persisted' }>;
type Applied = Extract<Input, { kind: 'applied' }>;

export class RaftCore {
  readonly #state: RaftState;
  #marks: Marks;

  /** `stored`: what the node read back at boot. Starts as a follower (Raft §5.2). */
  constructor(options: RaftOptions, stored: StoredState, now: Ms) {
    this.#state = new RaftState(options, stored, now);
    armElection(this.#state);
    this.#state.armedDeadline = nextDeadline(this.#state);
    this.#marks = marksOf(this.#state);
  }

  /** Effects are to be carried out in this order; see `Effect`. */
  step(input: Input): readonly Effect[] {
    const state = this.#state;
    state.now = Math.max(state.now, input.now);
    dispatch(state, input);
    if (state.leading !== undefined) maybeAdvanceConf(state, state.leading);
    const effects = state.takeEffects();
    state.armedDeadline = nextDeadline(state);
    this.#marks = assertInvariants(state, this.#marks);
    return effects;
  }

  /** When the next `tick` is wanted. Infinity: never, by itself. Changes with every step. */
  nextDeadline(): Ms {
    return this.#state.armedDeadline;
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): Term {
    return this.#state.term;
  }

  /** Undefined while none is known. */
  get leader(): NodeId | undefined {
    return this.#state.leader;
  }

  /** Everything up to here is decided; it may not be applied or even durable on this node yet. */
  get commit(): LogIndex {
    return this.#state.commit;
  }

  /** In force here, committed or not. */
  get conf(): ConfState {
    return this.#state.conf;
  }

  /** May have lost what it once promised: neither votes nor campaigns. */
  get isSuspect(): boolean {
    return this.#state.isSuspect;
  }

  /** The configuration that a snapshot at `index` must carry; undefined below the log. */
  confAt(index: LogIndex): ConfState | undefined {
    return this.#state.log.confAt(index);
  }

  /** For people, metrics and tests; a copy. */
  status(): RaftStatus {
    return describeStatus(this.#state);
  }
}

function dispatch(state: RaftState, input: Input): void {
  switch (input.kind) {
    case 'tick':
      onTick(state);
      break;
    case 'message':
      onMessage(state, input.from, input.message);
      break;
    case 'propose':
      onPropose(state, input.proposals);
      break;
    case 'read-index':
      onReadIndex(state, input.id);
      break;
    case 'persisted':
      onPersisted(state, input);
      break;
    case 'applied':
      onApplied(state, input);
      break;
    case 'peer-down':
      onPeerDown(state, input.peer);
      break;
    case 'peer-up':
      onPeerUp(state, input.peer);
      break;
    case 'transfer':
      startTransfer(state, input.to);
      break;
    case 'reconfigure':
      startReconfigure(state, input.id, input);
      break;
    case 'snapshot-sent':
      onSnapshotSentInput(state, input.to, input.index, input.ok);
      break;
    case 'snapshot-received':
      onSnapshotReceived(state, input.from, input.term, input.meta);
      break;
    case 'snapshot-installed':
      onSnapshotInstalled(state, input.meta);
      break;
    default:
      assertNever(input, 'input');
  }
}

/** Raft §5.1 first: terms are compared before anything is looked at. */
function onMessage(state: RaftState, from: NodeId, message: Message): void {
  if (from === state.self) return;
  state.down.delete(from);
  if (message.type === 'pre-vote' || message.type === 'vote') maybeTellRemoved(state, from);
  if (message.term > state.term) {
    if (!maybeAdoptTerm(state, from, message)) return;
  } else if (message.term < state.term) {
    onStaleMessage(state, from, message);
    return;
  }
  switch (message.type) {
    case 'pre-vote':
      onPreVote(state, from, message);
      break;
    case 'pre-vote-reply':
      onPreVoteReply(state, from, message);
      break;
    case 'vote':
      onVote(state, from, message);
      break;
    case 'vote-reply':
      onVoteReply(state, from, message.granted);
      break;
    case 'append':
      onAppend(state, from, message);
      break;
    case 'append-reply':
      if (state.leading !== undefined) onAppendReply(state, state.leading, from, message);
      break;
    case 'heartbeat':
      onHeartbeat(state, from, message);
      break;
    case 'heartbeat-reply':
      if (state.leading !== undefined) onHeartbeatReply(state, state.leading, from, message);
      break;
    case 'timeout-now':
      onTimeoutNow(state, from);
      break;
    case 'catch-up':
      onCatchUp(state, from, message);
      break;
    case 'catch-up-reply':
      if (state.leader === from) onCatchUpReply(state, message);
      break;
    case 'removed':
      onRemoved(state, message.index);
      break;
    default:
      assertNever(message, 'message');
  }
}

/** "If RPC contains term T > currentTerm: set currentTerm = T, convert to follower" (figure 2). */
function maybeAdoptTerm(state: RaftState, from: NodeId, message: Message): boolean {
  switch (message.type) {
    case 'pre-vote':
      // A question about a future term, which nobody is in yet.
      return true;
    case 'pre-vote-reply':
      // A grant names the term that we asked about; a refusal names the voter's.
      if (message.granted) return message.term === state.term + 1;
      break;
    case 'vote':
      // Stickiness, dissertation §4.2.3: the term is not adopted either.
      if (hasLiveLeader(state) && !message.transfer) {
        state.send(from, { type: 'vote-reply', term: state.term, granted: false });
        return false;
      }
      break;
    default:
      break;
  }
  const isLeaders = message.type === 'append' || message.type === 'heartbeat';
  becomeFollower(state, message.term, isLeaders ? from : undefined);
  return true;
}

/** Old requests are answered with our term, so that a deposed sender learns it (Raft §5.1). */
function onStaleMessage(state: RaftState, from: NodeId, message: Message): void {
  const { term } = state;
  switch (message.type) {
    case 'pre-vote':
      state.send(from, { type: 'pre-vote-reply', term, granted: false });
      break;
    case 'vote':
      state.send(from, { type: 'vote-reply', term, granted: false });
      break;
    case 'append':
    case 'heartbeat':
      state.send(from, refusal(term));
      break;
    default:
      break;
  }
}

function refusal(term: Term): Message {
  return { type: 'append-reply', term, ok: false, index: 0, hintIndex: 0, hintTerm: 0 };
}

/** The leader hands over to us: no pre-vote, it would be refused (dissertation §3.10). */
function onTimeoutNow(state: RaftState, from: NodeId): void {
  if (state.role !== 'follower' || state.leader !== from || !state.isPromotable) return;
  campaign(state, true);
}

function onPropose(state: RaftState, proposals: Propose['proposals']): void {
  const { leading, leader } = state;
  for (const { id, timeMs, data } of proposals) {
    const reason = whyRejected(state);
    if (leading === undefined || reason !== undefined) {
      state.emit({ kind: 'proposal-rejected', id, reason: reason ?? 'not-leader', leader });
      continue;
    }
    const entry = appendOwn(state, leading, 'command', timeMs, data);
    leading.uncommittedBytes += entryBytes(entry);
    state.emit({ kind: 'proposed', id, index: entry.index, term: entry.term });
  }
  if (leading !== undefined) replicateToAll(state, leading);
}

function whyRejected(state: RaftState): RejectReason | undefined {
  const { leading, limits } = state;
  if (leading === undefined) return 'not-leader';
  if (leading.transfer !== undefined || isLeaving(state)) return 'transferring';
  if (state.log.lastIndex - state.commit >= limits.uncommittedEntriesMax) return 'busy';
  return leading.uncommittedBytes >= limits.uncommittedBytesMax ? 'busy' : undefined;
}

function onReadIndex(state: RaftState, id: number): void {
  const { leading } = state;
  if (leading === undefined || leading.reads.size >= state.limits.readsMax) {
    state.emit({ kind: 'read-rejected', id, leader: state.leader });
    return;
  }
  if (state.commit < leading.firstIndex) {
    leading.reads.park(id);
    return;
  }
  leading.reads.add(id, state.commit);
  maybeStartReadRound(state, leading);
}

/**
 * Writes complete in order, and every change of term is written. So a completion of the current
 * term covers all that came before; one of an earlier term may speak of entries that have since
 * been replaced, even by equal-looking ones, and is ignored (the ABA race of asynchronous appends).
 */
function onPersisted(state: RaftState, { index, term, hardTerm }: Persisted): void {
  assert(hardTerm <= state.term, `term ${hardTerm} was never handed out to the disk`);
  state.durableTerm = Math.max(state.durableTerm, hardTerm);
  if (hardTerm !== state.term) return;
  if (state.log.term(index) === term && index > state.log.stable) {
    state.log.markStable(index);
  }
  const { leading } = state;
  if (leading !== undefined) {
    leading.diskBusySince = state.log.stable < state.log.lastIndex ? state.now : undefined;
    if (maybeCommit(state, leading)) replicateToAll(state, leading);
  }
  onOwnVoteDurable(state);
  state.emitApplies();
  maybeClearSuspicion(state);
}

function onApplied(state: RaftState, { index, durable }: Applied): void {
  assert(index <= state.applying, `${index} was never handed out to be applied`);
  assert(durable <= index, 'what is durable is applied');
  state.applied = Math.max(state.applied, index);
  state.appliedDurable = Math.max(state.appliedDurable, durable);
  state.emitApplies();
  maybeCompact(state);
}

/**
 * The log may forget what a durable state machine covers, less a tail for followers that were
 * away; under memory pressure the tail is given up.
 */
function maybeCompact(state: RaftState): void {
  const { log, limits, appliedDurable } = state;
  const isFull = log.bytes > limits.logBytesMax;
  const keep = isFull ? appliedDurable : appliedDurable - limits.trailingEntries;
  const upTo = isFull ? keep : Math.min(keep, neededBy(state));
  if (upTo - log.snapshotIndex < (isFull ? 1 : limits.compactStep)) return;
  const term = log.term(upTo);
  const conf = log.confAt(upTo);
  assert(term !== undefined && conf !== undefined, `cannot compact to ${upTo}: not in the log`);
  log.compact(upTo);
  state.emit({ kind: 'compact', upTo, meta: { index: upTo, term, conf } });
}

function onPeerUp(state: RaftState, peer: NodeId): void {
  state.down.delete(peer);
  resumePeer(state, peer);
}

/**
 * A follower that is getting a snapshot, or catches up after one, would find the log trimmed past it
 * and need another, for ever: what it still lacks is kept, while it answers and memory allows it.
 */
function neededBy(state: RaftState): LogIndex {
  let needed = Number.POSITIVE_INFINITY;
  const activeSince = state.now - CATCH_UP_ACTIVE_MS;
  for (const [peer, progress] of state.leading?.progress ?? []) {
    const isNear = progress.match >= state.commit - state.limits.trailingEntries;
    if (isNear && progress.state === 'replicate') progress.isRecovering = false;
    if (!progress.isRecovering || state.down.has(peer) || progress.activeAt < activeSince) continue;
    needed = Math.min(needed, progress.state === 'snapshot' ? 0 : progress.match);
  }
  return needed;
}

function onSnapshotSentInput(state: RaftState, to: NodeId, index: LogIndex, ok: boolean): void {
  // A follower may have acknowledged the snapshot, and gone on, before the report of its sender.
  const isAwaited = state.leading?.progress.get(to)?.state === 'snapshot';
  onSnapshotSent(state, to, index, ok);
  if (ok && isAwaited) resumePeer(state, to);
}

/** What was on its way is lost or has arrived: ask right now. */
function resumePeer(state: RaftState, peer: NodeId): void {
  const progress = state.leading?.progress.get(peer);
  if (progress === undefined || progress.state === 'snapshot') return;
  progress.becomeProbe(progress.state === 'probe' ? progress.next : undefined);
  replicateTo(state, peer, progress);
}
