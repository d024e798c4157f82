/**
 * What must hold on one node after every step; checked in production too. A node that stops is
 * repaired by the others, a node that goes on with broken state is not. What must hold across
 * nodes is checked by the simulator (src/sim/invariants).
 */
import { assert, type LogIndex, type NodeId, type Term } from '../base/index.js';
import { membersOf } from './quorum.js';
import type { RaftState } from './state.js';

/** What never goes back: compared with the values after the previous step. */
export interface Marks {
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
}

export function marksOf({ term, vote, commit, applied }: RaftState): Marks {
  return { term, vote, commit, applied };
}

/** Throws on a bug; returns the marks for the next step. */
export function assertInvariants(state: RaftState, before: Marks): Marks {
  const { log } = state;
  assert(state.term >= before.term, `term went back from ${before.term} to ${state.term}`);
  assert(state.commit >= before.commit, `commit went back to ${state.commit}`);
  assert(state.applied >= before.applied, `applied went back to ${state.applied}`);
  if (state.term === before.term && before.vote !== undefined) {
    assert(state.vote === before.vote, `the vote of term ${state.term} changed`);
  }
  assert(state.durableTerm <= state.term, 'a term is durable that was never begun');
  assert(log.snapshotIndex <= state.appliedDurable, 'the log forgot what is not durable');
  assert(state.appliedDurable <= state.applied, 'durable state beyond the applied');
  assert(state.applied <= state.applying, 'applied what was not handed out');
  assert(state.applying <= state.commit, 'handed out what is not committed');
  assert(state.commit <= log.lastIndex, 'committed what is not in the log');
  assert(state.verified >= state.commit, 'committed what is not verified');
  assert(log.stable <= log.lastIndex, 'durable beyond the log');
  assert(log.lastTerm <= state.term, 'an entry is from the future');
  assertConf(state);
  assertRole(state);
  return marksOf(state);
}

/** Raft §6, and the rules of reconfigure.ts. */
function assertConf({ conf, log }: RaftState): void {
  const { voters, outgoing, learners } = conf;
  // Empty only on a node that has not been sent its first configuration.
  assert(voters.length > 0 || outgoing.length === 0, 'a joint configuration without new voters');
  assert(voters.length > 0 || log.lastIndex === 0 || learners.length === 0, 'nobody votes');
  for (const learner of learners) {
    assert(!voters.includes(learner), `${learner} is voter and learner`);
    assert(!outgoing.includes(learner), `${learner} is an outgoing voter and a learner`);
  }
}

function assertRole(state: RaftState): void {
  const { leading, log } = state;
  assert((leading !== undefined) === (state.role === 'leader'), 'only a leader has progress');
  if (leading === undefined) {
    assert(state.leader !== state.self, 'only a leader follows itself');
    return;
  }
  assert(state.leader === state.self, 'a leader follows itself');
  assert(state.vote === state.self, 'a leader has voted for itself');
  assert(state.installing === undefined, 'a leader does not install snapshots');
  assert(leading.uncommittedBytes >= 0, 'uncommitted bytes are miscounted');
  const others = membersOf(state.conf).filter((member) => member !== state.self);
  assert(
    others.length === leading.progress.size && others.every((peer) => leading.progress.has(peer)),
    'a leader replicates to exactly the other members',
  );
  assert(
    leading.transfer === undefined || state.conf.voters.includes(leading.transfer.to),
    'leadership goes to a voter only',
  );
  for (const [peer, progress] of leading.progress) {
    assert(peer !== state.self, 'a leader does not replicate to itself');
    assert(progress.match < progress.next, `${peer}: match ${progress.match} reached next`);
    assert(progress.match <= log.lastIndex, `${peer}: match ${progress.match} beyond the log`);
    assert(progress.next <= log.lastIndex + 1, `${peer}: next ${progress.next} beyond the log`);
  }
}
