/** "At most one leader can be elected in a given term." (Raft figure 3, §5.2) */
import type { NodeId, Term } from '../../base/index.js';
import type { Effect } from '../../raft/index.js';
import type { NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class ElectionSafety implements Invariant {
  readonly name = 'election-safety';
  readonly #leaders = new Map<Term, NodeId>();

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind !== 'role' || effect.role !== 'leader') return;
    const { id } = view.node;
    const known = this.#leaders.get(effect.term) ?? id;
    this.#leaders.set(effect.term, known);
    if (known !== id) {
      throw new Violation(this.name, `${known} and ${id} both lead in term ${effect.term}`);
    }
  }
}
