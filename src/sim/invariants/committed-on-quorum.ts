/**
 * What is committed is durable on a majority at that very moment, the leader included only as far
 * as its own disk has it (Raft §5.3 "committed"; dissertation §10.2.1). This is what an
 * acknowledged write rests on when machines lose power. A disk that rotted counts with what it had:
 * its node does not vote before it has that again.
 */
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
      let holders = 0;
      for (const { node } of nodes.values()) {
        if (term !== undefined && node.disk.hasOrHad(index, term)) holders += 1;
      }
      if (2 * holders > nodes.size) continue;
      throw new Violation(
        this.name,
        `${view.node.id} commits ${index}.${term}, durable on ${holders} of ${nodes.size}`,
      );
    }
  }
}
