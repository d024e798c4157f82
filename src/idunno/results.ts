/**
 * Reading what a job has produced, from the tables and from SDFS, and proving that it is right.
 *
 * A task's lines lie in the tables at first, later in a segment file among those of other tasks;
 * the pages that this reads say where for each task at the moment of the page, and segments are
 * pinned at their version, so a compaction meanwhile changes nothing.
 */
import { createHash } from 'node:crypto';
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import { parseObject, type StoreClient } from '../store/index.js';
import { type InputEntry, readInputLine } from './inputs.js';
import type { JobSource, TaskPlace } from './queries.js';
import { resultFileName } from './result-names.js';
import type { ResultLine, VerifyReport } from './types.js';

export interface ResultReaderDeps {
  readonly store: Pick<StoreClient, 'query'>;
  readonly sdfs: Pick<SdfsClient, 'get'>;
}

const PAGE_TASKS = 500;
/** Segment files held at once: tasks of one page lie in a few, of at most some MiB each. */
const SEGMENTS_MAX = 6;
/** A report names this many problems and counts the others. */
const PROBLEMS_MAX = 20;

export class ResultReader {
  readonly #deps: ResultReaderDeps;
  readonly #segments = new Map<string, Promise<Uint8Array>>();
  #inputs: Promise<readonly InputEntry[]> | undefined;

  constructor(deps: ResultReaderDeps) {
    this.#deps = deps;
  }

  /** Accepted results in query order; what is not finished is passed over. */
  async *lines(id: number, signal: AbortSignal | undefined): AsyncGenerator<ResultLine> {
    const job = await this.#source(id);
    for await (const place of this.#places(id, signal)) {
      if (!isFinished(place)) continue;
      const text = Buffer.from(await this.#bytesOf(place, signal)).toString('utf8');
      for (const line of text.split('\n')) {
        if (line !== '') yield await this.#complete(job, parseLine(line));
      }
    }
  }

  /** Bytes of one task, checked against its hash. */
  async file(id: number, task: number): Promise<Uint8Array> {
    const wire = await this.#deps.store.query('idunno.job.task', [id, task]);
    const place = wire === null ? undefined : (wire as unknown as TaskPlace);
    if (place === undefined || !isFinished(place)) {
      throw noResult(id, task);
    }
    const bytes = await this.#bytesOf(place, undefined);
    if (hashOf(bytes) === place.hash) return bytes;
    throw new IdunnoError('CORRUPT', `${resultFileName(id, task)} does not have its hash`);
  }

  /**
   * Recomputes from the rows and the bytes that each query has exactly one accepted result. A job
   * that is not over has missing ones; it is judged like any other.
   */
  async verify(id: number): Promise<VerifyReport> {
    const job = await this.#source(id);
    const audit = new Audit(job);
    for await (const place of this.#places(id, undefined)) {
      if (!audit.addTask(place)) continue;
      try {
        audit.addBytes(place, await this.#bytesOf(place, undefined));
      } catch (error) {
        audit.complain(`task ${place.from}: ${error instanceof Error ? error.message : error}`);
      }
    }
    return audit.report();
  }

  async #source(id: number): Promise<JobSource> {
    const wire = await this.#deps.store.query('idunno.job.source', [id]);
    return parseObject(wire, 'a job') as unknown as JobSource;
  }

  async *#places(id: number, signal: AbortSignal | undefined): AsyncGenerator<TaskPlace> {
    let after: number | null = null;
    for (;;) {
      signal?.throwIfAborted();
      const args: Wire[] = [id, after, PAGE_TASKS];
      const page = (await this.#deps.store.query('idunno.job.tasks', args)) as unknown;
      const places = page as readonly TaskPlace[];
      yield* places;
      const last = places.at(-1);
      if (last === undefined) return;
      after = last.from;
    }
  }

  async #bytesOf(place: TaskPlace, signal: AbortSignal | undefined): Promise<Uint8Array> {
    if (place.inline !== null) return place.inline;
    const segment = await this.#segment(place, signal);
    return segment.subarray(place.offset, place.offset + place.bytes);
  }

  #segment(place: TaskPlace, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const key = `${place.version} ${place.file}`;
    const known = this.#segments.get(key);
    if (known !== undefined) return known;
    const reading = this.#read(place.file, place.version, signal);
    this.#segments.set(key, reading);
    reading.catch(() => this.#segments.delete(key));
    const [oldest] = this.#segments.keys();
    if (this.#segments.size > SEGMENTS_MAX && oldest !== undefined) this.#segments.delete(oldest);
    return reading;
  }

  async #read(name: string, version: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const options = signal === undefined ? { version } : { version, signal };
    const { chunks } = await this.#deps.sdfs.get(name, options);
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    return Buffer.concat(parts);
  }

  /** A line written for a worker that could not write it any more lacks the name of its input. */
  async #complete(job: JobSource, line: ResultLine): Promise<ResultLine> {
    if (line.input !== '') return line;
    this.#inputs ??= this.#readInputs(job);
    const entry = (await this.#inputs)[line.item];
    return entry === undefined ? line : { ...line, input: entry.name, version: entry.version };
  }

  async #readInputs(job: JobSource): Promise<readonly InputEntry[]> {
    const bytes = await this.#read(job.manifest, job.manifestVersion, undefined);
    const lines = Buffer.from(bytes).toString('utf8').trimEnd().split('\n');
    return lines.map(readInputLine);
  }
}

export function noResult(job: number, task: number): IdunnoError {
  return new IdunnoError(
    'FILE_NOT_FOUND',
    `there is no ${resultFileName(job, task)}: no finished task of job ${job} begins at ${task}`,
  );
}

function isFinished(place: TaskPlace): boolean {
  return place.state === 'Success' || place.state === 'Dead';
}

/** Throws CORRUPT. */
function parseLine(line: string): ResultLine {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as ResultLine;
  } catch {
    // Refused below.
  }
  throw new IdunnoError('CORRUPT', `a result line is no JSON object: ${line.slice(0, 80)}`);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Adds up the tasks of a job in order and writes down what does not fit. Pure. */
export class Audit {
  readonly #job: JobSource;
  readonly #problems: string[] = [];
  #complaints = 0;
  #covered = 0;
  #accepted = 0;
  #duplicated = 0;
  #failed = 0;
  #hashes = 0;

  constructor(job: JobSource) {
    this.#job = job;
  }

  complain(problem: string): void {
    this.#complaints += 1;
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem);
  }

  /** The next task by `from`; true when it is finished and its bytes are to be added. */
  addTask(place: TaskPlace): boolean {
    const { from, to, state } = place;
    if (!isFinished(place)) {
      this.complain(`queries ${from} to ${to - 1} have no result: task ${from} is ${state}`);
      this.#covered = Math.max(this.#covered, to);
      return false;
    }
    if (from < this.#covered) {
      const end = Math.min(this.#covered, to);
      this.#duplicated += end - from;
      this.complain(`queries ${from} to ${end - 1} have more than one accepted result`);
    } else if (from > this.#covered) {
      this.complain(`queries ${this.#covered} to ${from - 1} belong to no task`);
    }
    if (to > this.#job.queries) this.complain(`task ${from} ends at ${to}, beyond the job`);
    this.#accepted += Math.max(0, to - Math.max(from, this.#covered));
    this.#covered = Math.max(this.#covered, to);
    return true;
  }

  /** The stored lines of that task. */
  addBytes(place: TaskPlace, bytes: Uint8Array): void {
    const { from, to } = place;
    if (bytes.length !== place.bytes || hashOf(bytes) !== place.hash) {
      this.complain(`task ${from}: the stored result does not have the recorded hash`);
      return;
    }
    this.#hashes += 1;
    const lines = Buffer.from(bytes).toString('utf8').split('\n').slice(0, -1);
    if (lines.length !== to - from) {
      this.complain(`task ${from}: ${lines.length} lines for ${to - from} queries`);
      return;
    }
    let failed = 0;
    for (const [at, text] of lines.entries()) failed += this.#addLine(from + at, text);
    this.#failed += failed;
    if (failed !== place.failed) {
      this.complain(`task ${from}: ${failed} lines are errors, ${place.failed} were recorded`);
    }
  }

  /** 1 when the line is an error. */
  #addLine(query: number, text: string): number {
    const { items } = this.#job;
    let line: ResultLine;
    try {
      line = parseLine(text);
    } catch {
      this.complain(`query ${query}: its line is no JSON object`);
      return 0;
    }
    const item = query % items;
    const repetition = Math.floor(query / items);
    if (line.item !== item || line.repetition !== repetition) {
      const found = `item ${line.item}, repetition ${line.repetition}`;
      this.complain(`query ${query}: its line is that of ${found}`);
    }
    return line.error === undefined ? 0 : 1;
  }

  report(): VerifyReport {
    const { id, queries } = this.#job;
    const missing = queries - this.#accepted;
    if (this.#covered < queries) {
      this.complain(`queries ${this.#covered} to ${queries - 1} were never part of a task`);
    }
    const more = this.#complaints - this.#problems.length;
    const problems = more > 0 ? [...this.#problems, `and ${more} more`] : this.#problems;
    return {
      id,
      ok: this.#complaints === 0 && missing === 0,
      queries,
      accepted: this.#accepted,
      missing,
      duplicated: this.#duplicated,
      failedItems: this.#failed,
      hashesChecked: this.#hashes,
      problems,
    };
  }
}
