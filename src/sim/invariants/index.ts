/** All that is promised of a cluster, one file each. */
import type { ClusterView } from '../monitor.js';
import { AckedWrites } from './acked-writes.js';
import { CommittedOnQuorum } from './committed-on-quorum.js';
import { CommittedSurvives } from './committed-survives.js';
import { ElectionSafety } from './election-safety.js';
import type { Invariant } from './invariant.js';
import { LeaderAppendOnly } from './leader-append-only.js';
import { LeaderCompleteness } from './leader-completeness.js';
import { Linearizable } from './linearizable.js';
import { LinearizableSearch } from './linearizable-search.js';
import { LogMatching } from './log-matching.js';
import { Monotonic } from './monotonic.js';
import { OneVote } from './one-vote.js';
import { StateMachineSafety } from './state-machine-safety.js';

export type { Invariant } from './invariant.js';

export function createInvariants(cluster: ClusterView): readonly Invariant[] {
  return [
    new ElectionSafety(),
    new LeaderAppendOnly(),
    new LogMatching(),
    new LeaderCompleteness(cluster),
    new StateMachineSafety(cluster),
    new CommittedOnQuorum(cluster),
    new CommittedSurvives(cluster),
    new OneVote(),
    new AckedWrites(cluster),
    new Linearizable(),
    new LinearizableSearch(),
    new Monotonic(),
  ];
}
