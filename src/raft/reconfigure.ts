/**
 * Membership changes (Raft §6, dissertation chapter 4): one call, and everything after it happens by
 * itself, under whichever leader.
 *
 *     settled ──▶ catching up ──▶ joint ──▶ settled
 *        │        new voters are    both majorities      the new voters alone; a leader that is
 *        │        learners          decide               not among them hands over
 *        └──────▶ (no new voters) ──▲
 *
 * Where it stands is a function of the configuration that is in force, which lies in the log: a new
 * leader goes on where the old one fell. The guards:
 *
 * - one change at a time: a step is taken only when the one before is committed;
 * - and only when this leader has committed an entry of its own term, or two leaders could change
 *   the members from one and the same configuration at once (Ongaro, raft-dev 2015);
 * - always joint consensus where voters change, never a single-server shortcut;
 * - a new voter has first caught up (dissertation §4.2.1) and is not suspect, or a crash right after the change could
 *   leave a quorum that has to wait for a whole state to be sent;
 * - nobody is removed where those who then have a vote do not answer by a majority: the group would
 *   wait for them for ever (etcd's strict-reconfig-check). Newcomers count, because the joint step
 *   waits for them, and the question is asked again when it comes;
 * - what only waits for learners to catch up may be replaced by another change: a learner that
 *   never comes must not block the group.
 *
 * A leader that removes itself goes on until the change is committed, without counting itself, takes
 * no more commands meanwhile, and then lets the best voter campaign at once (dissertation §4.2.2).
 * A voter that lost its disk may run again when a configuration in which it has no vote is
 * committed, and not before; it then starts in the term of that leader, so that it does not listen to
 * older ones, and as a suspect (suspicion.ts): a node that was away for several changes may still
 * count it in a configuration of long ago, whose end nobody else remembers.
 *
 * Nodes that were removed are told so, and whoever asks for votes without being a member is told as
 * well: it stops campaigning (dissertation §4.2.3; pre-vote and stickiness protect the others).
 */
import type { LogIndex, NodeId } from '../base/index.js';
import {
  type ConfTarget,
  encodeConf,
  firstStep,
  isJoint,
  jointStep,
  leaveStep,
  validateTarget,
} from './conf.js';
import { entryBytes } from './log.js';
import { Progress } from './progress.js';
import { isVoter, membersOf, type VoteResult, voteResult } from './quorum.js';
import { otherMembers, replicateToAll } from './replication.js';
import { becomeFollower, settleTransfer } from './roles.js';
import { appendOwn, type Leadership, type RaftState } from './state.js';
import { bestTarget } from './transfer.js';
import type { ConfState, ReconfigureRefusal } from './types.js';

export function startReconfigure(state: RaftState, id: number, target: ConfTarget): void {
  const { leading, leader } = state;
  const refusal = whyRefused(state, target);
  if (leading === undefined || refusal !== undefined) {
    const { reason, why } = refusal ?? { reason: 'not-leader' as const, why: 'it does not lead' };
    state.emit({ kind: 'reconfigure-rejected', id, reason, why, leader });
    return;
  }
  const conf = firstStep(state.conf, target);
  const index = conf === undefined ? undefined : appendConf(state, leading, conf);
  state.emit({ kind: 'reconfigure-accepted', id, index });
}

function whyRefused(
  state: RaftState,
  target: ConfTarget,
): { reason: ReconfigureRefusal; why: string } | undefined {
  const { leading, conf } = state;
  if (leading === undefined) return { reason: 'not-leader', why: 'this node does not lead' };
  if (leading.transfer !== undefined) {
    return { reason: 'transferring', why: `leadership is being handed to ${leading.transfer.to}` };
  }
  if (state.commit < leading.firstIndex) {
    return { reason: 'not-ready', why: 'this term has committed nothing yet' };
  }
  if (!state.isConfCommitted || isJoint(conf)) {
    return { reason: 'pending', why: 'another change of the members is on its way' };
  }
  const why = validateTarget(conf, target);
  return why === undefined
    ? whyTooFew(state, leading, firstStep(conf, target))
    : { reason: 'impossible', why };
}

function whyTooFew(
  state: RaftState,
  leading: Leadership,
  step: ConfState | undefined,
): { reason: ReconfigureRefusal; why: string } | undefined {
  if (step === undefined) return undefined;
  // The voters after the first joint step that this leads to, now or when newcomers have caught up.
  const voters = isJoint(step) ? step.voters : (step.next ?? step.voters);
  const isComing = (name: NodeId): boolean => !state.conf.voters.includes(name);
  const has = (name: NodeId) => isComing(name) || canDecide(state, leading, name);
  switch (resultOfRemoval(state, voters, has)) {
    case 'won':
      return undefined;
    case 'pending': {
      const names = voters.filter((name) => has(name) === undefined).join(', ');
      return { reason: 'not-ready', why: `whether ${names} can be reached is not known yet` };
    }
    case 'lost': {
      const names = voters.filter((name) => has(name) !== true).join(', ');
      const why =
        `${names} do not answer, or cannot vote at present, and without them ${voters.join(', ')} ` +
        'have no majority: start them, or replace them first';
      return { reason: 'would-lose-quorum', why };
    }
  }
}

/** Would a majority of these be there? Who only gains voters keeps the majority there is. */
function resultOfRemoval(
  state: RaftState,
  voters: readonly NodeId[],
  has: (name: NodeId) => boolean | undefined,
): VoteResult {
  if (state.conf.voters.every((name) => voters.includes(name))) return 'won';
  return voteResult({ voters, outgoing: [], learners: [] }, has);
}

/** Undefined: it had no time to answer, since this leadership began or this process was held up. */
function canDecide(state: RaftState, leading: Leadership, name: NodeId): boolean | undefined {
  if (name === state.self) return true;
  const progress = leading.progress.get(name);
  // A suspect would acknowledge, and could elect nobody when this leader falls.
  if (progress === undefined || state.down.has(name) || progress.isSuspect === true) return false;
  const since = state.now - state.timing.electionMaxMs;
  if (progress.answeredAt >= since) return true;
  return progress.activeAt >= since ? undefined : false;
}

/** After every step of a leader: the next step of a change, when its time has come. */
export function maybeAdvanceConf(state: RaftState, leading: Leadership): void {
  const { conf } = state;
  if (state.commit < leading.firstIndex || !state.isConfCommitted) return;
  // An entry more would cost the target of a transfer its election; that ends soon, either way.
  if (leading.transfer !== undefined) return;
  if (isJoint(conf)) {
    appendConf(state, leading, leaveStep(conf));
    return;
  }
  if (leading.leaving.size > 0) tellLeaving(state, leading);
  if (!conf.voters.includes(state.self)) {
    maybeLeave(state, leading);
  } else if (conf.next !== undefined && haveCaughtUp(state, leading, conf, conf.next)) {
    // Waits for an answer of those who stay; the change can be called off until then.
    const has = (name: NodeId) => canDecide(state, leading, name);
    if (resultOfRemoval(state, conf.next, has) !== 'won') return;
    appendConf(state, leading, jointStep(conf, conf.next));
  }
}

/** A leader on its way out of the group takes no commands. */
export function isLeaving(state: RaftState): boolean {
  return !isJoint(state.conf) && !state.conf.voters.includes(state.self);
}

function appendConf(state: RaftState, leading: Leadership, conf: ConfState): LogIndex {
  const before = state.conf;
  const entry = appendOwn(state, leading, 'config', 0, encodeConf(conf));
  leading.uncommittedBytes += entryBytes(entry);
  followMembers(state, leading, before);
  replicateToAll(state, leading);
  return entry.index;
}

/** The configuration in force has changed: whom to replicate to. */
function followMembers(state: RaftState, leading: Leadership, before: ConfState): void {
  const others = otherMembers(state);
  for (const peer of others) {
    // What is known of a voter that starts over is not true of the learner under its name.
    const isRenewed = state.conf.learners.includes(peer) && isVoter(before, peer);
    if (leading.progress.has(peer) && !isRenewed) continue;
    const next = state.log.lastIndex;
    leading.progress.set(peer, new Progress(next, state.now, state.limits.inflightMax));
    leading.leaving.delete(peer);
  }
  for (const peer of [...leading.progress.keys()]) {
    if (others.includes(peer)) continue;
    leading.progress.delete(peer);
    leading.leaving.add(peer);
  }
  leading.catchUps.clear();
}

/**
 * Rounds, each to what the log held when it began; the last one must be shorter than an election
 * timeout, and everybody must be there at the same time.
 */
function haveCaughtUp(
  state: RaftState,
  leading: Leadership,
  conf: ConfState,
  next: readonly NodeId[],
): boolean {
  let isReady = true;
  for (const name of next) {
    if (!conf.voters.includes(name) && !hasCaughtUp(state, leading, name)) isReady = false;
  }
  return isReady;
}

function hasCaughtUp(state: RaftState, leading: Leadership, name: NodeId): boolean {
  const { now, timing, log } = state;
  const progress = leading.progress.get(name);
  const round = leading.catchUps.get(name);
  const isFollowing =
    progress?.state === 'replicate' &&
    progress.isSuspect === false &&
    now - progress.activeAt <= timing.electionMaxMs;
  if (round !== undefined && isFollowing && progress.match >= round.goal) {
    if (now - round.since <= timing.electionMinMs) return true;
  } else if (round !== undefined) {
    return false;
  }
  leading.catchUps.set(name, { goal: log.lastIndex, since: now });
  return false;
}

function tellLeaving(state: RaftState, leading: Leadership): void {
  for (const peer of leading.leaving) tellRemoved(state, peer);
  leading.leaving.clear();
}

/** The change that removes this leader is committed, and so is all that came before it. */
function maybeLeave(state: RaftState, leading: Leadership): void {
  if (state.commit < state.log.lastIndex) return;
  const successor = bestTarget(state, leading);
  // It has everything, or it would not be told: then it would be faster to wait for an election.
  if (successor !== undefined && leading.progress.get(successor)?.match === state.log.lastIndex) {
    state.send(successor, { type: 'timeout-now', term: state.term });
  }
  becomeFollower(state, state.term, undefined);
}

/** Somebody asks for votes: if it is not a member, it does not know. */
export function maybeTellRemoved(state: RaftState, peer: NodeId): void {
  const committed = state.log.confAt(state.commit);
  if (committed === undefined || committed.voters.length === 0) return;
  if (membersOf(committed).includes(peer) || membersOf(state.conf).includes(peer)) return;
  tellRemoved(state, peer);
}

function tellRemoved(state: RaftState, peer: NodeId): void {
  state.send(peer, { type: 'removed', term: state.term, index: state.commit });
}

/** Believed until a leader is heard, unless a newer configuration here says otherwise. */
export function onRemoved(state: RaftState, index: LogIndex): void {
  if (state.role === 'leader') return;
  if (state.log.confIndex > index && isMember(state)) return;
  state.removedAt = index;
  becomeFollower(state, state.term, undefined);
  // Nobody will tell us how it came out.
  settleTransfer(state, undefined);
}

/** As far as this node knows. */
export function isMember(state: RaftState): boolean {
  const { conf, self } = state;
  return isVoter(conf, self) || conf.learners.includes(self);
}
