/**
 * The follower's side of log replication (Raft §5.3, "AppendEntries RPC" of figure 2), and
 * snapshots from both sides (Raft §7).
 */
import { assert, type LogIndex, type NodeId, type Term } from '../base/index.js';
import { confOfEntry } from './conf.js';
import { becomeFollower, heardLeader } from './roles.js';
import type { RaftState } from './state.js';
import { maybeAskWhereTheLogEnds, maybeClearSuspicion } from './suspicion.js';
import type { Message, SnapshotMeta } from './types.js';

type Append = Extract<Message, { type: 'append' }>;
type Heartbeat = Extract<Message, { type: 'heartbeat' }>;

/** From the leader of the current term: followers, candidates and pre-candidates alike. */
export function onAppend(state: RaftState, from: NodeId, message: Append): void {
  if (state.role === 'leader' || !isWellFormed(message)) return;
  heardLeader(state, from);
  // The log is about to be replaced; the leader sends again when it hears from us.
  if (state.installing !== undefined) return;

  const { prevIndex, prevTerm } = message;
  // At or below the commit index the logs agree by Leader Completeness (Raft §5.4.3).
  if (prevIndex > state.commit && state.log.term(prevIndex) !== prevTerm) {
    refuse(state, from, message);
    return;
  }
  const lastNew = Math.max(prevIndex + message.entries.length, state.commit);
  for (const entry of message.entries) {
    if (entry.index <= state.commit) continue;
    const ours = state.log.term(entry.index);
    if (ours === entry.term) continue;
    // Only a real conflict truncates: a late, shorter message must not drop what came after it.
    if (ours !== undefined) state.log.truncate(entry.index);
    state.log.append(entry);
  }
  state.verified = Math.max(state.verified, lastNew);
  commitVerified(state, message.commit);
  accept(state, from, lastNew);
}

export function onHeartbeat(state: RaftState, from: NodeId, message: Heartbeat): void {
  if (state.role === 'leader') return;
  heardLeader(state, from);
  if (state.installing === undefined) commitVerified(state, message.commit);
  const { term, verified, isSuspect: suspect } = state;
  state.send(from, { type: 'heartbeat-reply', term, read: message.read, verified, suspect });
  maybeAskWhereTheLogEnds(state, from);
}

/**
 * Raft figure 2: commitIndex = min(leaderCommit, index of last new entry). What lies above the
 * last verified entry may be an earlier leader's, whatever the commit index says.
 */
function commitVerified(state: RaftState, leaderCommit: LogIndex): void {
  state.commitTo(Math.min(leaderCommit, state.verified));
  maybeClearSuspicion(state);
}

/** Promised through the disk, or at once where the disk already has it. */
function accept(state: RaftState, to: NodeId, index: LogIndex): void {
  const reply: Message = {
    type: 'append-reply',
    term: state.term,
    ok: true,
    index,
    hintIndex: 0,
    hintTerm: 0,
  };
  if (index <= state.log.stable) state.send(to, reply);
  else state.sendDurable(to, reply);
}

/** Our best guess where the logs agree: our last entry that is not newer than the leader's. */
function refuse(state: RaftState, to: NodeId, { prevIndex, prevTerm }: Append): void {
  const hintIndex = state.log.lastIndexWithTermAtMost(prevIndex, prevTerm);
  const hintTerm = state.log.term(hintIndex);
  assert(hintTerm !== undefined, 'the hint lies in the log');
  const { term } = state;
  state.send(to, { type: 'append-reply', term, ok: false, index: prevIndex, hintIndex, hintTerm });
}

/** Messages come from outside: what cannot be a log is dropped, not asserted. */
function isWellFormed(message: Append): boolean {
  let { prevIndex: index, prevTerm: term } = message;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false;
    if (entry.kind === 'config' && confOfEntry(entry) === undefined) return false;
    index = entry.index;
    term = entry.term;
  }
  return true;
}

/** The leader's snapshot is staged here, whole and verified (Raft §7, "InstallSnapshot"). */
export function onSnapshotReceived(
  state: RaftState,
  from: NodeId,
  term: Term,
  meta: SnapshotMeta,
): void {
  if (term < state.term || state.role === 'leader' || state.installing !== undefined) return;
  if (term > state.term) becomeFollower(state, term, from);
  heardLeader(state, from);
  if (meta.index <= state.commit) {
    accept(state, from, state.commit);
  } else if (state.log.term(meta.index) === meta.term) {
    // The log has all of it already: only the commit index is news (Raft §7).
    state.verified = Math.max(state.verified, meta.index);
    state.commitTo(meta.index);
    accept(state, from, meta.index);
  } else {
    state.installing = { from, meta };
    state.emit({ kind: 'install-snapshot', from, meta });
  }
}

/** The state machine and the log store hold the snapshot now, durably. */
export function onSnapshotInstalled(state: RaftState, meta: SnapshotMeta): void {
  const { installing } = state;
  if (installing === undefined || installing.meta.index !== meta.index) return;
  state.installing = undefined;
  state.log.reset(meta);
  assert(meta.index >= state.commit, 'a snapshot does not take back what was committed');
  state.commit = state.applying = state.applied = state.appliedDurable = meta.index;
  state.verified = meta.index;
  maybeClearSuspicion(state);
  if (state.leader !== undefined) accept(state, state.leader, meta.index);
}

/** The driver's report on a snapshot that `send-snapshot` asked for. */
export function onSnapshotSent(state: RaftState, to: NodeId, index: LogIndex, ok: boolean): void {
  const progress = state.leading?.progress.get(to);
  if (progress === undefined || progress.state !== 'snapshot') return;
  if (ok) {
    progress.becomeProbe(index + 1);
    return;
  }
  progress.becomeProbe();
  // Not again at once: the next heartbeat's answer shows that the follower is there.
  progress.isProbeSent = true;
}
