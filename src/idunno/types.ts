/**
 * Models, jobs and tasks as the rest of the house sees them.
 * A query is (item, repetition); a task is a range of queries cut when leased; an item is one
 * input file at a fixed version.
 */
import type { NodeId } from '../base/index.js';
import type { RequestId } from '../store/index.js';

export type ModelState = 'Undeployed' | 'Deployed' | 'Failed';

/**
 * On which workers a model is loaded at first: so many, these, or all, also those that come later.
 * Null leaves it to the cluster. Where there is work, the scaling rule adds others.
 */
export type WorkersWanted = null | 'all' | number | readonly string[];

export interface ModelInfo {
  readonly name: string;
  /** Counts the deployments of this name. */
  readonly revision: number;
  readonly state: ModelState;
  readonly description: string;
  /** The workers that were given the newest revision, and how far each is. */
  readonly workers: readonly {
    node: NodeId;
    state: 'assigned' | 'fetched' | 'loading' | 'warm' | 'failed';
    error?: string;
  }[];
  /** All other workers that are up: do they have its files, should they be given it? */
  readonly others: readonly { readonly node: NodeId; readonly state: 'prefetched' | 'absent' }[];
  readonly files: readonly { name: string; version: number; bytes: number }[];
}

export type JobState =
  | 'queued'
  | 'running'
  | 'paused'
  | 'succeeded'
  | 'succeeded-with-errors'
  | 'failed'
  | 'cancelled';

export type TaskState = 'Ready' | 'Waiting' | 'Success' | 'Dead';

export interface JobSpec {
  readonly model: string;
  /** Exactly one of these selects the inputs; each is pinned at its newest version. */
  readonly inputs:
    | { readonly prefix: string }
    | { readonly glob: string }
    | { readonly names: readonly string[] };
  readonly batchSize: number;
  readonly weight?: number;
  /** How often each input is queried; each time decodes and infers anew. Default 1. */
  readonly repeat?: number;
  readonly owner?: string;
  /** What people call it: the dataset in the classic tables. */
  readonly label?: string;
  readonly maxFailedItems?: number;
  /** Accepted, but not begun until it is resumed. */
  readonly isPaused?: boolean;
}

export interface JobInfo {
  readonly id: number;
  readonly model: string;
  readonly revision: number;
  readonly state: JobState;
  readonly owner: string;
  readonly label: string;
  readonly batchSize: number;
  readonly weight: number;
  readonly repeat: number;
  readonly items: number;
  /** items × repeat. */
  readonly queries: number;
  readonly queriesDone: number;
  readonly queriesFailed: number;
  readonly tasksDone: number;
  readonly tasksWaiting: number;
  readonly createdMs: number;
  readonly startedMs: number | undefined;
  readonly firstResultMs: number | undefined;
  readonly finishedMs: number | undefined;
}

/** Processing time of tasks in seconds; rates over the last 10 s and since the start. */
export interface JobStats {
  readonly id: number;
  readonly model: string;
  readonly state: JobState;
  readonly queriesDone: number;
  readonly tasksDone: number;
  readonly itemsPerSecond10: number;
  readonly tasksPerSecond10: number;
  readonly itemsPerSecondTotal: number;
  readonly tasksPerSecondTotal: number;
  readonly meanSeconds: number;
  readonly stdSeconds: number;
  readonly p25Seconds: number;
  readonly p50Seconds: number;
  readonly p75Seconds: number;
  readonly p99Seconds: number;
  /** Nodes that hold leases of it now. */
  readonly assignedNodes: readonly NodeId[];
  /** Nodes on which its model is warm. */
  readonly warmNodes: readonly NodeId[];
}

/** One line of a result file. */
export interface ResultLine {
  readonly item: number;
  readonly repetition: number;
  readonly input: string;
  readonly version: number;
  /** Classification: best first. */
  readonly top?: readonly { label: string; score: number }[];
  readonly output?: unknown;
  readonly error?: string;
}

export interface VerifyReport {
  readonly id: number;
  readonly ok: boolean;
  readonly queries: number;
  readonly accepted: number;
  readonly missing: number;
  readonly duplicated: number;
  readonly failedItems: number;
  /** Results whose stored bytes hash to what the task recorded. */
  readonly hashesChecked: number;
  readonly problems: readonly string[];
}

/** Rates of running jobs side by side. */
export interface FairnessReport {
  /** (max − min) / max of items/s over the window; undefined with fewer than two jobs. */
  readonly gap: number | undefined;
  readonly windowMs: number;
  readonly jobs: readonly { id: number; itemsPerSecond: number; tasksInWindow: number }[];
}

/** One task of a job; the last one of a running job stands for all that were never cut. */
export interface TaskInfo {
  /** Its first query: with the job's number, its name. */
  readonly task: number;
  /** Its queries are [task, to). */
  readonly to: number;
  readonly state: TaskState;
  /** False for the rest of the job: tasks are cut from it when they are leased. */
  readonly isCut: boolean;
  /** Leases granted so far. */
  readonly attempts: number;
  /** Who computes it now, or whose result was accepted. */
  readonly nodes: readonly NodeId[];
  readonly queriesFailed: number;
  /** Processing time and time of acceptance, once it is finished. */
  readonly seconds: number | undefined;
  readonly finishedMs: number | undefined;
  /** `results/JOB/TASK.jsonl`, once it is finished. */
  readonly file: string | undefined;
}

/** `next` is the task after which the next page begins; absent on the last page. */
export interface TaskPage {
  readonly tasks: readonly TaskInfo[];
  readonly next: number | undefined;
}

/** Why a model was given to workers, or taken from them. */
export interface ScalingDecision {
  readonly atMs: number;
  readonly model: string;
  readonly revision: number;
  readonly added: readonly NodeId[];
  readonly removed: readonly NodeId[];
  readonly reason: string;
}

/** Why a job runs as fast as it does. */
export interface JobExplanation {
  readonly id: number;
  readonly model: string;
  readonly revision: number;
  readonly state: JobState;
  /** Sentences, most important first. */
  readonly why: readonly string[];
  /** Workers, by what they have of its model. */
  readonly warm: readonly NodeId[];
  readonly loading: readonly NodeId[];
  readonly failed: readonly { readonly node: NodeId; readonly error: string }[];
  readonly prefetched: readonly NodeId[];
  readonly absent: readonly NodeId[];
  /** Models with running jobs, side by side: what the scaling rule compares. */
  readonly rates: readonly {
    readonly model: string;
    readonly revision: number;
    readonly jobs: readonly number[];
    readonly itemsPerSecond: number;
    /** Workers on which it is warm. */
    readonly warm: number;
  }[];
  readonly windowMs: number;
  /** (max − min) / max of those rates by weight; absent with fewer than two. */
  readonly gap: number | undefined;
  /** The rule's threshold as a share; absent where the rule is off. */
  readonly threshold: number | undefined;
  /** The newest decisions about this model and those it competes with, newest first. */
  readonly decisions: readonly ScalingDecision[];
}

/** One task's result file: `results/JOB/TASK.jsonl`, TASK being its first query. */
export interface ResultFile {
  readonly name: string;
  readonly job: number;
  readonly task: number;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** When the result was accepted. */
  readonly createdMs: number;
  /** The SDFS file that holds its bytes; absent while they ride in the replicated tables. */
  readonly segment: { readonly name: string; readonly version: number } | undefined;
}

/** Where a listing of result files goes on. */
export interface ResultPlace {
  readonly job: number;
  readonly task: number;
}

/** `next` goes on behind what was looked at; absent on the last page. */
export interface ResultPage {
  readonly files: readonly ResultFile[];
  readonly next: ResultPlace | undefined;
}

/** Failed queries of one task; the first of them by name. */
export interface FailureInfo {
  readonly task: number;
  readonly count: number;
  readonly named: readonly { readonly query: number; readonly reason: string }[];
}

/** Works on every node. */
export interface IdunnoClient {
  /** The files of a model folder; throws BAD_MODEL with every problem found. */
  deploy(
    files: readonly { name: string; bytes: Uint8Array }[],
    options?: {
      signal?: AbortSignal;
      onProgress?: (text: string) => void;
      timeoutMs?: number;
      workers?: WorkersWanted;
    },
  ): Promise<ModelInfo>;
  models(): Promise<readonly ModelInfo[]>;
  /** No new jobs for it; refused (CONFLICT) while jobs use it. Its files stay in SDFS. */
  undeploy(name: string): Promise<void>;
  /** Undeploys it, takes it off the list and deletes its files. */
  remove(name: string): Promise<void>;
  submitJob(spec: JobSpec, options?: { request?: RequestId }): Promise<JobInfo>;
  /** The newest ones: of one owner, or of all. */
  jobs(owner?: string): Promise<readonly JobInfo[]>;
  job(id: number): Promise<JobInfo>;
  stats(id?: number, owner?: string): Promise<readonly JobStats[]>;
  fairness(): Promise<FairnessReport>;
  explain(id: number): Promise<JobExplanation>;
  pause(id: number): Promise<JobInfo>;
  resume(id: number): Promise<JobInfo>;
  cancel(id: number): Promise<JobInfo>;
  setBatchSize(id: number, batchSize: number): Promise<JobInfo>;
  /** All accepted results in query order. */
  results(id: number, options?: { signal?: AbortSignal }): AsyncIterable<ResultLine>;
  /** The tasks of a job in the order of their queries, one page. */
  tasks(id: number, options?: { after?: number; limit?: number }): Promise<TaskPage>;
  /**
   * The result files there are now, by job and query, wherever their bytes lie: of one job, or of
   * all. One page, which may be empty and have a next one.
   */
  resultFiles(options: { job?: number; after?: ResultPlace; limit?: number }): Promise<ResultPage>;
  /** One of them. Throws FILE_NOT_FOUND, also before it is finished. */
  statResult(job: number, task: number): Promise<ResultFile>;
  /** The bytes of `results/JOB/TASK.jsonl`. Throws FILE_NOT_FOUND, also before it is finished. */
  resultFile(id: number, task: number): Promise<Uint8Array>;
  /** Tasks with failed queries, in query order. */
  failures(id: number): AsyncIterable<FailureInfo>;
  verify(id: number): Promise<VerifyReport>;
}
