/**
 * Watches a run from outside: keeps what each node has said about itself, hands every step to the
 * invariants, and folds the effects into the trace. Knows no node's inside but its commit index.
 */
import { assert, must, type LogIndex, type NodeId, type Term } from '../base/index.js';
import type { Effect, Message, Role, SnapshotMeta, StoredState } from '../raft/index.js';
import type { Operation } from './history.js';
import { createInvariants, type Invariant } from './invariants/index.js';
import type { SimNode } from './node.js';
import { ShadowLog } from './shadow-log.js';
import type { Trace } from './trace.js';

/** One node as the invariants see it. */
export interface NodeView {
  readonly node: SimNode;
  role: Role;
  term: Term;
  /** The log in the node's memory. */
  readonly log: ShadowLog;
  /** Largest commit index of this life. */
  commit: LogIndex;
  /** Last entry handed out to the state machine in this life. */
  applied: LogIndex;
}

export interface Committed {
  readonly term: Term;
  /** Term of the node that was seen to commit it first: leaders of later terms must have it. */
  readonly commitTerm: Term;
}

/** The cluster as the invariants see it. */
export interface ClusterView {
  readonly nodes: ReadonlyMap<NodeId, NodeView>;
  /** What is committed, by index; [0] is unused. */
  readonly committed: readonly Committed[];
}

export class Monitor {
  elections = 0;
  readonly #trace: Trace;
  readonly #now: () => number;
  readonly #nodes = new Map<NodeId, NodeView>();
  readonly #committed: Committed[] = [{ term: 0, commitTerm: 0 }];
  readonly #invariants: readonly Invariant[];

  constructor(trace: Trace, now: () => number) {
    this.#trace = trace;
    this.#now = now;
    this.#invariants = createInvariants({ nodes: this.#nodes, committed: this.#committed });
  }

  onBoot(node: SimNode, stored: StoredState): void {
    const view: NodeView = {
      node,
      role: 'follower',
      term: stored.hardState.term,
      log: new ShadowLog(),
      commit: Math.max(stored.snapshot.index, stored.applied),
      applied: Math.max(stored.snapshot.index, stored.applied),
    };
    view.log.load(stored);
    this.#nodes.set(node.id, view);
    this.#trace.note(this.#now(), node.id, `boot t${view.term} last ${view.log.lastIndex}`);
    for (const invariant of this.#invariants) invariant.onBoot?.(view, stored);
  }

  onCrash(node: SimNode): void {
    this.#trace.note(this.#now(), node.id, 'crash');
  }

  onStep(node: SimNode, effects: readonly Effect[]): void {
    const view = this.#view(node);
    for (const effect of effects) {
      this.#trace.effect(this.#now(), node.id, effect);
      for (const invariant of this.#invariants) invariant.onEffect?.(view, effect);
      this.#follow(view, effect);
    }
    this.#followCommit(view);
    for (const invariant of this.#invariants) invariant.afterStep?.(view);
    view.commit = node.core?.commit ?? view.commit;
  }

  /** A message really leaves, after whatever it had to wait for. */
  onSend(node: SimNode, to: NodeId, message: Message): void {
    for (const invariant of this.#invariants) invariant.onSend?.(this.#view(node), to, message);
  }

  onInstalled(node: SimNode, meta: SnapshotMeta): void {
    const view = this.#view(node);
    view.log.reset(meta.index, meta.term);
    view.commit = Math.max(view.commit, meta.index);
    view.applied = meta.index;
    for (const invariant of this.#invariants) invariant.onInstalled?.(view, meta);
  }

  onOperation(operation: Operation): void {
    for (const invariant of this.#invariants) invariant.onOperation?.(operation);
  }

  /** All is healed and quiet: what must be the case in the end. */
  atEnd(): void {
    for (const invariant of this.#invariants) invariant.atEnd?.();
  }

  #view(node: SimNode): NodeView {
    return must(this.#nodes.get(node.id), `the view of ${node.id}`);
  }

  #follow(view: NodeView, effect: Effect): void {
    switch (effect.kind) {
      case 'role':
        if (effect.role === 'leader') this.elections += 1;
        view.role = effect.role;
        view.term = effect.term;
        break;
      case 'persist':
        if (effect.truncateFrom !== undefined) view.log.truncate(effect.truncateFrom);
        for (const entry of effect.append) view.log.append(entry.index, entry.term);
        break;
      case 'apply':
        view.applied = effect.entries.at(-1)?.index ?? view.applied;
        break;
      case 'compact':
        view.log.compact(effect.upTo, effect.meta.term);
        break;
      default:
        break;
    }
  }

  /** The first node that is seen to commit an index fixes what is committed there. */
  #followCommit(view: NodeView): void {
    const commit = view.node.core?.commit ?? 0;
    for (let index = view.commit + 1; index <= commit; index += 1) {
      const term = view.log.term(index);
      assert(term !== undefined, `${view.node.id} committed ${index} without having it`);
      if (this.#committed[index] !== undefined) continue;
      assert(index === this.#committed.length, `nobody was seen to commit before ${index}`);
      this.#committed.push({ term, commitTerm: view.node.core?.term ?? 0 });
    }
  }
}
