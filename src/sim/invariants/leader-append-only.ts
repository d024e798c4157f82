/**
 * "A leader never overwrites or deletes entries in its log; it only appends new entries."
 * (Raft figure 3, §5.3) That appends leave no gap is checked by the shadow log itself.
 */
import type { Effect } from '../../raft/index.js';
import type { NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class LeaderAppendOnly implements Invariant {
  readonly name = 'leader-append-only';

  onEffect(view: NodeView, effect: Effect): void {
    if (view.role !== 'leader' || effect.kind !== 'persist') return;
    // A step that ends the leadership may truncate: it is a follower's then.
    if (view.node.core?.role !== 'leader' || effect.truncateFrom === undefined) return;
    throw new Violation(
      this.name,
      `${view.node.id}, leader of term ${view.term}, deletes its log from ${effect.truncateFrom} on`,
    );
  }
}
