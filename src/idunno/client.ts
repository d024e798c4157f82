/**
 * Models and jobs for the rest of the house, on any node: checks and stores what a command refers
 * to (model files, input lists), then submits the command; reads through queries. It keeps no
 * state, so a call may be repeated through any node.
 */
import { createHash } from 'node:crypto';
import { type Clock, IdunnoError, isIdunnoError, type Ms } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { FileRef, FileSelector, SdfsClient } from '../sdfs/index.js';
import { parseObject, type RequestId, type StoreClient } from '../store/index.js';
import { modelUndeployed } from './command-jobs.js';
import { modelNotFound, noSuchWorker } from './command-models.js';
import { type InputEntry, writeInputLine } from './inputs.js';
import { MODEL_FILE_BYTES_MAX, MODEL_FILES_MAX } from './limits.js';
import { checkFolder } from './manifest.js';
import { noResult, ResultReader } from './results.js';
import type {
  FailureInfo,
  FairnessReport,
  IdunnoClient,
  JobExplanation,
  JobInfo,
  JobSpec,
  JobStats,
  ModelInfo,
  ResultFile,
  ResultLine,
  ResultPage,
  ResultPlace,
  TaskPage,
  VerifyReport,
} from './types.js';

export interface IdunnoClientDeps {
  readonly clock: Clock;
  readonly store: Pick<StoreClient, 'submit' | 'query'>;
  readonly sdfs: Pick<SdfsClient, 'get' | 'put' | 'resolve' | 'stat' | 'delete'>;
}

type DeployOptions = NonNullable<Parameters<IdunnoClient['deploy']>[1]>;

const DEPLOY_TIMEOUT_MS: Ms = 120_000;
/** How often a deployment is looked at; each look is one query. */
const DEPLOY_LOOK_MS: Ms = 100;
/** An input list is held in memory while it is put together: about 40 bytes an item. */
const ITEMS_MAX = 2_000_000;
const NAMES_PER_CALL = 1_000;
const LIST_CHUNK_CHARS = 256 * 1024;

/** The answer of the query `idunno.model`. */
interface ModelStatus extends ModelInfo {
  readonly serving: number;
  readonly error: string | null;
}

export class IdunnoNodeClient implements IdunnoClient {
  readonly #deps: IdunnoClientDeps;

  constructor(deps: IdunnoClientDeps) {
    this.#deps = deps;
  }

  // Models

  async deploy(
    files: readonly { name: string; bytes: Uint8Array }[],
    options: DeployOptions = {},
  ): Promise<ModelInfo> {
    const { name, description } = checkFolder(files);
    checkFiles(files);
    const workers = options.workers ?? null;
    if (Array.isArray(workers)) await this.#checkNodes(name, workers as readonly string[]);
    const stored: Wire[] = [];
    for (const file of files) {
      options.signal?.throwIfAborted();
      const { version, copies } = await this.#putWhole(
        `models/${name}/${file.name}`,
        [file.bytes],
        options.signal,
      );
      options.onProgress?.(`stored ${file.name}: ${file.bytes.length} bytes, ${copies} copies`);
      stored.push([`models/${name}/${file.name}`, version, file.bytes.length]);
    }
    const args = [
      name,
      description,
      stored,
      Array.isArray(workers) ? [...workers] : workers,
    ] as Wire[];
    const revision = Number(await this.#deps.store.submit('idunno.model.deploy', args));
    return this.#untilDeployed(name, revision, options);
  }

  /** Before anything is stored. Throws NODE_NOT_FOUND; the command checks again. */
  async #checkNodes(name: string, workers: readonly string[]): Promise<void> {
    const rows = await this.#deps.store.query('nodes.list', []);
    const known = (rows as unknown as readonly { name: string }[]).map((row) => row.name);
    const stranger = workers.find((worker) => !known.includes(worker));
    if (stranger !== undefined) throw noSuchWorker(name, stranger);
  }

  /** Looks until workers have settled it: they load in the background whether we look or not. */
  async #untilDeployed(name: string, revision: number, options: DeployOptions): Promise<ModelInfo> {
    const { clock } = this.#deps;
    const { signal, onProgress, timeoutMs = DEPLOY_TIMEOUT_MS } = options;
    const endMs = clock.now() + timeoutMs;
    let said = '';
    for (;;) {
      const status = await this.#modelStatus(name);
      if (status.revision > revision || status.serving === revision) return withoutStatus(status);
      if (status.state === 'Failed') throw loadFailed(status);
      const text = describeLoading(status);
      if (text !== said) onProgress?.(text);
      said = text;
      if (clock.now() >= endMs) throw notDeployed(status, text, timeoutMs);
      await clock.sleep(DEPLOY_LOOK_MS, signal);
    }
  }

  async models(): Promise<readonly ModelInfo[]> {
    return (await this.#deps.store.query('idunno.models', [])) as unknown as readonly ModelInfo[];
  }

  async undeploy(name: string): Promise<void> {
    await this.#deps.store.submit('idunno.model.undeploy', [name]);
  }

  async remove(name: string): Promise<void> {
    const { files } = await this.#modelStatus(name);
    await this.#deps.store.submit('idunno.model.remove', [name]);
    for (const file of files) {
      await this.#deps.sdfs.delete(file.name).catch((error: unknown) => {
        if (!isIdunnoError(error, 'FILE_NOT_FOUND')) throw error;
      });
    }
  }

  async #modelStatus(name: string): Promise<ModelStatus> {
    const wire = await this.#deps.store.query('idunno.model', [name]);
    return parseObject(wire, 'a model') as unknown as ModelStatus;
  }

  // Jobs

  async submitJob(spec: JobSpec, options: { request?: RequestId } = {}): Promise<JobInfo> {
    // Refused early: listing a million inputs for a model that is not there helps nobody.
    const { serving, state } = await this.#modelStatus(spec.model).catch((error: unknown) => {
      throw isIdunnoError(error, 'BAD_ARGUMENT') ? modelNotFound(spec.model) : error;
    });
    if (serving === 0) throw modelUndeployed(spec.model, state === 'Undeployed');
    const { list, items } = await this.#pinInputs(spec.inputs);
    return this.job(await this.#submitCreate(spec, list, items, options));
  }

  async #submitCreate(
    spec: JobSpec,
    list: FileRef,
    items: number,
    options: { request?: RequestId },
  ): Promise<number> {
    const wire: Wire = {
      model: spec.model,
      manifest: list.name,
      manifestVersion: list.version,
      items,
      batch: spec.batchSize,
      weight: spec.weight ?? 1,
      repeat: spec.repeat ?? 1,
      owner: spec.owner ?? '',
      label: spec.label ?? labelOf(spec.inputs),
      maxFailed: spec.maxFailedItems ?? null,
      paused: spec.isPaused ?? false,
    };
    return Number(await this.#deps.store.submit('idunno.job.create', [wire], options));
  }

  /**
   * Writes down each input at its newest version. The list is named by its content, so jobs on the
   * same inputs share one, and a repeated submission finds the one it wrote before.
   */
  async #pinInputs(inputs: JobSpec['inputs']): Promise<{ list: FileRef; items: number }> {
    const chunks: Uint8Array[] = [];
    let text = '';
    let items = 0;
    for await (const entry of this.#resolveAll(inputs)) {
      items += 1;
      if (items > ITEMS_MAX) {
        throw new IdunnoError('BAD_ARGUMENT', `more than ${ITEMS_MAX} inputs: use several jobs`);
      }
      text += writeInputLine(entry);
      if (text.length < LIST_CHUNK_CHARS) continue;
      chunks.push(Buffer.from(text));
      text = '';
    }
    if (items === 0) throw noInput(inputs);
    chunks.push(Buffer.from(text));
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    const sha256 = hash.digest('hex');
    const name = `jobs/inputs/${sha256.slice(0, 24)}.jsonl`;
    const known = await this.#deps.sdfs.stat(name).catch(() => undefined);
    if (known?.sha256 === sha256) return { list: { name, version: known.version }, items };
    const { version } = await this.#putWhole(name, chunks, undefined);
    return { list: { name, version }, items };
  }

  async *#resolveAll(inputs: JobSpec['inputs']): AsyncGenerator<InputEntry> {
    for (const selector of selectorsOf(inputs)) {
      let after: string | undefined;
      do {
        const page = await this.#deps.sdfs.resolve(selector, after === undefined ? {} : { after });
        yield* page.files;
        after = page.next;
      } while (after !== undefined);
    }
  }

  async #putWhole(name: string, parts: readonly Uint8Array[], signal: AbortSignal | undefined) {
    const source = {
      name,
      bytes: parts.reduce((sum, part) => sum + part.length, 0),
      async *open() {
        yield* parts;
      },
    };
    return this.#deps.sdfs.put(source, signal === undefined ? {} : { signal });
  }

  async jobs(owner?: string): Promise<readonly JobInfo[]> {
    const list = (await this.#deps.store.query('idunno.jobs', [owner ?? null])) as unknown;
    return (list as readonly JobInfo[]).map(withTimes);
  }

  async job(id: number): Promise<JobInfo> {
    const wire = await this.#deps.store.query('idunno.job', [id]);
    return withTimes(parseObject(wire, 'a job') as unknown as JobInfo);
  }

  async stats(id?: number, owner?: string): Promise<readonly JobStats[]> {
    const args = [id ?? null, this.#nowMs, owner ?? null];
    const list = (await this.#deps.store.query('idunno.stats', args)) as unknown;
    return list as readonly JobStats[];
  }

  /** Queries have no clock of their own. */
  get #nowMs(): Ms {
    return Math.floor(this.#deps.clock.wall());
  }

  async fairness(): Promise<FairnessReport> {
    const wire = (await this.#deps.store.query('idunno.fairness', [this.#nowMs])) as unknown;
    const report = wire as Omit<FairnessReport, 'gap'> & { gap?: number };
    return { ...report, gap: report.gap };
  }

  async tasks(id: number, options: { after?: number; limit?: number } = {}): Promise<TaskPage> {
    const args = [id, options.after ?? null, options.limit ?? null];
    const wire = await this.#deps.store.query('idunno.job.tasklist', args);
    const page = parseObject(wire, 'a page of tasks') as unknown as TaskPage;
    return { tasks: page.tasks, next: page.next };
  }

  async explain(id: number): Promise<JobExplanation> {
    const wire = await this.#deps.store.query('idunno.job.explain', [id, this.#nowMs]);
    const found = parseObject(wire, 'an explanation') as unknown as JobExplanation;
    return { ...found, gap: found.gap, threshold: found.threshold };
  }

  pause(id: number): Promise<JobInfo> {
    return this.#change('pause', id);
  }

  resume(id: number): Promise<JobInfo> {
    return this.#change('resume', id);
  }

  cancel(id: number): Promise<JobInfo> {
    return this.#change('cancel', id);
  }

  setBatchSize(id: number, batchSize: number): Promise<JobInfo> {
    return this.#change('set-batch-size', id, batchSize);
  }

  async #change(verb: string, id: number, ...more: number[]): Promise<JobInfo> {
    await this.#deps.store.submit(`idunno.job.${verb}`, [id, ...more]);
    return this.job(id);
  }

  // Results

  results(id: number, options: { signal?: AbortSignal } = {}): AsyncIterable<ResultLine> {
    return new ResultReader(this.#deps).lines(id, options.signal);
  }

  async resultFiles(
    options: { job?: number; after?: ResultPlace; limit?: number } = {},
  ): Promise<ResultPage> {
    const { job = null, after, limit = null } = options;
    const args = [job, after?.job ?? null, after?.task ?? null, limit];
    const wire = await this.#deps.store.query('idunno.results.list', args);
    const page = parseObject(wire, 'a page of result files') as unknown as ResultPage;
    return { files: page.files, next: page.next };
  }

  async statResult(job: number, task: number): Promise<ResultFile> {
    const wire = await this.#deps.store.query('idunno.results.stat', [job, task]);
    if (wire !== null) return parseObject(wire, 'a result file') as unknown as ResultFile;
    throw noResult(job, task);
  }

  resultFile(id: number, task: number): Promise<Uint8Array> {
    return new ResultReader(this.#deps).file(id, task);
  }

  verify(id: number): Promise<VerifyReport> {
    return new ResultReader(this.#deps).verify(id);
  }

  async *failures(id: number): AsyncGenerator<FailureInfo> {
    let after: number | null = null;
    for (;;) {
      const wire = (await this.#deps.store.query('idunno.job.failures', [id, after])) as unknown;
      const page = wire as readonly { from: number; count: number; named: [number, string][] }[];
      for (const { from: task, count, named } of page) {
        yield { task, count, named: named.map(([query, reason]) => ({ query, reason })) };
      }
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.from;
    }
  }
}

/** Fields that are undefined do not travel: put them back. */
function withTimes(job: JobInfo): JobInfo {
  const { startedMs, firstResultMs, finishedMs } = job;
  return { ...job, startedMs, firstResultMs, finishedMs };
}

function withoutStatus({ serving: _, error: __, ...info }: ModelStatus): ModelInfo {
  return info;
}

/** Throws BAD_MODEL. */
function checkFiles(files: readonly { name: string; bytes: Uint8Array }[]): void {
  if (files.length > MODEL_FILES_MAX) {
    throw new IdunnoError(
      'BAD_MODEL',
      `the folder has ${files.length} files, at most ${MODEL_FILES_MAX} go`,
    );
  }
  const names = new Set<string>();
  for (const { name, bytes } of files) {
    const isPlain = name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name);
    if (!isPlain) throw new IdunnoError('BAD_MODEL', `"${name}" is not a plain file name`);
    if (names.has(name)) throw new IdunnoError('BAD_MODEL', `the folder has ${name} twice`);
    if (bytes.length > MODEL_FILE_BYTES_MAX) {
      throw new IdunnoError('BAD_MODEL', `${name} is larger than ${MODEL_FILE_BYTES_MAX} bytes`);
    }
    names.add(name);
  }
}

function describeLoading({ workers }: ModelStatus): string {
  if (workers.length === 0) return 'waiting for a worker';
  const warm = workers.filter((worker) => worker.state === 'warm').length;
  const others = workers
    .filter((worker) => worker.state !== 'warm')
    .map((worker) => `${worker.node} ${worker.state}`);
  return `${warm} of ${workers.length} workers warm${others.length > 0 ? `; ${others.join(', ')}` : ''}`;
}

function loadFailed({ name, revision, error, workers }: ModelStatus): IdunnoError {
  const where = workers.find((worker) => worker.state === 'failed')?.node ?? 'its workers';
  return new IdunnoError(
    'MODEL_LOAD_FAILED',
    `model ${name}, revision ${revision}, cannot be loaded (said by ${where}): ${error}`,
    { model: name, revision },
  );
}

function notDeployed({ name, revision }: ModelStatus, text: string, timeoutMs: Ms): IdunnoError {
  return new IdunnoError(
    'TIMEOUT',
    `model ${name}, revision ${revision}, was not deployed within ${timeoutMs} ms: ${text}. ` +
      'It is stored and loading goes on: look at the list of models.',
    { model: name, revision },
  );
}

function noInput(inputs: JobSpec['inputs']): IdunnoError {
  return new IdunnoError(
    'NO_INPUT',
    `no file matches ${labelOf(inputs) || 'the inputs'}: put some first, or see the list of files`,
  );
}

function labelOf(inputs: JobSpec['inputs']): string {
  if ('prefix' in inputs) return inputs.prefix;
  if ('glob' in inputs) return inputs.glob;
  return inputs.names.length === 1 ? (inputs.names[0] ?? '') : `${inputs.names.length} files`;
}

function selectorsOf(inputs: JobSpec['inputs']): FileSelector[] {
  if (!('names' in inputs)) return [inputs];
  const selectors: FileSelector[] = [];
  for (let at = 0; at < inputs.names.length; at += NAMES_PER_CALL) {
    selectors.push({ names: inputs.names.slice(at, at + NAMES_PER_CALL) });
  }
  return selectors;
}
