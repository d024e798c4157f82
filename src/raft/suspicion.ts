/**
 * How a suspect node earns its vote back. The boot scan found that it may have lost what it once
 * acknowledged, so a majority that counts it might not hold what is committed: it neither votes nor
 * campaigns until it provably has everything again (DESIGN §5; "Protocol-Aware Recovery", FAST '18).
 *
 * Its own commit index proves nothing: it is cut off at what the damage left. So it asks a leader,
 * with a number drawn in this boot, where the leader's log ends now. Whatever this node acknowledged
 * before its boot lies at or below that index or below that leader's log altogether:
 * - to this leader, in this term: the leader never truncates its own log;
 * - to an earlier one, if it was committed: Leader Completeness (Raft §5.4.3).
 * When that index is committed and on this node's disk, still in the same term, nothing that it
 * acknowledged and that counts can be missing. A later term starts over with its own leader.
 */
import type { NodeId } from '../base/index.js';
import type { RaftState } from './state.js';
import type { Message } from './types.js';

type CatchUp = Extract<Message, { type: 'catch-up' }>;
type CatchUpReply = Extract<Message, { type: 'catch-up-reply' }>;

/** The leader of this term was heard: ask it, again until it answers. */
export function maybeAskWhereTheLogEnds(state: RaftState, leader: NodeId): void {
  if (!state.isSuspect || state.recovery?.goal !== undefined) return;
  state.recovery ??= { id: state.rng.nextU32(), goal: undefined };
  state.send(leader, { type: 'catch-up', term: state.term, id: state.recovery.id });
}

/** The leader's side. */
export function onCatchUp(state: RaftState, from: NodeId, { id }: CatchUp): void {
  if (state.leading === undefined) return;
  const { term, log } = state;
  state.send(from, { type: 'catch-up-reply', term, id, index: log.lastIndex });
}

export function onCatchUpReply(state: RaftState, { id, index }: CatchUpReply): void {
  if (state.recovery?.id !== id) return;
  state.recovery = { id, goal: index };
  maybeClearSuspicion(state);
}

/** Whenever the commit index, the disk or the goal has moved. */
export function maybeClearSuspicion(state: RaftState): void {
  const goal = state.recovery?.goal;
  if (!state.isSuspect || goal === undefined) return;
  if (state.commit < goal || state.log.stable < goal) return;
  state.isSuspect = false;
  state.recovery = undefined;
}
