/**
 * Who waits for what: proposals for their entry to be applied, reads for their index, barriers for
 * an applied index. Everything here settles: by its result, by loss of leadership, by its timeout,
 * by its signal, or when the node stops.
 *
 * What a proposer is told:
 * - never handed to the core, or refused by it: NOT_LEADER or BUSY, nothing happened;
 * - in the log when leadership, time or patience ended: UNKNOWN_OUTCOME, it may still commit;
 * - another entry was committed in its place: NOT_LEADER, it never will.
 */
import {
  assert,
  type Clock,
  IdunnoError,
  type LogIndex,
  type Ms,
  type NodeId,
  type Term,
} from '../base/index.js';

export interface WaitOptions {
  readonly timeoutMs: Ms;
  readonly signal?: AbortSignal;
}

export interface Proposed {
  readonly index: LogIndex;
  /** What the machine returned for the entry. */
  readonly result: unknown;
}

interface Proposal {
  readonly data: Uint8Array;
  readonly waiter: Waiter<Proposed>;
  /** Set once the core has put it into its log. */
  at: { readonly index: LogIndex; readonly term: Term } | undefined;
}

/** One promise with a deadline and a signal, settled exactly once. */
class Waiter<T> {
  readonly promise: Promise<T>;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  readonly #cleanUp: () => void;

  /** `why` makes the error of a timeout or an abort, at that time. */
  constructor(
    clock: Clock,
    { timeoutMs, signal }: WaitOptions,
    why: (cause: 'timeout' | 'aborted') => IdunnoError,
    onEnd: () => void,
  ) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const end = (cause: 'timeout' | 'aborted'): void => {
      this.reject(why(cause));
      onEnd();
    };
    const timer = clock.setTimer(timeoutMs, () => end('timeout'));
    const onAbort = (): void => end('aborted');
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#cleanUp = () => {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    };
    if (signal?.aborted === true) this.reject(why('aborted'));
  }

  resolve(value: T): void {
    this.#cleanUp();
    this.#resolve?.(value);
  }

  reject(error: unknown): void {
    this.#cleanUp();
    this.#reject?.(error);
  }
}

/** Proposals waiting to be handed over, and bytes of them: beyond it callers get BUSY. */
const QUEUED_MAX = 10_000;
const QUEUED_BYTES_MAX = 32 * 1024 * 1024;
const BARRIERS_MAX = 10_000;

export class Proposals {
  readonly #clock: Clock;
  readonly #byId = new Map<number, Proposal>();
  readonly #idByIndex = new Map<LogIndex, number>();
  #queue: number[] = [];
  #queuedBytes = 0;
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get queued(): number {
    return this.#queue.length;
  }

  add(data: Uint8Array, options: WaitOptions): Promise<Proposed> {
    if (this.#queue.length >= QUEUED_MAX || this.#queuedBytes >= QUEUED_BYTES_MAX) {
      return Promise.reject(
        new IdunnoError('BUSY', `${this.#queue.length} commands wait for the log`, {
          retryAfterMs: 50,
        }),
      );
    }
    this.#lastId += 1;
    const id = this.#lastId;
    const waiter = new Waiter<Proposed>(
      this.#clock,
      options,
      (cause) => this.#whyEnded(id, cause, options.timeoutMs),
      () => this.#forget(id),
    );
    if (options.signal?.aborted !== true) {
      this.#byId.set(id, { data, waiter, at: undefined });
      this.#queue.push(id);
      this.#queuedBytes += data.length;
    }
    return waiter.promise;
  }

  /** All that waits to be handed to the core, in order. */
  takeQueued(timeMs: number): { id: number; timeMs: number; data: Uint8Array }[] {
    const taken = [];
    for (const id of this.#queue) {
      const proposal = this.#byId.get(id);
      if (proposal !== undefined) taken.push({ id, timeMs, data: proposal.data });
    }
    this.#queue = [];
    this.#queuedBytes = 0;
    return taken;
  }

  onProposed(id: number, index: LogIndex, term: Term): void {
    const proposal = this.#byId.get(id);
    if (proposal === undefined) return;
    proposal.at = { index, term };
    this.#idByIndex.set(index, id);
  }

  onRejected(id: number, error: IdunnoError): void {
    this.#byId.get(id)?.waiter.reject(error);
    this.#forget(id);
  }

  onApplied(index: LogIndex, term: Term, result: unknown): void {
    const id = this.#idByIndex.get(index);
    if (id === undefined) return;
    const proposal = this.#byId.get(id);
    assert(proposal?.at !== undefined, `proposal ${id} has no place in the log`);
    if (proposal.at.term === term) proposal.waiter.resolve({ index, result });
    else proposal.waiter.reject(notLeader(undefined, 'another entry took its place in the log'));
    this.#forget(id);
  }

  /** Leadership ended: what is in the log may or may not be committed by the next leader. */
  onDeposed(leader: NodeId | undefined): void {
    for (const id of [...this.#idByIndex.values()]) {
      this.#byId.get(id)?.waiter.reject(unknownOutcome('this node stopped leading', leader));
      this.#forget(id);
    }
  }

  rejectAll(why: string): void {
    for (const [id, { at, waiter }] of [...this.#byId]) {
      waiter.reject(at === undefined ? notLeader(undefined, why) : unknownOutcome(why, undefined));
      this.#forget(id);
    }
  }

  #whyEnded(id: number, cause: 'timeout' | 'aborted', timeoutMs: Ms): IdunnoError {
    const isInLog = this.#byId.get(id)?.at !== undefined;
    if (cause === 'aborted') return new IdunnoError('ABORTED', 'the caller gave up on a command');
    if (isInLog) return unknownOutcome(`it was not committed within ${timeoutMs} ms`, undefined);
    return new IdunnoError('BUSY', `the log did not take a command within ${timeoutMs} ms`);
  }

  #forget(id: number): void {
    const proposal = this.#byId.get(id);
    if (proposal === undefined) return;
    this.#byId.delete(id);
    if (proposal.at !== undefined && this.#idByIndex.get(proposal.at.index) === id) {
      this.#idByIndex.delete(proposal.at.index);
    }
  }
}

/** Reads that wait for their index. */
export class Reads {
  readonly #clock: Clock;
  readonly #byId = new Map<number, Waiter<LogIndex>>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(options: WaitOptions): { id: number; promise: Promise<LogIndex> } {
    this.#lastId += 1;
    const id = this.#lastId;
    const waiter = new Waiter<LogIndex>(
      this.#clock,
      options,
      (cause) => waitEnded('a read was not confirmed by a quorum', cause, options.timeoutMs),
      () => this.#byId.delete(id),
    );
    if (options.signal?.aborted !== true) this.#byId.set(id, waiter);
    return { id, promise: waiter.promise };
  }

  onReady(id: number, index: LogIndex): void {
    this.#byId.get(id)?.resolve(index);
    this.#byId.delete(id);
  }

  onRejected(id: number, leader: NodeId | undefined): void {
    this.#byId.get(id)?.reject(notLeader(leader, 'a read came to a node that does not lead'));
    this.#byId.delete(id);
  }

  rejectAll(why: string): void {
    for (const waiter of this.#byId.values()) waiter.reject(notLeader(undefined, why));
    this.#byId.clear();
  }
}

/** Callers that wait until an index is applied here. */
export class AppliedBarriers {
  readonly #clock: Clock;
  readonly #waiting = new Set<{ index: LogIndex; waiter: Waiter<void> }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(index: LogIndex, options: WaitOptions): Promise<void> {
    if (this.#waiting.size >= BARRIERS_MAX) {
      return Promise.reject(new IdunnoError('BUSY', `${BARRIERS_MAX} reads wait to be applied`));
    }
    const waiter = new Waiter<void>(
      this.#clock,
      options,
      (cause) => waitEnded(`entry ${index} was not applied`, cause, options.timeoutMs),
      () => this.#waiting.delete(entry),
    );
    const entry = { index, waiter };
    if (options.signal?.aborted !== true) this.#waiting.add(entry);
    return waiter.promise;
  }

  onApplied(applied: LogIndex): void {
    for (const entry of this.#waiting) {
      if (entry.index > applied) continue;
      entry.waiter.resolve();
      this.#waiting.delete(entry);
    }
  }

  rejectAll(why: string): void {
    for (const { waiter } of this.#waiting) waiter.reject(notLeader(undefined, why));
    this.#waiting.clear();
  }
}

/** Nothing happened; the hint says who may know better. */
export function notLeader(leader: NodeId | undefined, why: string): IdunnoError {
  if (leader === undefined) {
    return new IdunnoError('NO_LEADER', `${why}; no leader is known`, { leader: null });
  }
  return new IdunnoError('NOT_LEADER', `${why}; ${leader} leads`, { leader });
}

function unknownOutcome(why: string, leader: NodeId | undefined): IdunnoError {
  return new IdunnoError(
    'UNKNOWN_OUTCOME',
    `a command may or may not take effect: ${why}; a retry under the same request is safe`,
    { leader: leader ?? null },
  );
}

function waitEnded(what: string, cause: 'timeout' | 'aborted', timeoutMs: Ms): IdunnoError {
  if (cause === 'aborted') return new IdunnoError('ABORTED', `${what}: the caller gave up`);
  return new IdunnoError('UNAVAILABLE', `${what} within ${timeoutMs} ms`);
}
