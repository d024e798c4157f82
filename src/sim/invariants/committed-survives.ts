/**
 * From the moment an entry is committed, no node without it could win an election: not now, with
 * the logs as they are on the disks, and so never (Raft §5.4.1, §5.4.2). This sees at once what
 * Leader Completeness sees only when such a node does win, as in figure 8 of the paper.
 */
import type { LogIndex, NodeId, Term } from '../../base/index.js';
import { describeConf, hasQuorum, isVoter } from '../../raft/index.js';
import type { SimDisk } from '../disk.js';
import type { ClusterView, NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class CommittedSurvives implements Invariant {
  readonly name = 'committed-survives';
  readonly #cluster: ClusterView;
  #checked = 1;

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
  }

  afterStep(view: NodeView): void {
    const { committed } = this.#cluster;
    if (this.#checked === committed.length) return;
    // The last one covers the others: who has it has all before it (Log Matching).
    const index = committed.length - 1;
    this.#checked = committed.length;
    const term = committed[index]?.term ?? 0;
    // Who may have forgotten what it promised has no vote, and does not campaign.
    const { nodes } = this.#cluster;
    for (const { node } of nodes.values()) {
      const { disk } = node;
      // Whom it would ask is what its own log says, which may be behind.
      if (has(disk, index, term) || disk.isSuspect || !isVoter(disk.conf, node.id)) continue;
      const wouldVote = (voter: NodeId): boolean => {
        const other = nodes.get(voter)?.node;
        const mayVote = other !== undefined && !other.disk.isSuspect;
        return mayVote && isUpToDate(disk, other.disk);
      };
      if (!hasQuorum(disk.conf, wouldVote)) continue;
      throw new Violation(
        this.name,
        `${view.node.id} commits ${index}.${term}, but a node that ends at ` +
          `${disk.lastIndex}.${lastTerm(disk)} lacks it and could win: ${describeConf(disk.conf)}`,
      );
    }
  }
}

function has(disk: SimDisk, index: LogIndex, term: Term): boolean {
  return disk.snapshot.index >= index || disk.term(index) === term;
}

function lastTerm(disk: SimDisk): Term {
  return disk.term(disk.lastIndex) ?? 0;
}

/** Would the owner of `voter` find the log of `candidate` good enough? (Raft §5.4.1) */
function isUpToDate(candidate: SimDisk, voter: SimDisk): boolean {
  const difference = lastTerm(candidate) - lastTerm(voter);
  return difference > 0 || (difference === 0 && candidate.lastIndex >= voter.lastIndex);
}
