/**
 * "If a log entry is committed in a given term, then that entry will be present in the logs of the
 * leaders for all higher-numbered terms." (Raft figure 3, §5.4) Checked when a leader is elected.
 */
import type { Effect } from '../../raft/index.js';
import type { ClusterView, NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class LeaderCompleteness implements Invariant {
  readonly name = 'leader-completeness';
  readonly #cluster: ClusterView;

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
  }

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind !== 'role' || effect.role !== 'leader') return;
    const { committed } = this.#cluster;
    for (let index = view.log.snapshotIndex + 1; index < committed.length; index += 1) {
      const entry = committed[index];
      // A late winner of an old term need not have what a later term committed.
      if (entry === undefined || entry.commitTerm >= effect.term) continue;
      if (view.log.term(index) === entry.term) continue;
      throw new Violation(
        this.name,
        `${view.node.id} leads term ${effect.term} without ${index}.${entry.term}, ` +
          `committed in term ${entry.commitTerm}`,
      );
    }
  }
}
