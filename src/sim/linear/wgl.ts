/**
 * Is a history linearizable: is there an order of its operations that respects real time and that
 * the sequential object allows? The search of Wing and Gong ("Testing and Verifying Concurrent
 * Objects", 1993) with Lowe's memory of configurations ("Testing for Linearizability", 2017): a
 * set of operations that took effect, with the state they led to, is looked at once.
 *
 * Histories of different keys are independent (locality, Herlihy and Wing §3.3): callers check one
 * key at a time. Intervals are closed: at equal times calls come before returns. An operation
 * without a return may take effect at any time after its call; it binds nobody if it never does.
 */
import { assert, must } from '../../base/index.js';
import type { Interval, Model } from './model.js';

export type Verdict = 'linearizable' | 'impossible' | 'undecided';

export interface Judgement<Action> {
  readonly verdict: Verdict;
  /** The longest order that was found; all operations that returned, where it is linearizable. */
  readonly order: readonly Interval<Action>[];
  /** Where that order ends: the operation whose return could not be reached. */
  readonly stuckAt: Interval<Action> | undefined;
}

/** Steps of the search per history; beyond it the answer is `undecided`. About a second. */
export const STEPS_MAX = 3_000_000;

/** What an event hangs on: the one before it, or the head of the list. */
interface Link<Action> {
  next: Event<Action> | undefined;
}

/** A call or a return, in a list by time. */
interface Event<Action> extends Link<Action> {
  readonly operation: Interval<Action>;
  /** Place of the operation's bit. */
  readonly bit: number;
  /** A call's return; undefined for a return itself, and for a call that never returned. */
  readonly match: Event<Action> | undefined;
  readonly isCall: boolean;
  previous: Link<Action> | undefined;
}

interface Choice<State, Action> {
  readonly call: Event<Action>;
  readonly before: State;
}

export function judge<State, Action>(
  history: readonly Interval<Action>[],
  model: Model<State, Action>,
  stepsMax: number = STEPS_MAX,
): Judgement<Action> {
  return new Search(history, model).run(stepsMax);
}

class Search<State, Action> {
  readonly #model: Model<State, Action>;
  readonly #head: Link<Action>;
  readonly #taken: Uint32Array;
  readonly #seen = new Map<string, Set<string | number>>();
  readonly #choices: Choice<State, Action>[] = [];
  #longest: readonly Event<Action>[] | undefined;
  #stuckAt: Interval<Action> | undefined;
  #returnsLeft: number;
  #state: State;

  constructor(history: readonly Interval<Action>[], model: Model<State, Action>) {
    this.#model = model;
    this.#state = model.initial;
    this.#taken = new Uint32Array(Math.ceil(history.length / 32));
    this.#head = link(history);
    this.#returnsLeft = history.filter((operation) => operation.returnAt !== undefined).length;
  }

  run(stepsMax: number): Judgement<Action> {
    let event = this.#head.next;
    for (let steps = 0; this.#returnsLeft > 0; steps += 1) {
      if (steps >= stepsMax) return this.#judgement('undecided');
      if (event?.isCall === true) {
        event = this.#maybeTake(event) ? this.#head.next : event.next;
        continue;
      }
      // A return whose call has not taken effect (or the end of the list): this way leads nowhere.
      this.#remember(event);
      const choice = this.#choices.pop();
      if (choice === undefined) return this.#judgement('impossible');
      this.#undo(choice);
      event = choice.call.next;
    }
    this.#longest = this.#choices.map(({ call }) => call);
    return this.#judgement('linearizable');
  }

  /** Lets the operation take effect now, unless it cannot, or was tried in this configuration. */
  #maybeTake(call: Event<Action>): boolean {
    const after = this.#model.step(this.#state, call.operation.action);
    if (after === undefined) return false;
    this.#flip(call.bit);
    if (!this.#isNew(after)) {
      this.#flip(call.bit);
      return false;
    }
    this.#choices.push({ call, before: this.#state });
    this.#state = after;
    lift(call);
    if (call.match !== undefined) {
      lift(call.match);
      this.#returnsLeft -= 1;
    }
    return true;
  }

  #undo({ call, before }: Choice<State, Action>): void {
    this.#state = before;
    this.#flip(call.bit);
    if (call.match !== undefined) {
      unlift(call.match);
      this.#returnsLeft += 1;
    }
    unlift(call);
  }

  #isNew(state: State): boolean {
    const taken = String.fromCharCode(...halves(this.#taken));
    let states = this.#seen.get(taken);
    if (states === undefined) {
      states = new Set();
      this.#seen.set(taken, states);
    }
    const key = this.#model.keyOf(state);
    if (states.has(key)) return false;
    states.add(key);
    return true;
  }

  #flip(bit: number): void {
    const word = bit >>> 5;
    this.#taken[word] = (this.#taken[word] ?? 0) ^ (1 << (bit & 31));
  }

  #remember(at: Event<Action> | undefined): void {
    if (this.#longest !== undefined && this.#choices.length <= this.#longest.length) return;
    this.#longest = this.#choices.map(({ call }) => call);
    this.#stuckAt = at?.operation;
  }

  #judgement(verdict: Verdict): Judgement<Action> {
    return {
      verdict,
      order: (this.#longest ?? []).map(({ operation }) => operation),
      stuckAt: verdict === 'linearizable' ? undefined : this.#stuckAt,
    };
  }
}

/** The list of calls and returns by time. */
function link<Action>(history: readonly Interval<Action>[]): Link<Action> {
  const events: Event<Action>[] = [];
  for (const [bit, operation] of history.entries()) {
    const { callAt, returnAt } = operation;
    assert(returnAt === undefined || returnAt >= callAt, 'an operation returns after its call');
    const shared = { operation, bit, previous: undefined, next: undefined };
    const back: Event<Action> | undefined =
      returnAt === undefined ? undefined : { ...shared, match: undefined, isCall: false };
    events.push({ ...shared, match: back, isCall: true });
    if (back !== undefined) events.push(back);
  }
  const sorted = events.sort(
    (a, b) => timeOf(a) - timeOf(b) || Number(b.isCall) - Number(a.isCall),
  );
  const head: Link<Action> = { next: undefined };
  let last: Link<Action> = head;
  for (const event of sorted) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function timeOf<Action>(event: Event<Action>): number {
  return event.isCall ? event.operation.callAt : (event.operation.returnAt ?? 0);
}

/** Takes an event out; it remembers its place. */
function lift<Action>(event: Event<Action>): void {
  must(event.previous, 'the event before').next = event.next;
  if (event.next !== undefined) event.next.previous = event.previous;
}

/** Puts it back. In reverse order of lifting. */
function unlift<Action>(event: Event<Action>): void {
  must(event.previous, 'the event before').next = event;
  if (event.next !== undefined) event.next.previous = event;
}

/** A Uint32Array as UTF-16 code units: a key that a Map takes. */
function halves(words: Uint32Array): Uint16Array {
  return new Uint16Array(words.buffer);
}
