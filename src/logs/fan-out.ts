/**
 * One query to many nodes at once: calls each, passes on what they say as it comes, and says of each
 * how it ended. A node that is lost, silent or slow costs its own lines only.
 *
 * Time counts only while something is waited for: a reader that pauses makes no node late. What is
 * gathered for the reader is bounded, and the nodes wait when it is full.
 */
import { asIdunnoError, type Clock, IdunnoError, isIdunnoError, type Ms } from '../base/index.js';
import { type CallResult, readLogRecord, readRecords, writeRecord } from '../net/index.js';
import { writeReport } from './protocol.js';
import type { NodeReport, NodeStatus } from './types.js';

export interface FanOutTarget {
  readonly node: string;
  /** How long nothing may be heard of it. A node that is thought dead gets less. */
  readonly silenceMs: Ms;
  call(signal: AbortSignal): Promise<CallResult>;
}

export interface FanOutOptions {
  /** For each node, from its call to its end. */
  readonly budgetMs: Ms;
}

/** Records for the reader; a record has at most a few hundred KiB. */
const WAITING_MAX = 32;
/** Beyond the node's own deadline, which it tells by itself. */
const GRACE_MS: Ms = 500;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Ends when every node has. `return` cancels all calls. */
export class FanOut implements AsyncIterableIterator<Uint8Array> {
  readonly #options: FanOutOptions;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #records: Uint8Array[] = [];
  #open: number;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];

  constructor(targets: readonly FanOutTarget[], options: FanOutOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#open = targets.length;
    for (const target of targets) void this.#ask(target);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const record = this.#records.shift();
      if (record !== undefined) {
        for (const wake of this.#wakeWriters.splice(0)) wake();
        return { done: false, value: record };
      }
      if (this.#open === 0 || this.#abort.signal.aborted) return DONE;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#abort.abort(new IdunnoError('ABORTED', 'nobody reads the answer any more'));
    this.#records.length = 0;
    for (const wake of this.#wakeWriters.splice(0)) wake();
    this.#wakeReader?.();
    return DONE;
  }

  /** Never rejects. A node that has left by its own word is not mentioned. */
  async #ask(target: FanOutTarget): Promise<void> {
    const watch = new NodeWatch(target, this.#options.budgetMs, this.#clock);
    const stop = (): void => watch.abort.abort(this.#abort.signal.reason);
    this.#abort.signal.addEventListener('abort', stop, { once: true });
    let report: NodeReport | undefined;
    try {
      report = await this.#pass(target, watch);
    } catch (error) {
      if (!isIdunnoError(error, 'NODE_LEFT')) report = watch.reportOf(error);
    }
    this.#abort.signal.removeEventListener('abort', stop);
    watch.abort.abort(new IdunnoError('ABORTED', 'the node has answered'));
    if (report !== undefined) await this.#push(writeReport(report));
    this.#open -= 1;
    this.#wakeReader?.();
  }

  async #pass(target: FanOutTarget, watch: NodeWatch): Promise<NodeReport> {
    const { body } = await watch.waitFor(target.call(watch.abort.signal));
    const source = body[Symbol.asyncIterator]();
    const records = readRecords({ [Symbol.asyncIterator]: () => source });
    try {
      for (;;) {
        const next = await watch.waitFor(records.next());
        if (next.done === true) throw new IdunnoError('CONNECTION_LOST', 'it ended in the middle');
        const record = readLogRecord(next.value);
        if (record.kind === 'end') {
          const { kind: _, ...report } = record;
          return { ...report, node: target.node };
        }
        if (record.kind === 'lines') watch.matches += record.lengths.length;
        await this.#push(writeRecord(next.value.header, next.value.raw));
      }
    } finally {
      // At the source itself: the generator would only hear of it after its next piece.
      void source.return?.();
    }
  }

  async #push(record: Uint8Array): Promise<void> {
    while (this.#records.length >= WAITING_MAX && !this.#abort.signal.aborted) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
    if (this.#abort.signal.aborted) return;
    this.#records.push(record);
    this.#wakeReader?.();
  }
}

/** One node's time. */
class NodeWatch {
  readonly abort = new AbortController();
  /** Lines that it has delivered. */
  matches = 0;
  readonly #target: FanOutTarget;
  readonly #budgetMs: Ms;
  readonly #clock: Clock;
  #spentMs: Ms = 0;
  #failed: NodeStatus | undefined;

  constructor(target: FanOutTarget, budgetMs: Ms, clock: Clock) {
    this.#target = target;
    this.#budgetMs = budgetMs;
    this.#clock = clock;
  }

  /** The node's next word; rejects when it does not come in time. */
  async waitFor<T>(word: Promise<T>): Promise<T> {
    const sinceMs = this.#clock.now();
    const leftMs = Math.max(0, this.#budgetMs + GRACE_MS - this.#spentMs);
    const isLast = leftMs <= this.#target.silenceMs;
    let reject: (error: IdunnoError) => void = () => undefined;
    const tooLate = new Promise<never>((_, fail) => {
      reject = fail;
    });
    const timer = this.#clock.setTimer(Math.min(leftMs, this.#target.silenceMs), () => {
      this.#failed = isLast ? 'timeout' : 'silent';
      const ms = Math.round(Math.min(leftMs, this.#target.silenceMs));
      const error = new IdunnoError('TIMEOUT', `nothing was heard of it for ${ms} ms`);
      this.abort.abort(error);
    });
    const onAbort = (): void => reject(asIdunnoError(this.abort.signal.reason));
    this.abort.signal.addEventListener('abort', onAbort, { once: true });
    // The losers of the race may fail later, when nobody looks any more.
    word.catch(() => undefined);
    tooLate.catch(() => undefined);
    try {
      return await Promise.race([word, tooLate]);
    } finally {
      timer.cancel();
      this.abort.signal.removeEventListener('abort', onAbort);
      this.#spentMs += this.#clock.now() - sinceMs;
    }
  }

  /** What became of a node that did not say so itself. */
  reportOf(error: unknown): NodeReport {
    const { code, message } = asIdunnoError(error);
    const isLost = code === 'CONNECTION_LOST' || code === 'UNAVAILABLE' || code === 'WRONG_CLUSTER';
    const status = this.#failed ?? (isLost ? 'down' : 'failed');
    const { node } = this.#target;
    const ms = Math.round(this.#spentMs);
    return { node, status, matches: this.matches, bytes: 0, ms, error: message };
  }
}
