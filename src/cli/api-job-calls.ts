/** Calls about models and jobs: see api-client.ts. */
import { z } from 'zod';
import { IdunnoError } from '../base/index.js';
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
import type { Wire } from '../net/index.js';
import {
  type ClientCallOptions,
  chunksOf,
  DEPLOY_TIMEOUT_MS,
  type NodeCallOptions,
  TRANSFER_TIMEOUT_MS,
} from './api-calls.js';
import { FileCalls } from './api-file-calls.js';
import {
  API,
  deployLineSchema,
  fairnessSchema,
  jobExplanationSchema,
  jobInfoSchema,
  jobStatsSchema,
  modelInfoSchema,
  parseAnswer,
  resultLineSchema,
  taskPageSchema,
  toWire,
  verifySchema,
} from './contract.js';
import { readJsonLines } from './json-lines.js';
import { type PackedFile, packFiles } from './pack.js';

export abstract class JobCalls extends FileCalls {
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

  private async changeJob(
    method: string,
    args: readonly Wire[],
    options: ClientCallOptions,
  ): Promise<JobInfo> {
    const answer = await this.ask({ method, args, kind: 'repeatable', ...options });
    return parseAnswer(jobInfoSchema, answer.value, method);
  }
}

/** The last line of a stream that went wrong carries the error. */
function faultOf(line: unknown): IdunnoError | undefined {
  if (typeof line !== 'object' || line === null || !('fault' in line)) return undefined;
  return IdunnoError.fromWire(line.fault);
}
