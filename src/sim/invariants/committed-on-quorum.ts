/**
 * What is committed is durable on a quorum of the voters at that very moment, the leader included
 * only as far as its own disk has it (Raft §5.3 "committed", §6 for joint configurations;
 * dissertation §10.2.1). This is what an acknowledged write rests on when machines lose power. A disk
 * that rotted counts with what it had: its node does not vote before it has that again.
 */
import { must, type NodeId } from '../../base/index.js';
import { describeConf, hasQuorum, membersOf } from '../../raft/index.js';
import type { ClusterView, NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class CommittedOnQuorum implements Invariant {
  readonly name = 'committed-on-quorum';
  readonly #cluster: ClusterView;
  #checked = 0;

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
  }

  afterStep(view: NodeView): void {
    const { committed, nodes } = this.#cluster;
    for (; this.#checked < committed.length; this.#checked += 1) {
      const index = this.#checked;
      const term = committed[index]?.term;
      if (term === undefined) continue;
      const holds = (voter: NodeId): boolean =>
        nodes.get(voter)?.node.disk.hasOrHad(index, term) ?? false;
      const conf = must(view.node.core, 'the core of who commits').conf;
      if (hasQuorum(conf, holds)) continue;
      const holders = membersOf(conf).filter(holds);
      throw new Violation(
        this.name,
        `${view.node.id} commits ${index}.${term}, durable on ${holders.join(',')} only: ` +
          describeConf(conf),
      );
    }
  }
}
