/**
 * Results of jobs as files: `results/JOB/TASK.jsonl`, one for each finished task, listed and
 * readable like any other file from the moment the task is accepted. Their bytes lie among those of
 * other tasks, in the replicated tables at first and later in a segment file; which of the two is
 * nobody's business but this file's.
 *
 * Listings show these names where `results/` stands in the order of names, before the files that
 * really lie there, by job and task in the order of their numbers (a listing by text would put task
 * 16 before task 8, and would have to sort a million names for its first page).
 *
 * They are written by workers alone: a put or a delete of such a name is refused with BAD_NAME.
 */
import { IdunnoError, type NodeId } from '../base/index.js';
import {
  type IdunnoClient,
  parseResultName,
  resultFileName,
  type ResultFile,
} from '../idunno/index.js';
import type {
  FileVersion,
  ListPage,
  PutOptions,
  PutResult,
  PutSource,
  SdfsClient,
} from '../sdfs/index.js';

export interface ResultFilesParts {
  readonly sdfs: SdfsClient;
  readonly idunno: Pick<IdunnoClient, 'resultFiles' | 'resultFile' | 'statResult'>;
  /** Who holds results that still ride in the replicated tables. */
  readonly coordinators: () => readonly NodeId[];
}

const FOLDER = 'results/';
/** Where a listing goes on behind the result files: no file has such a name. */
const BEHIND = 'results/\u0000';
const LIMIT_MAX = 1_000;
/** Pages of the parts below that one page is put together from; the rest is the next page's. */
const STEPS_MAX = 8;

/** The files of the cluster with those of its jobs among them. */
export class FilesWithResults implements SdfsClient {
  readonly #sdfs: SdfsClient;
  readonly #idunno: ResultFilesParts['idunno'];
  readonly #coordinators: () => readonly NodeId[];

  constructor(parts: ResultFilesParts) {
    this.#sdfs = parts.sdfs;
    this.#idunno = parts.idunno;
    this.#coordinators = parts.coordinators;
  }

  async get(
    name: string,
    options: { version?: number; signal?: AbortSignal } = {},
  ): Promise<{ file: FileVersion; chunks: AsyncIterable<Uint8Array> }> {
    const result = parseResultName(name);
    if (result === undefined) return this.#sdfs.get(name, options);
    const file = await this.stat(name, options.version);
    const bytes = await this.#idunno.resultFile(result.job, result.task);
    return { file, chunks: oneChunk(bytes) };
  }

  async stat(name: string, version?: number): Promise<FileVersion> {
    const result = parseResultName(name);
    if (result === undefined) return this.#sdfs.stat(name, version);
    const file = await this.#idunno.statResult(result.job, result.task);
    if (version !== undefined && version !== 1) {
      throw new IdunnoError('VERSION_NOT_FOUND', `${name} has one version only, 1`, { name });
    }
    return this.#describe(file, new Map());
  }

  async versions(name: string, count: number): Promise<readonly FileVersion[]> {
    if (parseResultName(name) === undefined) return this.#sdfs.versions(name, count);
    return [await this.stat(name)];
  }

  async list(prefix: string, options: { after?: string; limit?: number } = {}): Promise<ListPage> {
    const isNear = prefix.startsWith(FOLDER) || FOLDER.startsWith(prefix);
    if (!isNear) return this.#sdfs.list(prefix, options);
    const limit = Math.min(LIMIT_MAX, Math.max(1, options.limit ?? LIMIT_MAX));
    const files: FileVersion[] = [];
    let next = options.after;
    for (let step = 0; step < STEPS_MAX; step += 1) {
      const page = await this.#listStep(prefix, next, limit - files.length);
      files.push(...page.files);
      next = page.next;
      if (next === undefined || files.length >= limit) break;
    }
    return { files, next };
  }

  /** A page of what comes next: names before `results/`, result files, names behind them. */
  async #listStep(prefix: string, after: string | undefined, limit: number): Promise<ListPage> {
    const isBefore = after === undefined || after < FOLDER;
    if (isBefore && !prefix.startsWith(FOLDER)) {
      const page = await this.#sdfs.list(prefix, {
        limit,
        ...(after === undefined ? {} : { after }),
      });
      const files = page.files.filter(({ name }) => name < FOLDER);
      const isEnd = page.next === undefined || page.next >= FOLDER;
      return { files, next: isEnd ? FOLDER : page.next };
    }
    const result = after === undefined ? undefined : parseResultName(after);
    if (isBefore || after === FOLDER || result !== undefined) {
      return this.#listResults(prefix, result, limit);
    }
    return this.#sdfs.list(prefix, { after, limit });
  }

  async #listResults(
    prefix: string,
    after: { job: number; task: number } | undefined,
    limit: number,
  ): Promise<ListPage> {
    const job = /^results\/(\d{1,15})\//.exec(prefix)?.[1];
    const page = await this.#idunno.resultFiles({
      limit,
      ...(job === undefined ? {} : { job: Number(job) }),
      ...(after === undefined ? {} : { after }),
    });
    const segments = new Map<string, Promise<readonly NodeId[]>>();
    const files = page.files.filter(({ name }) => name.startsWith(prefix));
    const { next } = page;
    return {
      files: await Promise.all(files.map((file) => this.#describe(file, segments))),
      next: next === undefined ? BEHIND : resultFileName(next.job, next.task),
    };
  }

  async #describe(
    file: ResultFile,
    known: Map<string, Promise<readonly NodeId[]>>,
  ): Promise<FileVersion> {
    const { name, bytes, sha256, createdMs, segment } = file;
    if (segment === undefined) {
      return { name, version: 1, bytes, sha256, createdMs, holders: this.#coordinators() };
    }
    const key = `${segment.version} ${segment.name}`;
    const holders =
      known.get(key) ??
      this.#sdfs.stat(segment.name, segment.version).then((found) => found.holders);
    known.set(key, holders);
    return { name, version: 1, bytes, sha256, createdMs, holders: await holders };
  }

  put(source: PutSource, options?: PutOptions): Promise<PutResult> {
    refuse(source.name);
    return this.#sdfs.put(source, options);
  }

  putMany(sources: AsyncIterable<PutSource>, options?: PutOptions): AsyncIterable<PutResult> {
    return this.#sdfs.putMany(checked(sources), options);
  }

  async delete(name: string): Promise<void> {
    refuse(name);
    await this.#sdfs.delete(name);
  }

  readMany(...args: Parameters<SdfsClient['readMany']>): Promise<readonly (Uint8Array | Error)[]> {
    return this.#sdfs.readMany(...args);
  }

  resolve(...args: Parameters<SdfsClient['resolve']>): ReturnType<SdfsClient['resolve']> {
    return this.#sdfs.resolve(...args);
  }

  storeOf(node: NodeId): Promise<readonly FileVersion[]> {
    return this.#sdfs.storeOf(node);
  }

  report(): ReturnType<SdfsClient['report']> {
    return this.#sdfs.report();
  }
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* checked(sources: AsyncIterable<PutSource>): AsyncGenerator<PutSource> {
  for await (const source of sources) {
    refuse(source.name);
    yield source;
  }
}

/** Throws BAD_NAME for the name of a result. */
function refuse(name: string): void {
  const result = parseResultName(name);
  if (result === undefined) return;
  const text = `${name} is the result of a task of job ${result.job}: its workers write it`;
  throw new IdunnoError('BAD_NAME', text, { name });
}
