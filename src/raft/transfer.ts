/**
 * Leadership transfer (dissertation §3.10): the leader stops taking proposals, brings the target's
 * log up to its own, then tells it to campaign at once. Ends with the next leader, or without one
 * after an election timeout; then the old leader takes proposals again. Only voters that stay are
 * targets: not learners, and not those whom a change under way removes.
 */
import type { NodeId } from '../base/index.js';
import type { Leadership, RaftState } from './state.js';

/** `to` undefined: the most caught-up voter that answers. */
export function startTransfer(state: RaftState, to: NodeId | undefined): void {
  const { leading } = state;
  const target = leading === undefined ? undefined : (to ?? bestTarget(state, leading));
  const isUsable =
    target !== undefined &&
    target !== state.self &&
    state.conf.voters.includes(target) &&
    !state.down.has(target);
  if (leading === undefined || !isUsable) {
    state.emit({ kind: 'transfer-done', to: undefined });
    return;
  }
  if (leading.transfer?.to === target) return;
  if (leading.transfer !== undefined) state.emit({ kind: 'transfer-done', to: undefined });
  leading.transfer = { to: target, deadline: state.now + state.timing.electionMaxMs };
  maybeSendTimeoutNow(state, leading, target);
}

/** Gate: only a target with the whole log can win, and only it gets the message. */
export function maybeSendTimeoutNow(state: RaftState, leading: Leadership, peer: NodeId): void {
  if (leading.transfer?.to !== peer) return;
  if (leading.progress.get(peer)?.match !== state.log.lastIndex) return;
  state.send(peer, { type: 'timeout-now', term: state.term });
}

/** The target did not take over within an election timeout: go on leading. */
export function maybeAbortTransfer(state: RaftState, leading: Leadership): void {
  if (leading.transfer === undefined || state.now < leading.transfer.deadline) return;
  abortTransfer(state, leading);
}

export function abortTransfer(state: RaftState, leading: Leadership): void {
  leading.transfer = undefined;
  state.emit({ kind: 'transfer-done', to: undefined });
}

/** The most caught-up voter that answers. */
export function bestTarget(state: RaftState, leading: Leadership): NodeId | undefined {
  const since = state.now - state.timing.electionMaxMs;
  let best: { peer: NodeId; match: number } | undefined;
  for (const [peer, progress] of leading.progress) {
    const isCandidate = state.conf.voters.includes(peer) && !state.down.has(peer);
    if (!isCandidate || progress.activeAt < since) continue;
    if (best === undefined || progress.match > best.match) best = { peer, match: progress.match };
  }
  return best?.peer;
}
