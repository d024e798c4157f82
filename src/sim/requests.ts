/**
 * What clients wait for on one simulated node: proposals, read indexes, and reads that wait for
 * the state machine. Gone with the node when it crashes: then nobody knows what became of them.
 */
import type { LogIndex, NodeId, Term } from '../base/index.js';
import type { Effect, Entry } from '../raft/index.js';

/** How a proposal or read ended. Nothing at all is an outcome too: unknown. */
export type Outcome =
  | { readonly kind: 'written'; readonly index: LogIndex }
  | { readonly kind: 'readable'; readonly index: LogIndex }
  /** Definitely without effect. */
  | { readonly kind: 'refused'; readonly leader: NodeId | undefined };

export type Settle = (outcome: Outcome) => void;

export class Requests {
  #nextId = 1;
  readonly #proposals = new Map<number, Settle>();
  readonly #proposed = new Map<LogIndex, { term: Term; settle: Settle }>();
  readonly #reads = new Map<number, Settle>();
  #appliedWaiters: { index: LogIndex; resume: () => void }[] = [];

  addProposal(settle: Settle): number {
    const id = this.#nextId++;
    this.#proposals.set(id, settle);
    return id;
  }

  addRead(settle: Settle): number {
    const id = this.#nextId++;
    this.#reads.set(id, settle);
    return id;
  }

  /** The core's answers; other effects are none of its business. */
  onEffect(effect: Effect): void {
    switch (effect.kind) {
      case 'proposed': {
        const settle = take(this.#proposals, effect.id);
        if (settle) this.#proposed.set(effect.index, { term: effect.term, settle });
        break;
      }
      case 'proposal-rejected':
        take(this.#proposals, effect.id)?.({ kind: 'refused', leader: effect.leader });
        break;
      case 'read-ready':
        take(this.#reads, effect.id)?.({ kind: 'readable', index: effect.index });
        break;
      case 'read-rejected':
        take(this.#reads, effect.id)?.({ kind: 'refused', leader: effect.leader });
        break;
      default:
        break;
    }
  }

  onApplied(entry: Entry): void {
    const waiting = this.#proposed.get(entry.index);
    if (waiting === undefined) return;
    this.#proposed.delete(entry.index);
    // Another leader's entry took its place: it can never be applied any more.
    if (waiting.term !== entry.term) waiting.settle({ kind: 'refused', leader: undefined });
    else waiting.settle({ kind: 'written', index: entry.index });
  }

  whenApplied(index: LogIndex, resume: () => void): void {
    this.#appliedWaiters.push({ index, resume });
  }

  wakeReaders(applied: LogIndex): void {
    const ready = this.#appliedWaiters.filter((waiter) => waiter.index <= applied);
    this.#appliedWaiters = this.#appliedWaiters.filter((waiter) => waiter.index > applied);
    for (const waiter of ready) waiter.resume();
  }

  /** A snapshot covers these proposals: done or not, nobody here can tell. */
  forgetUpTo(index: LogIndex): void {
    for (const at of this.#proposed.keys()) {
      if (at <= index) this.#proposed.delete(at);
    }
  }
}

function take(from: Map<number, Settle>, id: number): Settle | undefined {
  const settle = from.get(id);
  from.delete(id);
  return settle;
}
