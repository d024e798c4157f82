/**
 * A cluster from outside: typed calls for the command line, the demonstration and the drills.
 *
 * Any node serves any call. Reads and numbered writes survive the loss of the node that was asked:
 * the next one is tried (api-transport.ts). The client opens a session through the log before its
 * first write and numbers its writes, so each takes effect exactly once across retries, nodes and
 * leaders. Bodies stream in both directions; memory is bounded by a few chunks per call.
 *
 * Errors are IdunnoErrors as the nodes threw them, or UNAVAILABLE / UNKNOWN_OUTCOME at the
 * deadline, or PROTOCOL when an answer does not fit the contract.
 */
import { z } from 'zod';
import { IdunnoError, isIdunnoError, type LogIndex } from '../base/index.js';
import type {
  FairnessReport,
  JobExplanation,
  JobInfo,
  JobSpec,
  JobStats,
  ModelInfo,
  ResultLine,
  TaskPage,
  VerifyReport,
  WorkersWanted,
} from '../idunno/index.js';
import type { ClearRow, LogQuery } from '../logs/index.js';
import type { Wire } from '../net/index.js';
import type { FileVersion, ListPage, PutResult, PutSource } from '../sdfs/index.js';
import type { Evidence, Member } from '../swim/index.js';
import {
  ApiTransport,
  type NodeAddress,
  type TransportCall,
  type TransportDependencies,
} from './api-transport.js';
import { createClientDependencies } from './connect.js';
import {
  API,
  type ClusterStatus,
  clusterStatusSchema,
  deployLineSchema,
  evidenceSchema,
  fairnessSchema,
  fileVersionSchema,
  jobExplanationSchema,
  jobInfoSchema,
  jobStatsSchema,
  listPageSchema,
  memberSchema,
  modelInfoSchema,
  parseAnswer,
  putResultSchema,
  type CoordinatorChange,
  coordinatorChangeSchema,
  type RaftStatus,
  raftStatusSchema,
  resultLineSchema,
  type SettingRecord,
  settingSchema,
  type StorageHealth,
  type StorageReport,
  storageHealthSchema,
  storageReportSchema,
  taskPageSchema,
  toWire,
  verifySchema,
} from './contract.js';
import { readJsonLines } from './json-lines.js';
import {
  clearRowsSchema,
  grepLogs,
  type LogGrepOptions,
  type LogLine,
  type LogReport,
} from './log-query.js';
import { type PackedFile, packFiles } from './pack.js';
import { uploadFiles } from './upload.js';

export interface ClientCallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ClientPutOptions extends ClientCallOptions {
  readonly durability?: 'all' | 'quorum';
}

/** A call to one node and nobody else. */
export interface NodeCallOptions extends ClientCallOptions {
  readonly node?: string;
}

/** Uploads and long streams are bounded by their own progress, not by the time of small calls. */
const TRANSFER_TIMEOUT_MS = 30 * 60_000;
const DEPLOY_TIMEOUT_MS = 5 * 60_000;

const SETTINGS_PAGE = 1_000;

const numberSchema: z.ZodType<number> = z.number();
const textOrNull: z.ZodType<string | null> = z.string().nullable();

export interface ApiClientOptions {
  readonly nodes: readonly NodeAddress[];
  /** A node of another cluster is refused; undefined takes any. */
  readonly cluster?: string | undefined;
  /** Of the same config file; see ClusterConfig. */
  readonly fingerprint?: string | undefined;
  /** The node to ask first, always; else the one that answered last. */
  readonly preferred?: string;
  /** Whole calls, unless they say otherwise. */
  readonly timeoutMs?: number;
  /** A node that has said nothing for so long gets company. */
  readonly silenceMs?: number;
  /**
   * How long a call goes on while all addresses refuse. A person at a prompt wants to know soon; a
   * program that is to live through a restart of the whole cluster waits as long as the call may.
   */
  readonly nobodyThereMs?: number;
}

const TIMEOUT_MS = 15_000;
/** A new coordinator is sent the whole state first. */
const CHANGE_TIMEOUT_MS = 120_000;
const SILENCE_MS = 200;
/** Nodes that restart are back sooner, those that are down stay down. */
const NOBODY_THERE_MS = 2_000;

export class ApiClient {
  private readonly transport: ApiTransport;
  private readonly clock: TransportDependencies['clock'];
  private session: Promise<LogIndex> | undefined;
  private seq = 0;

  /** Dials nothing until it is used. Without `dependencies` it uses the machine's own network. */
  constructor(options: ApiClientOptions, dependencies?: TransportDependencies) {
    const parts = dependencies ?? createClientDependencies(options.cluster, options.fingerprint);
    this.clock = parts.clock;
    this.transport = new ApiTransport(
      {
        nodes: options.nodes,
        preferred: options.preferred,
        timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        silenceMs: options.silenceMs ?? SILENCE_MS,
        nobodyThereMs: options.nobodyThereMs ?? NOBODY_THERE_MS,
      },
      parts,
    );
  }

  /** The nodes it may talk to, as they were given. */
  get nodes(): readonly NodeAddress[] {
    return this.transport.nodes;
  }

  /**
   * Connects to every node, learns who leads and opens the session, so that the next write pays for
   * nothing but itself. For programs that measure or that write much; never necessary.
   */
  async warm(options: ClientCallOptions = {}): Promise<void> {
    const asks = this.nodes.map((node) => this.status({ ...options, node: node.name }));
    for (const outcome of await Promise.allSettled(asks)) {
      if (outcome.status === 'fulfilled' && outcome.value.leader !== undefined) {
        this.transport.prefer(outcome.value.leader);
      }
    }
    await this.numbered();
  }

  async close(): Promise<void> {
    await this.transport.close();
  }

  // cluster, members, consensus

  status(options: NodeCallOptions = {}): Promise<ClusterStatus> {
    return this.read(API.status, [], clusterStatusSchema, options);
  }

  memberList(options: NodeCallOptions = {}): Promise<readonly Member[]> {
    return this.read(API.memberList, [], z.array(memberSchema), options);
  }

  memberSelf(options: NodeCallOptions = {}): Promise<Member> {
    return this.read(API.memberSelf, [], memberSchema, options);
  }

  memberWhy(name: string, options: NodeCallOptions = {}): Promise<readonly Evidence[]> {
    return this.read(API.memberWhy, [name], z.array(evidenceSchema), options);
  }

  /** Repeating either is harmless: a member that has joined (left) is joined (gone). */
  async memberJoin(node: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({
      method: API.memberJoin,
      args: [],
      kind: 'repeatable',
      only: node,
      ...options,
    });
  }

  async memberLeave(node: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({
      method: API.memberLeave,
      args: [],
      kind: 'repeatable',
      only: node,
      ...options,
    });
  }

  raftStatus(options: NodeCallOptions = {}): Promise<RaftStatus> {
    return this.read(API.raftStatus, [], raftStatusSchema, options);
  }

  raftStorage(options: NodeCallOptions = {}): Promise<StorageHealth> {
    return this.read(API.raftStorage, [], storageHealthSchema, options);
  }

  /** Hands leadership to `to`, or to whoever is best; answers who led before. */
  async raftTransfer(to?: string, options: ClientCallOptions = {}): Promise<string> {
    const answer = await this.ask({
      method: API.raftTransfer,
      args: [to ?? null],
      kind: 'once',
      ...options,
    });
    return parseAnswer(z.string(), answer.value, API.raftTransfer);
  }

  /** Resolves when the change is done; it goes on by itself if the caller gives up. */
  async raftChange(
    kind: 'add' | 'remove' | 'replace',
    [node, by]: readonly [string, string?],
    options: ClientCallOptions = {},
  ): Promise<CoordinatorChange> {
    const answer = await this.ask({
      method: API.raftChange,
      args: [kind, node, by ?? null],
      kind: 'once',
      timeoutMs: CHANGE_TIMEOUT_MS,
      ...options,
    });
    return parseAnswer(coordinatorChangeSchema, answer.value, API.raftChange);
  }

  // settings

  /** One replicated command: the cheapest acknowledged write. Answers its log index. */
  async settingsPut(key: string, value: string, options: ClientCallOptions = {}): Promise<number> {
    const id = await this.numbered(options);
    const answer = await this.ask({
      method: API.settingsPut,
      args: [key, value, ...id],
      kind: 'repeatable',
      ...options,
    });
    return parseAnswer(numberSchema, answer.value, API.settingsPut);
  }

  async settingsGet(key: string, options: NodeCallOptions = {}): Promise<string | undefined> {
    return (await this.read(API.settingsGet, [key], textOrNull, options)) ?? undefined;
  }

  /** Settings whose keys start with `prefix`, in key order. */
  async settingsList(
    prefix: string,
    options: NodeCallOptions = {},
  ): Promise<readonly SettingRecord[]> {
    const found: SettingRecord[] = [];
    for (let after: string | null = null; ; ) {
      const args = [prefix, after, SETTINGS_PAGE];
      const page: SettingRecord[] = await this.read(
        API.settingsList,
        args,
        z.array(settingSchema),
        options,
      );
      found.push(...page);
      const last = page.at(-1);
      if (page.length < SETTINGS_PAGE || last === undefined) return found;
      after = last.key;
    }
  }

  // files

  /** Puts a new version: bytes, or a stream that is opened again when another node is tried. */
  async filePut(
    name: string,
    content: Uint8Array | Omit<PutSource, 'name'>,
    options: ClientPutOptions = {},
  ): Promise<PutResult> {
    const id = await this.numbered(options);
    const isBytes = content instanceof Uint8Array;
    const answer = await this.ask({
      method: API.filePut,
      args: [
        name,
        isBytes ? content.length : (content.bytes ?? null),
        options.durability ?? 'all',
        ...id,
      ],
      kind: 'repeatable',
      lane: 'bulk',
      body: () => (isBytes ? content : content.open()),
      probe: API.memberSelf,
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return parseAnswer(putResultSchema, answer.value, API.filePut);
  }

  /** Puts many files, small ones in groups: see upload.ts. Results in the order they are durable. */
  async filePutMany(
    files: Iterable<PackedFile | PutSource> | AsyncIterable<PackedFile | PutSource>,
    options: ClientPutOptions & { onDone?: (result: PutResult) => void } = {},
  ): Promise<PutResult[]> {
    const results: PutResult[] = [];
    await uploadFiles(this, files, options, (result) => {
      results.push(result);
      options.onDone?.(result);
    });
    return results;
  }

  /** Small files in one call; a node refuses more than PACK_LIMITS. */
  async filePutPack(
    files: readonly PackedFile[],
    options: ClientPutOptions = {},
  ): Promise<readonly PutResult[]> {
    const id = await this.numbered(options);
    const answer = await this.ask({
      method: API.filePutMany,
      args: [files.length, options.durability ?? 'all', ...id],
      kind: 'repeatable',
      lane: 'bulk',
      body: () => chunksOf(packFiles(files)),
      probe: API.memberSelf,
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return parseAnswer(z.array(putResultSchema), answer.value, API.filePutMany);
  }

  /** The newest version unless one is named. Consume the chunks or abort the signal. */
  async fileGet(
    name: string,
    options: ClientCallOptions & { version?: number } = {},
  ): Promise<{ file: FileVersion; chunks: AsyncIterable<Uint8Array> }> {
    const answer = await this.ask({
      method: API.fileGet,
      args: [name, options.version ?? null],
      kind: 'read',
      lane: 'bulk',
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const file = parseAnswer(fileVersionSchema, answer.value, API.fileGet);
    return { file, chunks: answer.body };
  }

  fileVersions(
    name: string,
    count: number,
    options: NodeCallOptions = {},
  ): Promise<readonly FileVersion[]> {
    return this.read(API.fileVersions, [name, count], z.array(fileVersionSchema), options);
  }

  fileStat(name: string, version?: number, options: NodeCallOptions = {}): Promise<FileVersion> {
    return this.read(API.fileStat, [name, version ?? null], fileVersionSchema, options);
  }

  fileList(
    prefix: string,
    options: NodeCallOptions & { after?: string; limit?: number } = {},
  ): Promise<ListPage> {
    const args = [prefix, options.after ?? null, options.limit ?? 1_000];
    return this.read(API.fileList, args, listPageSchema, options);
  }

  /** Every page of a listing, file by file. */
  async *fileListAll(prefix: string, options: NodeCallOptions = {}): AsyncGenerator<FileVersion> {
    for (let after: string | undefined; ; ) {
      const page = await this.fileList(prefix, {
        ...options,
        ...(after === undefined ? {} : { after }),
      });
      yield* page.files;
      if (page.next === undefined) return;
      after = page.next;
    }
  }

  /**
   * Deletes a name. A delete whose answer was lost is sent again; that the file is then gone
   * already is success.
   */
  async fileDelete(name: string, options: ClientCallOptions = {}): Promise<void> {
    const call = { method: API.fileDelete, args: [name], ...options } as const;
    try {
      await this.ask({ ...call, kind: 'once' });
    } catch (error) {
      const mayBeDone = isIdunnoError(error) && error.effect === 'unknown' && error.isRetryable;
      if (!mayBeDone || isIdunnoError(error, 'ABORTED')) throw error;
      await this.ask({ ...call, kind: 'repeatable' }).catch((second: unknown) => {
        if (!isIdunnoError(second, 'FILE_NOT_FOUND')) throw second;
      });
    }
  }

  /** What one node holds; the node that answers when none is named. */
  fileStore(node?: string, options: ClientCallOptions = {}): Promise<readonly FileVersion[]> {
    return this.read(API.fileStore, [node ?? null], z.array(fileVersionSchema), options);
  }

  fileReport(options: NodeCallOptions = {}): Promise<StorageReport> {
    return this.read(API.fileReport, [], storageReportSchema, options);
  }

  // models

  /** Puts a model folder's files and answers when its workers have loaded it. */
  async modelDeploy(
    files: readonly PackedFile[],
    options: ClientCallOptions & {
      readonly onProgress?: (text: string) => void;
      /** Where it is loaded at first; left out: as the cluster sees fit. */
      readonly workers?: WorkersWanted;
    } = {},
  ): Promise<ModelInfo> {
    const timeoutMs = options.timeoutMs ?? DEPLOY_TIMEOUT_MS;
    const answer = await this.ask({
      method: API.modelDeploy,
      args: [timeoutMs, toWire(options.workers)],
      kind: 'once',
      lane: 'bulk',
      body: () => chunksOf(packFiles(files)),
      timeoutMs,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    for await (const line of readJsonLines(answer.body)) {
      const parsed = parseAnswer(deployLineSchema, line, API.modelDeploy);
      if ('fault' in parsed) throw IdunnoError.fromWire(parsed.fault);
      if ('model' in parsed) return parsed.model;
      options.onProgress?.(parsed.progress);
    }
    throw new IdunnoError(
      'CONNECTION_LOST',
      'the node ended its answer before the model was ready',
    );
  }

  modelList(options: NodeCallOptions = {}): Promise<readonly ModelInfo[]> {
    return this.read(API.modelList, [], z.array(modelInfoSchema), options);
  }

  /** No new jobs for it; its files stay. Repeating it is harmless. */
  async modelUndeploy(name: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({ method: API.modelUndeploy, args: [name], kind: 'repeatable', ...options });
  }

  /** As undeploy, and it is taken off the list, its files with it. */
  async modelRemove(name: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({ method: API.modelRemove, args: [name], kind: 'once', ...options });
  }

  // jobs

  async jobSubmit(spec: JobSpec, options: ClientCallOptions = {}): Promise<JobInfo> {
    const id = await this.numbered(options);
    const answer = await this.ask({
      method: API.jobSubmit,
      args: [toWire(spec), ...id],
      kind: 'repeatable',
      ...options,
    });
    return parseAnswer(jobInfoSchema, answer.value, API.jobSubmit);
  }

  /** The newest thousand, oldest first: of one client, or of all. */
  jobList(options: NodeCallOptions & { owner?: string } = {}): Promise<readonly JobInfo[]> {
    return this.read(API.jobList, [options.owner ?? null], z.array(jobInfoSchema), options);
  }

  jobInfo(id: number, options: NodeCallOptions = {}): Promise<JobInfo> {
    return this.read(API.jobInfo, [id], jobInfoSchema, options);
  }

  jobStats(
    id?: number,
    options: NodeCallOptions & { owner?: string } = {},
  ): Promise<readonly JobStats[]> {
    const args = [id ?? null, options.owner ?? null];
    return this.read(API.jobStats, args, z.array(jobStatsSchema), options);
  }

  jobFairness(options: NodeCallOptions = {}): Promise<FairnessReport> {
    return this.read(API.jobFairness, [], fairnessSchema, options);
  }

  jobExplain(id: number, options: NodeCallOptions = {}): Promise<JobExplanation> {
    return this.read(API.jobExplain, [id], jobExplanationSchema, options);
  }

  jobPause(id: number, options: ClientCallOptions = {}): Promise<JobInfo> {
    return this.changeJob(API.jobPause, [id], options);
  }

  jobResume(id: number, options: ClientCallOptions = {}): Promise<JobInfo> {
    return this.changeJob(API.jobResume, [id], options);
  }

  jobCancel(id: number, options: ClientCallOptions = {}): Promise<JobInfo> {
    return this.changeJob(API.jobCancel, [id], options);
  }

  jobSetBatchSize(id: number, size: number, options: ClientCallOptions = {}): Promise<JobInfo> {
    return this.changeJob(API.jobSetBatchSize, [id, size], options);
  }

  /** One page of a job's tasks, in the order of their queries. */
  jobTasks(
    id: number,
    options: NodeCallOptions & { after?: number; limit?: number } = {},
  ): Promise<TaskPage> {
    const args = [id, options.after ?? null, options.limit ?? 1_000];
    return this.read(API.jobTasks, args, taskPageSchema, options);
  }

  /** Accepted results in query order, as they stream in. */
  async *jobResults(id: number, options: ClientCallOptions = {}): AsyncGenerator<ResultLine> {
    const answer = await this.ask({
      method: API.jobResults,
      args: [id],
      kind: 'read',
      lane: 'bulk',
      timeoutMs: options.timeoutMs ?? TRANSFER_TIMEOUT_MS,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    for await (const line of readJsonLines(answer.body)) {
      const fault = faultOf(line);
      if (fault !== undefined) throw fault;
      yield parseAnswer(resultLineSchema, line, API.jobResults);
    }
  }

  jobVerify(id: number, options: ClientCallOptions = {}): Promise<VerifyReport> {
    return this.read(API.jobVerify, [id], verifySchema, {
      ...options,
      timeoutMs: options.timeoutMs ?? DEPLOY_TIMEOUT_MS,
    });
  }

  // logs

  /** Lines of all nodes as they come, then a report of each: see log-query.ts. */
  logsGrep(query: LogQuery, options: LogGrepOptions = {}): AsyncGenerator<LogLine | LogReport> {
    return grepLogs(query, options, { ask: (call) => this.ask(call), clock: this.clock });
  }

  /** Empties the logs of these nodes, or of all. Clearing twice is harmless. */
  async logsClear(
    nodes: readonly string[] | undefined,
    options: ClientCallOptions = {},
  ): Promise<readonly ClearRow[]> {
    const call = { method: API.logsClear, args: [nodes ?? null], kind: 'repeatable' } as const;
    const answer = await this.ask({ ...call, ...options });
    return parseAnswer(clearRowsSchema, answer.value, API.logsClear);
  }

  // parts

  private async changeJob(
    method: string,
    args: readonly Wire[],
    options: ClientCallOptions,
  ): Promise<JobInfo> {
    const answer = await this.ask({ method, args, kind: 'repeatable', ...options });
    return parseAnswer(jobInfoSchema, answer.value, method);
  }

  private async read<T>(
    method: string,
    args: readonly Wire[],
    schema: z.ZodType<T>,
    options: NodeCallOptions,
  ): Promise<T> {
    const answer = await this.ask({
      method,
      args,
      kind: 'read',
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.node === undefined ? {} : { only: options.node }),
    });
    return parseAnswer(schema, answer.value, method);
  }

  private ask(call: TransportCall): ReturnType<ApiTransport['call']> {
    return this.transport.call(call);
  }

  /** [session, seq] of the next write; opens the session first, once for all. */
  private async numbered(options: ClientCallOptions = {}): Promise<[number, number]> {
    this.session ??= this.openSession(options);
    try {
      const session = await this.session;
      this.seq += 1;
      return [session, this.seq];
    } catch (error) {
      this.session = undefined;
      throw error;
    }
  }

  private async openSession(options: ClientCallOptions): Promise<LogIndex> {
    const answer = await this.ask({
      method: API.openSession,
      args: [],
      kind: 'repeatable',
      ...options,
    });
    return parseAnswer(numberSchema, answer.value, API.openSession);
  }
}

/** The last line of a stream that went wrong carries the error. */
function faultOf(line: unknown): IdunnoError | undefined {
  if (typeof line !== 'object' || line === null || !('fault' in line)) return undefined;
  return IdunnoError.fromWire(line.fault);
}

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
