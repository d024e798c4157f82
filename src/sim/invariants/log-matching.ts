/**
 * "If two logs contain an entry with the same index and term, then the logs are identical in all
 * entries up through the given index." (Raft figure 3, §5.3)
 *
 * By induction: whatever entry is written anywhere, its (index, term) always goes with the same
 * content and the same term before it.
 */
import type { Effect, Entry } from '../../raft/index.js';
import { extendDigest } from '../machine.js';
import type { NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

interface Known {
  readonly content: number;
  readonly prevTerm: number;
}

export class LogMatching implements Invariant {
  readonly name = 'log-matching';
  readonly #known = new Map<string, Known>();

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind !== 'persist' || effect.append.length === 0) return;
    const first = effect.append[0]?.index ?? 0;
    let prevTerm = view.log.term(first - 1) ?? 0;
    for (const entry of effect.append) {
      this.#check(view, entry, prevTerm);
      prevTerm = entry.term;
    }
  }

  #check(view: NodeView, entry: Entry, prevTerm: number): void {
    const key = `${entry.index}.${entry.term}`;
    const content = extendDigest(0, entry);
    const known = this.#known.get(key);
    if (known === undefined) {
      this.#known.set(key, { content, prevTerm });
    } else if (known.content !== content || known.prevTerm !== prevTerm) {
      throw new Violation(
        this.name,
        `${view.node.id} writes ${key} after term ${prevTerm}, elsewhere it follows term ${known.prevTerm}` +
          (known.content === content ? '' : ' with other content'),
      );
    }
  }
}
