/**
 * The leader's side of log replication (Raft §5.3), commitment (§5.4.2), heartbeats and
 * check-quorum. The follower's side is in follower.ts.
 *
 * The leader's own disk works in parallel with replication (dissertation §10.2.1): appends leave
 * at once, and the leader's own match index is what its disk has confirmed.
 */
import { assert, type LogIndex, type NodeId } from '../base/index.js';
import { DISK_STALL_MIN_MS } from './config.js';
import { entryBytes } from './log.js';
import type { Progress } from './progress.js';
import { hasQuorum, membersOf, quorumValue } from './quorum.js';
import { answerReads } from './read-index.js';
import type { Leadership, RaftState } from './state.js';
import { maybeSendTimeoutNow } from './transfer.js';
import type { Message } from './types.js';

type AppendReply = Extract<Message, { type: 'append-reply' }>;
type HeartbeatReply = Extract<Message, { type: 'heartbeat-reply' }>;

export function otherMembers(state: RaftState): NodeId[] {
  return membersOf(state.conf).filter((member) => member !== state.self);
}

/** Sends each member what it lacks and may get now. */
export function replicateToAll(state: RaftState, leading: Leadership): void {
  for (const [peer, progress] of leading.progress) replicateTo(state, peer, progress);
}

/** Fills the peer's in-flight window; says a new commit index where no append carries it. */
export function replicateTo(state: RaftState, peer: NodeId, progress: Progress): void {
  // A probe goes out even without entries: its answer is the point.
  while (
    !progress.isPaused &&
    (progress.next <= state.log.lastIndex || progress.state === 'probe')
  ) {
    if (!sendAppend(state, peer, progress)) return;
  }
  const knowsAll = progress.state === 'replicate' && progress.inflightCount === 0;
  if (knowsAll && progress.commitSent < state.commit) sendAppend(state, peer, progress);
}

/**
 * One append from `next` on, empty where there is nothing more. False when the log no longer has
 * what the follower needs: it needs a snapshot instead.
 */
function sendAppend(state: RaftState, peer: NodeId, progress: Progress): boolean {
  const prevIndex = progress.next - 1;
  const prevTerm = state.log.term(prevIndex);
  if (prevTerm === undefined) {
    maybeSendSnapshot(state, peer, progress);
    return false;
  }
  const { messageEntriesMax, messageBytesMax } = state.limits;
  const entries = state.log.slice(progress.next, messageEntriesMax, messageBytesMax);
  assert(entries.length === 0 || entries[0]?.index === prevIndex + 1, 'append leaves a gap');
  progress.onSent(prevIndex + entries.length, entries.length, state.now);
  progress.commitSent = state.commit;
  const { term, commit } = state;
  state.send(peer, { type: 'append', term, prevIndex, prevTerm, commit, entries });
  return true;
}

/** Only to a member that answers: a snapshot for a dead one would be built for nothing. */
function maybeSendSnapshot(state: RaftState, peer: NodeId, progress: Progress): void {
  if (state.down.has(peer) || state.now - progress.activeAt > state.timing.electionMaxMs) {
    progress.isProbeSent = true;
    return;
  }
  progress.becomeSnapshot();
  state.emit({ kind: 'send-snapshot', to: peer });
}

/** Heartbeats go apart from appends, so that neither a slow disk nor a big append delays them. */
export function broadcastHeartbeat(state: RaftState, leading: Leadership): void {
  const { term, commit } = state;
  const read = leading.reads.number;
  for (const peer of leading.progress.keys()) {
    state.send(peer, { type: 'heartbeat', term, commit, read });
  }
}

export function onAppendReply(
  state: RaftState,
  leading: Leadership,
  from: NodeId,
  reply: AppendReply,
): void {
  const progress = leading.progress.get(from);
  // A reply beyond our log cannot come from a member that follows us: refuse it.
  if (progress === undefined || reply.index > state.log.lastIndex) return;
  progress.onAnswer(state.now);
  if (reply.ok) onAccepted(state, leading, from, progress, reply.index);
  else onRefused(state, progress, reply);
  replicateTo(state, from, progress);
  maybeSendTimeoutNow(state, leading, from);
}

function onAccepted(
  state: RaftState,
  leading: Leadership,
  from: NodeId,
  progress: Progress,
  index: LogIndex,
): void {
  const isNews = progress.onAccepted(index);
  if (progress.state === 'probe') progress.becomeReplicate();
  // The follower caught up by other means (an earlier snapshot, a late append).
  if (progress.state === 'snapshot' && progress.match >= state.log.snapshotIndex) {
    progress.becomeReplicate();
  }
  if (isNews && maybeCommit(state, leading)) {
    for (const [peer, other] of leading.progress) {
      if (peer !== from) replicateTo(state, peer, other);
    }
  }
}

/** The logs differ at `reply.index`: go back to where they may agree (Raft §5.3, end). */
function onRefused(state: RaftState, progress: Progress, reply: AppendReply): void {
  const { log } = state;
  const hint = Math.min(reply.hintIndex, reply.index);
  // Below our snapshot no guess is needed: the follower has to get that.
  const guess = hint < log.snapshotIndex ? hint : log.lastIndexWithTermAtMost(hint, reply.hintTerm);
  switch (progress.state) {
    case 'snapshot':
      return;
    case 'replicate':
      // A refusal at or below `match` is a late copy of an old one, or the follower lost what it
      // had acknowledged. A probe right at `match` tells which.
      progress.becomeProbe(reply.index <= progress.match ? progress.match + 1 : guess + 1);
      return;
    case 'probe':
      if (reply.index !== progress.next - 1) return;
      if (reply.index <= progress.match) progress.regress(guess + 1);
      else progress.becomeProbe(Math.min(reply.index, guess + 1));
      return;
  }
}

export function onHeartbeatReply(
  state: RaftState,
  leading: Leadership,
  from: NodeId,
  reply: HeartbeatReply,
): void {
  const progress = leading.progress.get(from);
  if (progress === undefined) return;
  progress.onAnswer(state.now);
  progress.isSuspect = reply.suspect;
  progress.readAck = Math.max(progress.readAck, Math.min(reply.read, leading.reads.number));
  answerReads(state);
  maybeStartReadRound(state, leading);
  recoverLost(state, from, progress, reply.verified);
  replicateTo(state, from, progress);
  maybeSendTimeoutNow(state, leading, from);
}

/**
 * A heartbeat's answer shows what was lost on the way: within two heartbeats everything lost is
 * sent again, without any timer per message.
 */
function recoverLost(state: RaftState, peer: NodeId, progress: Progress, verified: LogIndex): void {
  if (progress.state === 'probe') {
    progress.isProbeSent = false;
    return;
  }
  if (progress.state === 'snapshot') {
    // It has what our log begins with: installed, and the acknowledgement was lost.
    if (verified >= state.log.snapshotIndex) progress.becomeProbe(verified + 1);
    return;
  }
  const sent = progress.next - 1;
  if (progress.inflightCount === 0) {
    // It restarted and forgot how far it was verified, or it lost acknowledged entries.
    if (verified < progress.match) sendEmpty(state, peer, progress);
    return;
  }
  if (!progress.isOverdue(state.now, state.timing.heartbeatMs)) return;
  // Everything arrived: only the answer is missing, or the follower's disk is slow.
  if (verified >= sent) sendEmpty(state, peer, progress);
  else progress.rewindTo(Math.max(progress.match, verified));
}

/** An append without entries at the end of what was sent: asks for an acknowledgement. */
function sendEmpty(state: RaftState, peer: NodeId, progress: Progress): void {
  const prevIndex = progress.next - 1;
  const prevTerm = state.log.term(prevIndex);
  if (prevTerm === undefined) {
    // Compacted meanwhile: the follower cannot go on from there, and replicateTo will find out.
    progress.rewindTo(progress.match);
    return;
  }
  const { term, commit } = state;
  progress.commitSent = commit;
  state.send(peer, { type: 'append', term, prevIndex, prevTerm, commit, entries: [] });
}

/**
 * Raft §5.3, §5.4.2: an index is committed when a quorum has it durably *and* its entry is of the
 * leader's own term; earlier entries are committed with it, never by counting.
 */
export function maybeCommit(state: RaftState, leading: Leadership): boolean {
  const index = quorumValue(state.conf, (voter) =>
    voter === state.self ? state.log.stable : (leading.progress.get(voter)?.match ?? 0),
  );
  if (index <= state.commit || state.log.term(index) !== state.term) return false;
  const isFirst = state.commit < leading.firstIndex;
  for (let at = state.commit + 1; at <= index; at += 1) {
    const entry = state.log.entry(at);
    if (entry !== undefined) leading.uncommittedBytes -= entryBytes(entry);
  }
  state.commitTo(index);
  if (isFirst) {
    leading.reads.release(state.commit);
    maybeStartReadRound(state, leading);
  }
  return true;
}

/** A round starts at once when none is on its way; else the waiting reads share the next. */
export function maybeStartReadRound(state: RaftState, leading: Leadership): void {
  const { reads } = leading;
  if (reads.waiting.length === 0 || reads.rounds.length > 0) return;
  startReadRound(state, leading);
}

function startReadRound(state: RaftState, leading: Leadership): void {
  leading.reads.startRound();
  broadcastHeartbeat(state, leading);
  answerReads(state);
}

/** Every heartbeat interval. Returns why leadership must end, if it must. */
export function tickLeader(state: RaftState, leading: Leadership): string | undefined {
  leading.heartbeatAt = state.now + state.timing.heartbeatMs;
  if (!isQuorumActive(state, leading)) return 'no quorum answers';
  if (isDiskStalled(state, leading)) return 'the disk is stuck';
  leading.reads.startRound();
  broadcastHeartbeat(state, leading);
  answerReads(state);
  return undefined;
}

/** Check-quorum (dissertation §6.2): a leader without a quorum would hold its clients up. */
function isQuorumActive(state: RaftState, leading: Leadership): boolean {
  const since = state.now - state.timing.electionMaxMs;
  return hasQuorum(state.conf, (voter) => {
    if (voter === state.self) return true;
    const progress = leading.progress.get(voter);
    return progress !== undefined && progress.activeAt >= since;
  });
}

function isDiskStalled(state: RaftState, leading: Leadership): boolean {
  if (leading.diskBusySince === undefined) return false;
  const limit = Math.max(DISK_STALL_MIN_MS, 2 * state.timing.electionMaxMs);
  return state.now - leading.diskBusySince > limit;
}
