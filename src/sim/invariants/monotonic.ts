/**
 * What never goes back. Terms: not even over a crash, as seen from outside (Raft figure 2,
 * "increases monotonically"; a term that was shown to others must be on disk). Commit and applied
 * index: within a life of a node.
 */
import type { LogIndex, NodeId, Term } from '../../base/index.js';
import type { Effect, Message, StoredState } from '../../raft/index.js';
import type { NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class Monotonic implements Invariant {
  readonly name = 'monotonic';
  readonly #shown = new Map<string, Term>();

  onBoot(view: NodeView, stored: StoredState): void {
    const { term } = stored.hardState;
    const shown = this.#shown.get(idOf(view)) ?? 0;
    if (term < shown) this.#fail(view, `boots in term ${term} after it spoke in term ${shown}`);
  }

  onSend(view: NodeView, _to: NodeId, message: Message): void {
    // A pre-vote and its grant speak of a term that nobody is in yet.
    if (message.type === 'pre-vote') return;
    if (message.type === 'pre-vote-reply' && message.granted) return;
    const shown = this.#shown.get(idOf(view)) ?? 0;
    this.#shown.set(idOf(view), Math.max(shown, message.term));
  }

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind === 'role' && effect.term < view.term) {
      this.#fail(view, `goes back from term ${view.term} to ${effect.term}`);
    }
    if (effect.kind === 'apply') {
      this.#notBack(view, 'applied', view.applied, effect.entries[0]?.index ?? view.applied);
    }
  }

  afterStep(view: NodeView): void {
    this.#notBack(view, 'commit', view.commit, view.node.core?.commit ?? 0);
  }

  #notBack(view: NodeView, what: string, before: LogIndex, now: LogIndex): void {
    if (now < before) this.#fail(view, `takes its ${what} index back from ${before} to ${now}`);
  }

  #fail(view: NodeView, what: string): never {
    throw new Violation(this.name, `${view.node.id} ${what}`);
  }
}

/** A node whose disk was lost is another one under the same name. */
function idOf({ node }: NodeView): string {
  return `${node.id}#${node.incarnation}`;
}
