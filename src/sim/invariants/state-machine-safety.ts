/**
 * "If a server has applied a log entry at a given index to its state machine, no other server will
 * ever apply a different log entry for the same index." (Raft figure 3, §5.4.3) Also: in order,
 * each exactly once in a life, and what is reported as committed stays so.
 */
import type { LogIndex } from '../../base/index.js';
import type { Effect, Entry, SnapshotMeta } from '../../raft/index.js';
import { extendDigest } from '../machine.js';
import type { ClusterView, NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class StateMachineSafety implements Invariant {
  readonly name = 'state-machine-safety';
  readonly #cluster: ClusterView;
  readonly #applied = new Map<LogIndex, number>();
  /** Digest of the one true history, up to each index. */
  readonly #digests: number[] = [0];

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
  }

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind !== 'apply') return;
    let expected = view.applied + 1;
    for (const entry of effect.entries) {
      if (entry.index !== expected) this.#fail(view, `applies ${entry.index}, due is ${expected}`);
      expected += 1;
      this.#check(view, entry);
    }
  }

  afterStep(view: NodeView): void {
    const commit = view.node.core?.commit ?? 0;
    for (let index = view.commit + 1; index <= commit; index += 1) {
      const known = this.#cluster.committed[index]?.term;
      if (known === view.log.term(index)) continue;
      this.#fail(
        view,
        `commits ${index}.${view.log.term(index)}, committed there is term ${known}`,
      );
    }
  }

  onInstalled(view: NodeView, meta: SnapshotMeta): void {
    if (view.node.machine.digest !== this.#digests[meta.index]) {
      this.#fail(view, `installs a snapshot at ${meta.index} of another history`);
    }
  }

  atEnd(): void {
    for (const { node } of this.#cluster.nodes.values()) {
      if (!node.isUp || node.machine.digest === this.#digests[node.machine.index]) continue;
      throw new Violation(this.name, `${node.id} holds another history at ${node.machine.index}`);
    }
  }

  #check(view: NodeView, entry: Entry): void {
    const content = extendDigest(0, entry);
    const known = this.#applied.get(entry.index);
    if (known === undefined) {
      this.#applied.set(entry.index, content);
      this.#digests[entry.index] = extendDigest(this.#digests[entry.index - 1] ?? 0, entry);
    } else if (known !== content) {
      this.#fail(view, `applies ${entry.index}.${entry.term}, another entry was applied there`);
    }
  }

  #fail(view: NodeView, what: string): never {
    throw new Violation(this.name, `${view.node.id} ${what}`);
  }
}
