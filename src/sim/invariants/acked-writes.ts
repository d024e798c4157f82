/**
 * A write that was acknowledged is in the history, where the acknowledgement says, and stays there;
 * a write that was refused never takes effect. Every other outcome is unknown and may be either.
 */
import { type LogIndex, must, type NodeId } from '../../base/index.js';
import { type Effect, membersOf } from '../../raft/index.js';
import type { Operation } from '../history.js';
import { decodeWrite } from '../machine.js';
import type { ClusterView, NodeView } from '../monitor.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class AckedWrites implements Invariant {
  readonly name = 'acked-writes';
  readonly #cluster: ClusterView;
  readonly #values = new Map<LogIndex, number>();
  readonly #acked = new Map<LogIndex, number>();
  readonly #refused = new Set<number>();

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
  }

  onEffect(view: NodeView, effect: Effect): void {
    if (effect.kind !== 'apply') return;
    for (const entry of effect.entries) {
      if (entry.kind !== 'command') continue;
      const { value } = decodeWrite(entry.data);
      this.#values.set(entry.index, value);
      const acked = this.#acked.get(entry.index);
      if (acked !== undefined && acked !== value) {
        this.#fail(`${view.node.id} applies ${value} at ${entry.index}: ${acked} was acknowledged`);
      }
      if (this.#refused.has(value)) this.#fail(`${value} was refused and takes effect after all`);
    }
  }

  onOperation(operation: Operation): void {
    if (operation.kind !== 'write') return;
    const { outcome, value, index } = operation;
    if (outcome === 'refused') this.#refused.add(value);
    if (outcome !== 'done') return;
    if (this.#values.get(index) !== value) this.#fail(`${value} was acknowledged before applied`);
    this.#acked.set(index, value);
  }

  atEnd(): void {
    const last = Math.max(0, ...this.#acked.keys());
    const members = this.#members();
    for (const { node } of this.#cluster.nodes.values()) {
      // The content up to there is compared by state-machine-safety.
      if (!node.isUp || !members.includes(node.id) || node.machine.index >= last) continue;
      this.#fail(`${node.id} ends at ${node.machine.index}, acknowledged is ${last}`);
    }
  }

  /** By whoever leads last: who was removed is not told what is committed. */
  #members(): readonly NodeId[] {
    let newest: NodeView | undefined;
    for (const view of this.#cluster.nodes.values()) {
      const isLeader = view.node.core?.role === 'leader';
      if (isLeader && (newest === undefined || view.term > newest.term)) newest = view;
    }
    return membersOf(must(newest?.node.core, 'a leader at the end').conf);
  }

  #fail(what: string): never {
    throw new Violation(this.name, what);
  }
}
