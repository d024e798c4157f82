/**
 * Time: when the core wants to be called, and what happens then.
 *
 * Oversleeping. A tick that comes much later than it was asked for says that this process was
 * held up, not that others were silent: their messages may be waiting in the inbox. Such a tick
 * restarts the timers once and lets neither an election nor check-quorum fire (Ratis calls this
 * sleep deviation). A second late tick in a row is taken at its word.
 */
import type { Ms } from '../base/index.js';
import { startElection } from './election.js';
import { tickLeader } from './replication.js';
import { armElection, becomeFollower } from './roles.js';
import type { RaftState } from './state.js';
import { maybeAbortTransfer } from './transfer.js';

/** When the next tick is wanted; Infinity for a node that has nothing to wait for. */
export function nextDeadline(state: RaftState): Ms {
  const { leading } = state;
  if (leading !== undefined) {
    return Math.min(leading.heartbeatAt, leading.transfer?.deadline ?? Number.POSITIVE_INFINITY);
  }
  return state.isPromotable ? state.electionDeadline : Number.POSITIVE_INFINITY;
}

export function onTick(state: RaftState): void {
  if (state.now < state.armedDeadline) return;
  const lateMs = state.now - state.armedDeadline;
  if (lateMs > state.timing.electionMinMs / 2 && !state.isLateForgiven) {
    state.isLateForgiven = true;
    restartTimers(state);
  } else {
    state.isLateForgiven = false;
  }
  const { leading } = state;
  if (leading === undefined) {
    if (state.now >= state.electionDeadline) startElection(state);
    return;
  }
  maybeAbortTransfer(state, leading);
  if (state.now < leading.heartbeatAt) return;
  const trouble = tickLeader(state, leading);
  if (trouble !== undefined) becomeFollower(state, state.term, undefined);
}

/** As if all that we wait for had been asked for now. */
function restartTimers(state: RaftState): void {
  const { leading } = state;
  if (leading === undefined) {
    armElection(state);
    return;
  }
  for (const progress of leading.progress.values()) progress.activeAt = state.now;
  if (leading.diskBusySince !== undefined) leading.diskBusySince = state.now;
}
