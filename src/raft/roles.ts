/**
 * The four roles and the only ways between them (Raft figure 4, with the pre-candidate of
 * dissertation §9.6).
 *
 *                 times out, or TimeoutNow (skips the pre-candidate)
 *     ┌────────┐ ──────────────► ┌───────────────┐  quorum would   ┌───────────┐
 *     │follower│                 │ pre-candidate │ ──────────────► │ candidate │ ─┐ times out:
 *     └────────┘ ◄────────────── └───────────────┘                 └───────────┘ ◄┘ new round
 *       ▲    ▲     lost, or a current leader                          │     │
 *       │    └──── is heard, or a higher term ────────────────────────┘     │ quorum
 *       │                                                                   ▼ granted
 *       │     higher term, no quorum answers, disk stuck, removed      ┌────────┐
 *       └────────────────────────────────────────────────────────────  │ leader │
 *                                                                      └────────┘
 *
 * Invariants: only a leader has `leading`; the vote of a term never changes; a node leads only in
 * a term that is durable on its disk.
 */
import { assert, type NodeId, type Term } from '../base/index.js';
import { FAST_FAILOVER } from './config.js';
import { entryBytes } from './log.js';
import { Progress } from './progress.js';
import { ReadQueue, rejectReads } from './read-index.js';
import { otherMembers, replicateToAll } from './replication.js';
import { appendOwn, type Leadership, type RaftState } from './state.js';

/** Randomised, so that split votes are rare (Raft §5.2). */
export function armElection(state: RaftState): void {
  const { electionMinMs, electionMaxMs } = state.timing;
  state.electionDeadline = state.now + between(state, electionMinMs, electionMaxMs);
}

/** After a round that failed: soon while the failover is fast, else a whole timeout. */
export function armRetry(state: RaftState): void {
  if (!state.isFast) {
    armElection(state);
    return;
  }
  const [fromMs, toMs] = FAST_FAILOVER.retryMs;
  state.electionDeadline = state.now + between(state, fromMs, toMs);
}

export function between(state: RaftState, fromMs: number, toMs: number): number {
  return fromMs + state.rng.float() * (toMs - fromMs);
}

/**
 * Follows `leader` (undefined: nobody known) in `term`. The election timer is left alone, except
 * for a former leader, who had none: only a leader's message or a granted vote restarts it
 * (Raft figure 2, "Followers").
 */
export function becomeFollower(state: RaftState, term: Term, leader: NodeId | undefined): void {
  if (term > state.term) state.setTerm(term);
  assert(term === state.term, `cannot follow in the past term ${term}`);
  if (state.leading !== undefined) {
    rejectReads(state, leader);
    state.isTransferOpen = state.leading.transfer !== undefined;
    state.leading = undefined;
    state.verified = state.commit;
    armElection(state);
  }
  state.role = 'follower';
  state.leader = leader;
  state.votes = new Map();
  if (leader !== undefined) settleTransfer(state, leader);
}

/** A current leader was heard: all that led to an election is void (Raft §5.2). */
export function heardLeader(state: RaftState, leader: NodeId): void {
  state.heardAt = state.now;
  state.fastUntil = Number.NEGATIVE_INFINITY;
  state.isLateForgiven = false;
  state.removedAt = undefined;
  armElection(state);
  if (state.role !== 'follower' || state.leader !== leader) {
    becomeFollower(state, state.term, leader);
  }
}

/** Asks whether an election could be won, without disturbing a term (dissertation §9.6). */
export function becomePreCandidate(state: RaftState): void {
  assert(state.isPromotable, 'only a voter with a whole log may campaign');
  assert(state.leading === undefined, 'a leader does not campaign');
  state.role = 'pre-candidate';
  state.leader = undefined;
  state.votes = new Map([[state.self, true]]);
  settleTransfer(state, undefined);
}

/** Raft §5.2: a new term, a vote for itself. The vote counts once it is durable. */
export function becomeCandidate(state: RaftState): void {
  assert(state.isPromotable, 'only a voter with a whole log may campaign');
  assert(state.leading === undefined, 'a leader does not campaign');
  state.setTerm(state.term + 1);
  state.role = 'candidate';
  state.vote = state.self;
  state.leader = undefined;
  state.votes = new Map();
  settleTransfer(state, undefined);
}

/**
 * Raft §5.2 and §8: announces itself by a no-op of its own term, which also commits what earlier
 * terms left behind and unlocks reads.
 */
export function becomeLeader(state: RaftState): void {
  assert(state.role === 'candidate', `a ${state.role} cannot become leader`);
  assert(state.durableTerm === state.term, 'a leader must have its term on disk');
  state.role = 'leader';
  state.leader = state.self;
  state.votes = new Map();
  state.fastUntil = Number.NEGATIVE_INFINITY;
  state.electionDeadline = Number.POSITIVE_INFINITY;
  const next = state.log.lastIndex + 1;
  const leading: Leadership = {
    progress: new Map(),
    reads: new ReadQueue(),
    firstIndex: next,
    heartbeatAt: state.now + state.timing.heartbeatMs,
    diskBusySince: undefined,
    uncommittedBytes: 0,
    catchUps: new Map(),
    leaving: new Set(),
    transfer: undefined,
  };
  for (const peer of otherMembers(state)) {
    leading.progress.set(peer, new Progress(next, state.now, state.limits.inflightMax));
  }
  for (let index = state.commit + 1; index < next; index += 1) {
    const entry = state.log.entry(index);
    if (entry !== undefined) leading.uncommittedBytes += entryBytes(entry);
  }
  state.leading = leading;
  const noop = appendOwn(state, leading, 'noop', 0, new Uint8Array(0));
  leading.uncommittedBytes += entryBytes(noop);
  replicateToAll(state, leading);
}

/** Tells how the transfer that ended our leadership came out. */
export function settleTransfer(state: RaftState, leader: NodeId | undefined): void {
  if (!state.isTransferOpen) return;
  state.isTransferOpen = false;
  state.emit({ kind: 'transfer-done', to: leader });
}
