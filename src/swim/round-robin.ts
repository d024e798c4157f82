/**
 * Random members, each once per round: "the order of the list is rearranged randomly at the end of
 * each traversal; a newcomer is inserted at a position chosen uniformly at random" (SWIM §4.3).
 * It bounds how long a member can stay unprobed by one node to two rounds.
 */
import type { NodeId, Rng } from '../base/index.js';

export class RoundRobin {
  readonly #rng: Rng;
  /** The rest of the round, last one first. */
  #rest: NodeId[] = [];

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  insert(name: NodeId): void {
    if (this.#rest.includes(name)) return;
    this.#rest.splice(this.#rng.int(this.#rest.length + 1), 0, name);
  }

  /** The next of `names` that `accept`s; undefined when a whole new round has none. */
  next(names: readonly NodeId[], accept: (name: NodeId) => boolean): NodeId | undefined {
    for (let round = 0; round < 2; round++) {
      for (let name = this.#rest.pop(); name !== undefined; name = this.#rest.pop()) {
        if (accept(name)) return name;
      }
      this.#rest = this.#shuffle(names);
    }
    return undefined;
  }

  /** Fisher and Yates. */
  #shuffle(names: readonly NodeId[]): NodeId[] {
    const shuffled = [...names];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.#rng.int(i + 1);
      const [a, b] = [shuffled[i], shuffled[j]];
      if (a !== undefined && b !== undefined) [shuffled[i], shuffled[j]] = [b, a];
    }
    return shuffled;
  }
}
