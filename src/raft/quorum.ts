/**
 * The arithmetic of agreement. Under joint consensus every decision needs a majority of the new
 * voters and a majority of the outgoing ones (Raft §6); otherwise `outgoing` is empty and does not
 * restrict. Proved against a brute-force twin in test/raft/quorum.test.ts.
 */
import type { LogIndex, NodeId } from '../base/index.js';
import type { ConfState } from './types.js';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The smallest number of `voterCount` voters of which any two such sets share one. */
export function majority(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

/**
 * The largest value that a quorum has reached: the commit index for match indexes (Raft §5.3), the
 * confirmed read for read numbers. Infinity without voters, so that an empty half never restricts.
 */
export function quorumValue(conf: ConfState, reachedBy: (voter: NodeId) => LogIndex): LogIndex {
  return Math.min(
    majorityValue(conf.voters, reachedBy),
    conf.outgoing.length === 0 ? Number.POSITIVE_INFINITY : majorityValue(conf.outgoing, reachedBy),
  );
}

/** `vote` answers true (granted), false (refused) or undefined (not known yet). */
export function voteResult(
  conf: ConfState,
  vote: (voter: NodeId) => boolean | undefined,
): VoteResult {
  const incoming = majorityVote(conf.voters, vote);
  if (conf.outgoing.length === 0) return incoming;
  const outgoing = majorityVote(conf.outgoing, vote);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

export function hasQuorum(conf: ConfState, holds: (voter: NodeId) => boolean): boolean {
  return voteResult(conf, holds) === 'won';
}

/** Votes and campaigns. A learner does neither. */
export function isVoter(conf: ConfState, node: NodeId): boolean {
  return conf.voters.includes(node) || conf.outgoing.includes(node);
}

/** Everybody the leader replicates to, each once, in a fixed order. */
export function membersOf(conf: ConfState): NodeId[] {
  return [...new Set([...conf.voters, ...conf.outgoing, ...conf.learners])];
}

function majorityValue(
  voters: readonly NodeId[],
  reachedBy: (voter: NodeId) => LogIndex,
): LogIndex {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const values = voters.map(reachedBy).sort((a, b) => b - a);
  return values[majority(voters.length) - 1] ?? 0;
}

function majorityVote(
  voters: readonly NodeId[],
  vote: (voter: NodeId) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const answer = vote(voter);
    if (answer === true) granted += 1;
    else if (answer === false) refused += 1;
  }
  if (granted >= majority(voters.length)) return 'won';
  return voters.length - refused < majority(voters.length) ? 'lost' : 'pending';
}
