/**
 * One task on a worker, from its lease to its report: read the inputs, have them computed, put the
 * lines together.
 *
 * Inputs are read in chunks of bounded size. The first chunk is fetched as soon as the lease is
 * there, also while another task is being computed; the others while their predecessors are. So at
 * most two chunks of a task are in memory, however large its batch.
 */
import { createHash } from 'node:crypto';
import { asIdunnoError, type Clock, IdunnoError, type Ms } from '../base/index.js';
import type { FileRef, SdfsClient } from '../sdfs/index.js';
import type { ChunkResult, EngineItem, Seat } from './engine.js';
import type { InputLists, PlannedQuery } from './inputs.js';
import { INLINE_TASK_BYTES_MAX, NAMED_FAILURES_MAX, REASON_CHARS_MAX } from './limits.js';
import type { DoneReport, FailReport, Grant } from './protocol.js';

export interface TaskRunDeps {
  readonly clock: Clock;
  readonly sdfs: Pick<SdfsClient, 'get' | 'put' | 'readMany'>;
  readonly inputs: InputLists;
}

/** One message to a model host: what is decoded and computed between two looks at the pipe. */
const CHUNK_ITEMS_MAX = 64;
const CHUNK_BYTES_MAX = 8 * 1024 * 1024;
/** A single input; larger ones fail their item. */
const ITEM_BYTES_MAX = 64 * 1024 * 1024;
/** Pauses before inputs are read again; then the task is given up, for another worker to try. */
const READ_RETRIES_MS: readonly Ms[] = [100, 500, 2_000];
const PUT_TIMEOUT_MS = 60_000;
/** Trying again does not help: the item fails, and only the item. */
const PERMANENT = new Set(['FILE_NOT_FOUND', 'VERSION_NOT_FOUND', 'BAD_NAME']);

export type TaskOutcome =
  | { readonly kind: 'done'; readonly report: DoneReport }
  | { readonly kind: 'failed'; readonly report: FailReport };

export class TaskRun {
  readonly grant: Grant;
  readonly #deps: TaskRunDeps;
  readonly #abort = new AbortController();
  readonly #plan: Promise<PlannedQuery[][]>;
  #first: Promise<EngineItem[]>;

  /** Starts reading at once. */
  constructor(grant: Grant, deps: TaskRunDeps) {
    this.grant = grant;
    this.#deps = deps;
    this.#plan = this.#planChunks();
    this.#first = this.#plan.then((chunks) => this.#read(chunks[0] ?? []));
    // Told when the task is run; a task that is given back is never asked.
    this.#first.catch(() => undefined);
  }

  /** Stops reading. What is being computed goes on: a result may still count. */
  cancel(): void {
    this.#abort.abort(new IdunnoError('ABORTED', 'the task was given back'));
  }

  /**
   * Computes it in this seat, gives the seat back, and puts its result together. `onComputed` is
   * called when the seat is free but the result is still being stored. Never rejects.
   */
  async run(seat: Seat, onComputed: () => void): Promise<TaskOutcome> {
    let parts: ChunkResult[];
    let micros: number;
    try {
      const first = await this.#first;
      const startMs = this.#deps.clock.now();
      parts = await this.#compute(first, seat);
      micros = Math.max(0, Math.round((this.#deps.clock.now() - startMs) * 1000));
    } catch (error) {
      return this.#failed(error);
    } finally {
      seat.release();
    }
    const lines = Buffer.concat(parts.map((part) => part.lines));
    if (lines.length <= INLINE_TASK_BYTES_MAX) return this.#done(parts, micros, lines, lines);
    onComputed();
    try {
      return this.#done(parts, micros, lines, await this.#store(lines));
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #planChunks(): Promise<PlannedQuery[][]> {
    const { manifest, manifestVersion, items, from, to } = this.grant;
    const list: FileRef = { name: manifest, version: manifestVersion };
    const plan = await this.#retrying(() =>
      this.#deps.inputs.plan(list, items, from, to, this.#abort.signal),
    );
    const chunks: PlannedQuery[][] = [];
    let bytes = 0;
    for (const query of plan) {
      const chunk = chunks.at(-1);
      const fits = bytes + query.entry.bytes <= CHUNK_BYTES_MAX;
      if (chunk === undefined || chunk.length >= CHUNK_ITEMS_MAX || !fits) {
        chunks.push([query]);
        bytes = query.entry.bytes;
      } else {
        chunk.push(query);
        bytes += query.entry.bytes;
      }
    }
    return chunks;
  }

  /** The next chunk is read while this one is computed. */
  async #compute(first: EngineItem[], seat: Seat): Promise<ChunkResult[]> {
    const chunks = await this.#plan;
    const parts: ChunkResult[] = [];
    let items = first;
    for (let at = 0; at < chunks.length; at += 1) {
      const next = chunks[at + 1];
      const computing = seat.infer(items);
      const reading = next === undefined ? Promise.resolve([]) : this.#read(next);
      reading.catch(() => undefined);
      parts.push(await computing);
      items = await reading;
    }
    return parts;
  }

  async #read(queries: readonly PlannedQuery[]): Promise<EngineItem[]> {
    const bytes = await this.#retrying(() => this.#readBytes(queries));
    return queries.map(({ query, item, repetition, entry }, at) => {
      const { name: input, version } = entry;
      const facts = { query, item, repetition, input, version };
      const found = bytes[at];
      if (found instanceof Uint8Array) return { ...facts, bytes: found, error: undefined };
      const error = found?.message ?? `${input} v${version} could not be read`;
      return { ...facts, bytes: undefined, error };
    });
  }

  /** Bytes, or a permanent error, for each. Throws what is worth another try. */
  async #readBytes(queries: readonly PlannedQuery[]): Promise<(Uint8Array | Error)[]> {
    const { sdfs } = this.#deps;
    const { signal } = this.#abort;
    const [only] = queries;
    if (only !== undefined && queries.length === 1 && only.entry.bytes > CHUNK_BYTES_MAX) {
      return [await this.#readLarge(only)];
    }
    const refs = queries.map(({ entry }) => ({ name: entry.name, version: entry.version }));
    const found = await sdfs.readMany(refs, { signal });
    for (const each of found) {
      if (each instanceof Error && !isPermanent(each)) throw each;
    }
    return [...found];
  }

  async #readLarge({ entry }: PlannedQuery): Promise<Uint8Array | Error> {
    if (entry.bytes > ITEM_BYTES_MAX) {
      const text = `${entry.name} has ${entry.bytes} bytes; an input has at most ${ITEM_BYTES_MAX}`;
      return new IdunnoError('BAD_IMAGE', text);
    }
    const { signal } = this.#abort;
    try {
      const { chunks } = await this.#deps.sdfs.get(entry.name, { version: entry.version, signal });
      const parts: Uint8Array[] = [];
      for await (const chunk of chunks) parts.push(chunk);
      return Buffer.concat(parts);
    } catch (error) {
      if (error instanceof Error && isPermanent(error)) return error;
      throw error;
    }
  }

  async #retrying<T>(attempt: () => Promise<T>): Promise<T> {
    for (const pauseMs of READ_RETRIES_MS) {
      try {
        return await attempt();
      } catch (error) {
        if (this.#abort.signal.aborted || isPermanent(error)) throw error;
        await this.#deps.clock.sleep(pauseMs, this.#abort.signal);
      }
    }
    return attempt();
  }

  #done(
    parts: readonly ChunkResult[],
    micros: number,
    lines: Uint8Array,
    output: Uint8Array | FileRef,
  ): TaskOutcome {
    const { job, from, attempt, gen } = this.grant;
    const hash = createHash('sha256').update(lines).digest('hex');
    const failed = parts.reduce((sum, part) => sum + part.failed, 0);
    const named = parts.flatMap((part) => [...part.named]).slice(0, NAMED_FAILURES_MAX);
    const facts = { job, from, attempt, gen, micros, hash, bytes: lines.length };
    return { kind: 'done', report: { ...facts, output, failed, named } };
  }

  /** Too large for a command: a file of its own, named by the attempt, so that none is overwritten. */
  async #store(lines: Uint8Array): Promise<FileRef> {
    const { job, from, gen, attempt } = this.grant;
    const source = {
      name: `results/${job}/task-${from}-${gen}-${attempt}.jsonl`,
      bytes: lines.length,
      async *open() {
        yield lines;
      },
    };
    const options = { signal: this.#abort.signal, timeoutMs: PUT_TIMEOUT_MS };
    const { name, version } = await this.#retrying(() => this.#deps.sdfs.put(source, options));
    return { name, version };
  }

  async #failed(error: unknown): Promise<TaskOutcome> {
    const { code, message } = asIdunnoError(error);
    const { job, from, attempt } = this.grant;
    const reason = message.slice(0, REASON_CHARS_MAX);
    const kind = code === 'MODEL_CRASHED' ? 'host' : 'input';
    const line = await this.#lineOfOnly(reason);
    return { kind: 'failed', report: { job, from, attempt, kind, reason, line } };
  }

  /** The result of a single query that cannot be computed, should this prove to be one. */
  async #lineOfOnly(error: string): Promise<Uint8Array> {
    const plan = await this.#plan.catch(() => []);
    const [only] = plan.flat();
    if (only === undefined || this.grant.to - this.grant.from !== 1) return new Uint8Array(0);
    const { item, repetition, entry } = only;
    const { name: input, version } = entry;
    return Buffer.from(`${JSON.stringify({ item, repetition, input, version, error })}\n`);
  }
}

function isPermanent(error: unknown): boolean {
  return PERMANENT.has(asIdunnoError(error).code);
}
