/**
 * A log query as a client sees it: lines of many nodes as they come, then a report of each node.
 *
 * Should the node that was asked be lost in the middle, another one is asked for what is missing:
 * nodes that have not ended, without the lines that have come already. Each node's lines come in
 * their order, so their number says where to go on.
 */
import { z } from 'zod';
import { asIdunnoError, type Clock, IdunnoError } from '../base/index.js';
import type { ClearRow, LogQuery, NodeReport } from '../logs/index.js';
import { type BodyRecord, readLogRecord, readRecords } from '../net/index.js';
import type { TransportAnswer, TransportCall } from './api-transport.js';
import { API, parseAnswer } from './contract.js';

export interface LogLine {
  readonly kind: 'line';
  readonly node: string;
  /** File of the node's log folder, and the line's first byte in it. */
  readonly segment: string;
  readonly offset: number;
  /** Without its newline. */
  readonly bytes: Uint8Array;
}

export interface LogReport extends NodeReport {
  readonly kind: 'report';
}

export interface LogGrepOptions {
  /** Only these nodes' logs. */
  readonly only?: readonly string[];
  /** For each node. */
  readonly budgetMs?: number;
  readonly signal?: AbortSignal;
}

export interface LogQueryParts {
  readonly ask: (call: TransportCall) => Promise<TransportAnswer>;
  readonly clock: Pick<Clock, 'setTimer'>;
}

const BUDGET_MS = 15_000;
/** Nodes that are asked, one after the other, when each is lost in the middle. */
const ATTEMPTS_MAX = 3;
/** Some node says something every second, if only that it is at work. */
const SILENCE_MS = 8_000;
/** Of the network layer: a person may read for a while. */
const STREAM_TIMEOUT_MS = 30 * 60_000;

const whole = z.number().int().nonnegative();
const namesSchema = z.array(z.string());

export const clearRowsSchema: z.ZodType<readonly ClearRow[]> = z.array(
  z.object({
    node: z.string(),
    status: z.enum(['cleared', 'failed']),
    segments: whole,
    bytes: whole,
    error: z.nullish(z.string()).transform((value) => value ?? null),
  }),
);

/** Ends with one report for each node that was asked. */
export async function* grepLogs(
  query: LogQuery,
  options: LogGrepOptions,
  parts: LogQueryParts,
): AsyncGenerator<LogLine | LogReport> {
  const state = new QueryState(options.only);
  let lost: IdunnoError | undefined;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const abort = new AbortController();
    const onAbort = (): void => abort.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      options.signal?.throwIfAborted();
      const answer = await askFor(query, { ...options, signal: abort.signal }, state, parts);
      yield* readAnswer(answer, state, parts.clock);
      return;
    } catch (error) {
      lost = asIdunnoError(error);
      // What was refused at once is about the query; later it only says that nobody could go on.
      if (!state.hasBegun || lost.code === 'ABORTED' || lost.code === 'PROTOCOL') throw error;
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      abort.abort(new IdunnoError('ABORTED', 'the answer is not wanted any more'));
    }
  }
  for (const node of state.open) {
    const error = lost?.message ?? 'the answer was lost';
    const matches = state.delivered.get(node) ?? 0;
    yield { kind: 'report', node, status: 'down', matches, bytes: 0, ms: 0, error };
  }
}

/** What has come so far. */
class QueryState {
  /** Lines by node. */
  readonly delivered = new Map<string, number>();
  readonly #only: readonly string[] | undefined;
  #open: Set<string> | undefined;

  constructor(only: readonly string[] | undefined) {
    this.#only = only;
  }

  /** Asked, and not ended. */
  get open(): readonly string[] {
    return [...(this.#open ?? [])];
  }

  get hasBegun(): boolean {
    return this.#open !== undefined;
  }

  /** Whom to ask about now; null: everyone. */
  get wanted(): readonly string[] | null {
    return this.#open === undefined ? (this.#only ?? null) : [...this.#open];
  }

  asked(nodes: readonly string[]): void {
    this.#open ??= new Set(nodes);
  }

  ended(node: string): void {
    this.#open?.delete(node);
  }

  /** The answer is whole: a node without a word in it has left meanwhile. */
  endAll(): void {
    this.#open?.clear();
  }
}

async function askFor(
  query: LogQuery,
  options: LogGrepOptions,
  state: QueryState,
  { ask }: LogQueryParts,
): Promise<TransportAnswer> {
  const { pattern, syntax, ignoreCase, invert, countOnly, max } = query;
  const answer = await ask({
    method: API.logsGrep,
    args: [
      [pattern, syntax, ignoreCase, invert, countOnly, max],
      state.wanted,
      options.budgetMs ?? BUDGET_MS,
      [...state.delivered],
    ],
    kind: 'read',
    lane: 'bulk',
    timeoutMs: STREAM_TIMEOUT_MS,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  state.asked(parseAnswer(namesSchema, answer.value, API.logsGrep));
  return answer;
}

async function* readAnswer(
  answer: TransportAnswer,
  state: QueryState,
  clock: LogQueryParts['clock'],
): AsyncGenerator<LogLine | LogReport> {
  const records = readRecords(answer.body);
  for (;;) {
    const next = await orSilence(records.next(), clock, answer.node.name);
    if (next.done === true) break;
    yield* readRecord(next.value, state);
  }
  state.endAll();
}

function* readRecord(from: BodyRecord, state: QueryState): Generator<LogLine | LogReport> {
  const record = readLogRecord(from);
  if (record.kind === 'alive') return;
  if (record.kind === 'end') {
    state.ended(record.node);
    yield { ...record, kind: 'report' };
    return;
  }
  const { node, segment, offsets, lengths } = record;
  let at = 0;
  for (const [index, offset] of offsets.entries()) {
    const length = lengths[index] ?? 0;
    const bytes = from.raw.subarray(at, at + length);
    at += length;
    state.delivered.set(node, (state.delivered.get(node) ?? 0) + 1);
    yield { kind: 'line', node, segment, offset, bytes };
  }
}

/** Rejects with CONNECTION_LOST when nothing comes at all: the node that was asked is frozen. */
async function orSilence<T>(
  word: Promise<T>,
  clock: LogQueryParts['clock'],
  node: string,
): Promise<T> {
  let cancel: () => void = () => undefined;
  const silence = new Promise<never>((_, reject) => {
    const timer = clock.setTimer(SILENCE_MS, () => {
      reject(new IdunnoError('CONNECTION_LOST', `${node} said nothing for ${SILENCE_MS} ms`));
    });
    cancel = () => timer.cancel();
  });
  word.catch(() => undefined);
  try {
    return await Promise.race([word, silence]);
  } finally {
    cancel();
  }
}
