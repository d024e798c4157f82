/**
 * Elections: who campaigns when, and who gets a vote (Raft §5.2, §5.4.1; dissertation §4.2.3
 * vote stickiness, §9.6 pre-vote).
 *
 * Fast failover (ours; after etcd's ForgetLeader). The transport's evidence that the leader's
 * process is gone makes a follower forget it. It then pre-votes after rank × 12 ms, the rank
 * being its place by name among the voters that are not known to be gone; at once where it had to
 * refuse another's because its own log is the better one. It holds its own pre-vote back when it
 * grants another's, gives its own round up for one of better rank, and repeats a failed round
 * after 10-40 ms instead of a whole timeout. Voters notice one after the other: whoever asked a
 * voter too early is granted its pre-vote as soon as that one has forgotten the leader, too. A
 * pre-vote passes only when a quorum has. This relaxes vote stickiness, which protects a live leader
 * from disturbance; it does not touch what makes elections safe (one durable vote per term, log
 * comparison, quorum).
 */
import type { NodeId } from '../base/index.js';
import { FAST_FAILOVER } from './config.js';
import { isVoter, voteResult } from './quorum.js';
import {
  armElection,
  armRetry,
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  between,
} from './roles.js';
import { otherMembers } from './replication.js';
import type { RaftState } from './state.js';
import { abortTransfer } from './transfer.js';
import type { Message } from './types.js';

type PreVote = Extract<Message, { type: 'pre-vote' }>;
type PreVoteReply = Extract<Message, { type: 'pre-vote-reply' }>;
type Vote = Extract<Message, { type: 'vote' }>;

/** A follower, pre-candidate or candidate whose timer ran out (Raft §5.2). */
export function startElection(state: RaftState): void {
  armRetry(state);
  if (!state.isPromotable) return;
  becomePreCandidate(state);
  const { lastIndex, lastTerm } = state.log;
  for (const voter of otherVoters(state)) {
    state.send(voter, { type: 'pre-vote', term: state.term + 1, lastIndex, lastTerm });
  }
  countVotes(state);
}

/** The real thing. `transfer`: the leader asked for it, so voters need not wait for its silence. */
export function campaign(state: RaftState, transfer: boolean): void {
  becomeCandidate(state);
  armElection(state);
  const { lastIndex, lastTerm } = state.log;
  for (const voter of otherVoters(state)) {
    // Sent only when the own vote is durable: a candidate that forgot it could vote again.
    state.sendDurable(voter, { type: 'vote', term: state.term, lastIndex, lastTerm, transfer });
  }
}

/** The own vote of this term has reached the disk. */
export function onOwnVoteDurable(state: RaftState): void {
  if (state.role !== 'candidate' || state.votes.has(state.self)) return;
  state.votes.set(state.self, true);
  countVotes(state);
}

export function onPreVoteReply(state: RaftState, from: NodeId, reply: PreVoteReply): void {
  if (state.role !== 'pre-candidate') return;
  // A grant names the term that was asked about; a late one is about a term that has come.
  if (reply.granted && reply.term !== state.term + 1) return;
  state.votes.set(from, reply.granted);
  countVotes(state);
}

export function onVoteReply(state: RaftState, from: NodeId, granted: boolean): void {
  if (state.role !== 'candidate') return;
  state.votes.set(from, granted);
  countVotes(state);
}

/** A peer that is known to be gone will not answer: it counts as a refusal until it does. */
function countVotes(state: RaftState): void {
  const result = voteResult(
    state.conf,
    (voter) => state.votes.get(voter) ?? (state.down.has(voter) ? false : undefined),
  );
  if (result === 'won' && state.role === 'pre-candidate') campaign(state, false);
  else if (result === 'won' && state.votes.has(state.self)) becomeLeader(state);
  else if (result === 'lost') {
    // Who refused for the leader's sake may notice next; the timer of the retry runs.
    if (state.role === 'pre-candidate' && state.isFast) return;
    becomeFollower(state, state.term, undefined);
    if (state.isFast) armRetry(state);
  }
}

/**
 * Would this node vote for the sender in `message.term`? Changes nothing here but its own pre-vote
 * timer, so a node that cannot win cannot disturb. A refusal carries our term: a pre-candidate
 * that lags behind must learn it, or two such nodes block each other forever.
 */
export function onPreVote(state: RaftState, from: NodeId, message: PreVote): void {
  const isOpen =
    message.term > state.term ||
    (message.term === state.term && (state.vote === undefined || state.vote === from));
  const isLoyal = hasLiveLeader(state);
  const isUpToDate = state.log.isUpToDate(message.lastTerm, message.lastIndex);
  const granted =
    isOpen && mayVote(state) && !isLoyal && isUpToDate && givesWay(state, from, message);
  const term = granted ? message.term : state.term;
  state.send(from, { type: 'pre-vote-reply', term, granted });
  if (isLoyal && isVoter(state.conf, from)) state.asked.set(from, { message, at: state.now });
  if (!state.isFast) return;
  if (!granted) {
    // It cannot win, we can: nobody gains by our waiting for our turn.
    if (!isUpToDate && state.role === 'follower') state.electionDeadline = state.now;
    return;
  }
  if (state.role === 'pre-candidate') becomeFollower(state, state.term, undefined);
  const [fromMs, toMs] = FAST_FAILOVER.postponeMs;
  const holdUntil = state.now + between(state, fromMs, toMs);
  state.electionDeadline = Math.max(state.electionDeadline, holdUntil);
}

/**
 * Two fast rounds at once would split the vote: both pre-candidates would grant, and then both
 * campaign. Of two with equal logs the first by name goes on, the other gives up its round.
 */
function givesWay(state: RaftState, from: NodeId, message: PreVote): boolean {
  if (state.role !== 'pre-candidate' || !state.isFast) return true;
  const { lastIndex, lastTerm } = state.log;
  const isEqual = message.lastTerm === lastTerm && message.lastIndex === lastIndex;
  return !isEqual || from < state.self;
}

/** Raft §5.2, §5.4.1: one vote per term, first come first served, to an up-to-date log only. */
export function onVote(state: RaftState, from: NodeId, message: Vote): void {
  const isFree = state.vote === undefined || state.vote === from;
  const granted =
    message.term === state.term &&
    isFree &&
    mayVote(state) &&
    state.role !== 'leader' &&
    state.log.isUpToDate(message.lastTerm, message.lastIndex);
  if (!granted) {
    state.send(from, { type: 'vote-reply', term: state.term, granted: false });
    return;
  }
  // Whoever votes for another has given up its own question.
  if (state.role === 'pre-candidate') becomeFollower(state, state.term, undefined);
  state.vote = from;
  state.sendDurable(from, { type: 'vote-reply', term: state.term, granted: true });
  if (state.isFast) {
    // Long enough for the candidate's disk and ours; shorter than starting over.
    const half = state.timing.electionMinMs / 2;
    state.electionDeadline = state.now + between(state, half, 2 * half);
  } else {
    armElection(state);
  }
}

/**
 * Vote stickiness (dissertation §4.2.3): while a leader was heard within the shortest election
 * timeout, requests for votes are not even looked at, and do not raise the term.
 */
export function hasLiveLeader(state: RaftState): boolean {
  if (state.role === 'leader') return true;
  return state.leader !== undefined && state.now - state.heardAt < state.timing.electionMinMs;
}

/** Transport evidence: the connection closed and was not answered again. */
export function onPeerDown(state: RaftState, peer: NodeId): void {
  state.down.add(peer);
  const progress = state.leading?.progress.get(peer);
  if (progress !== undefined && progress.state === 'replicate') progress.becomeProbe();
  if (progress !== undefined) progress.isProbeSent = true;
  if (state.leading?.transfer?.to === peer) abortTransfer(state, state.leading);
  if (state.role === 'follower' && state.leader === peer) forgetLeader(state);
  else if (state.role === 'pre-candidate' || state.role === 'candidate') countVotes(state);
}

function forgetLeader(state: RaftState): void {
  const gone = state.leader;
  state.leader = undefined;
  state.fastUntil = state.now + state.timing.electionMaxMs;
  const alive = [...new Set([...state.conf.voters, ...state.conf.outgoing])]
    .filter((voter) => voter === state.self || (voter !== gone && !state.down.has(voter)))
    .sort();
  const rank = Math.max(0, alive.indexOf(state.self));
  state.electionDeadline = state.now + rank * FAST_FAILOVER.rankStepMs;
  answerAgain(state);
}

/** Pre-votes that were refused for the sake of the leader that is forgotten now. */
function answerAgain(state: RaftState): void {
  const [, retryMaxMs] = FAST_FAILOVER.retryMs;
  const asked = [...state.asked];
  state.asked.clear();
  for (const [from, { message, at }] of asked) {
    if (state.now - at <= retryMaxMs) onPreVote(state, from, message);
  }
}

function otherVoters(state: RaftState): NodeId[] {
  return otherMembers(state).filter((member) => isVoter(state.conf, member));
}

/**
 * A suspect node may have forgotten what it acknowledged. A learner votes when it is asked: the
 * candidate may know of a configuration in which it is a voter, and must not wait forever for the
 * news to come here from a leader that does not exist (etcd-io/raft `campaign_learner_must_vote`).
 * Whose votes count is the candidate's question.
 */
function mayVote(state: RaftState): boolean {
  return !state.isSuspect;
}
