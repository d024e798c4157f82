/**
 * The calls that a node serves to clients: their names, and the shapes of what comes back.
 *
 * This is the contract between a cluster and everything outside it (command line, demonstration,
 * drills); src/node/api.ts serves it, api-client.ts speaks it. It is apart from the internal types
 * on purpose: an answer is parsed here and refused with PROTOCOL when it does not fit, so a client
 * of another version fails with a sentence and not somewhere later with `undefined`.
 *
 * Arguments are positional msgpack arrays. `null` stands for "not given".
 */
import { z } from 'zod';
import { IdunnoError, type NodeId } from '../base/index.js';
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
import type { FileVersion, ListPage, PutResult, SdfsClient } from '../sdfs/index.js';
import type { NodeRow } from '../store/index.js';
import type { Evidence, Member } from '../swim/index.js';

/** Every method, by what clients call it. */
export const API = {
  /** [] → ClusterStatus. Answered by each node from what it knows; never waits for the leader. */
  status: 'api.status',
  /** [] → a session number; registered through the log. */
  openSession: 'api.session.open',
  /** [key, value, session, seq] → log index. */
  settingsPut: 'api.settings.put',
  /** [key] → value or null. */
  settingsGet: 'api.settings.get',
  /** [prefix, after or null, limit] → SettingRecord[]. */
  settingsList: 'api.settings.list',
  /** [] → Member[]. */
  memberList: 'api.member.list',
  /** [] → Member. */
  memberSelf: 'api.member.self',
  /** [name] → Evidence[]. */
  memberWhy: 'api.member.why',
  /** [] → null; the node that is called joins or leaves. */
  memberJoin: 'api.member.join',
  memberLeave: 'api.member.leave',
  /** [] → RaftStatus of the node that is called. */
  raftStatus: 'api.raft.status',
  /** [] → StorageHealth of the node that is called. */
  raftStorage: 'api.raft.storage',
  /** [to or null] → name of the node that led before; forwarded to the leader. */
  raftTransfer: 'api.raft.transfer',
  /** [kind, node, by or null] → CoordinatorChange, when it is done. */
  raftChange: 'api.raft.change',
  /** [name, bytes or null, durability, session, seq] + body → PutResult. */
  filePut: 'api.file.put',
  /** [count, durability, session, seq] + packed body (pack.ts) → PutResult[]. */
  filePutMany: 'api.file.putMany',
  /** [name, version or null] → FileVersion + body. */
  fileGet: 'api.file.get',
  /** [name, count] → FileVersion[]. */
  fileVersions: 'api.file.versions',
  /** [name, version or null] → FileVersion. */
  fileStat: 'api.file.stat',
  /** [prefix, after or null, limit] → ListPage. */
  fileList: 'api.file.list',
  /** [name] → null. */
  fileDelete: 'api.file.delete',
  /** [node or null for the one called] → FileVersion[]. */
  fileStore: 'api.file.store',
  /** [] → StorageReport. */
  fileReport: 'api.file.report',
  /** [timeoutMs, workers] + packed body → null + body of JSON lines (DeployLine). */
  modelDeploy: 'api.model.deploy',
  /** [] → ModelInfo[]. */
  modelList: 'api.model.list',
  /** [name] → null. */
  modelUndeploy: 'api.model.undeploy',
  modelRemove: 'api.model.remove',
  /** [spec, session, seq] → JobInfo. */
  jobSubmit: 'api.job.submit',
  /** [owner or null for all] → JobInfo[]. */
  jobList: 'api.job.list',
  /** [id] → JobInfo. */
  jobInfo: 'api.job.info',
  /** [id or null, owner or null for all] → JobStats[]. */
  jobStats: 'api.job.stats',
  /** [] → FairnessReport. */
  jobFairness: 'api.job.fairness',
  /** [id] → JobExplanation. */
  jobExplain: 'api.job.explain',
  /** [id] → JobInfo. */
  jobPause: 'api.job.pause',
  jobResume: 'api.job.resume',
  jobCancel: 'api.job.cancel',
  /** [id, size] → JobInfo. */
  jobSetBatchSize: 'api.job.setBatchSize',
  /** [id] → null + body of JSON lines (ResultLine, or a last line {"fault": …}). */
  jobResults: 'api.job.results',
  /** [id, after task or null, limit] → TaskPage. */
  jobTasks: 'api.job.tasks',
  /** [id] → VerifyReport. */
  jobVerify: 'api.job.verify',
  /** [query, names or null, budgetMs, [name, lines to skip][]] → names + body of records (log-query.ts). */
  logsGrep: 'api.logs.grep',
  /** [names or null] → LogClearRow[]. */
  logsClear: 'api.logs.clear',
} as const;

/** Queries of one task; the state machine refuses more. */
export const BATCH_SIZE_MAX = 10_000;

const node = z.string().transform((name) => name as NodeId);
/** Absent and null are the same on the wire. */
const maybeNumber = z.nullish(z.number()).transform((value) => value ?? undefined);
const maybeText = z.nullish(z.string()).transform((value) => value ?? undefined);
const count = z.number().int().nonnegative();

export const fileVersionSchema: z.ZodType<FileVersion> = z.object({
  name: z.string(),
  version: count,
  bytes: count,
  sha256: z.string(),
  createdMs: z.number(),
  holders: z.array(node),
});

export const putResultSchema: z.ZodType<PutResult> = z.object({
  name: z.string(),
  version: count,
  bytes: count,
  sha256: z.string(),
  holders: z.array(node),
  copies: count,
  wanted: count,
});

export const listPageSchema: z.ZodType<ListPage> = z.object({
  files: z.array(fileVersionSchema),
  next: maybeText,
});

export type StorageReport = Awaited<ReturnType<SdfsClient['report']>>;

export const storageReportSchema: z.ZodType<StorageReport> = z.object({
  files: count,
  versions: count,
  bytes: count,
  underReplicated: count,
  lost: count,
  reasons: z.array(z.string()),
});

export const modelInfoSchema: z.ZodType<ModelInfo> = z.object({
  name: z.string(),
  revision: count,
  state: z.enum(['Undeployed', 'Deployed', 'Failed']),
  description: z.string(),
  workers: z.array(
    z.object({
      node,
      state: z.enum(['assigned', 'fetched', 'loading', 'warm', 'failed']),
      error: z.string().exactOptional(),
    }),
  ),
  others: z.array(z.object({ node, state: z.enum(['prefetched', 'absent']) })),
  files: z.array(z.object({ name: z.string(), version: count, bytes: count })),
});

/** Where a model is loaded at first: see WorkersWanted. */
export const workersWantedSchema: z.ZodType<WorkersWanted> = z.union([
  z.null(),
  z.literal('all'),
  z.number().int().min(1).max(256),
  z.array(z.string().min(1).max(64)).min(1).max(256),
]);

/** One line of the answer to a deployment: progress, then how it ended. */
export const deployLineSchema = z.union([
  z.object({ progress: z.string() }),
  z.object({ model: modelInfoSchema }),
  z.object({ fault: z.array(z.unknown()) }),
]);

const jobState = z.enum([
  'queued',
  'running',
  'paused',
  'succeeded',
  'succeeded-with-errors',
  'failed',
  'cancelled',
]);

export const jobInfoSchema: z.ZodType<JobInfo> = z.object({
  id: count,
  model: z.string(),
  revision: count,
  state: jobState,
  owner: z.string(),
  label: z.string(),
  batchSize: count,
  weight: z.number(),
  repeat: count,
  items: count,
  queries: count,
  queriesDone: count,
  queriesFailed: count,
  tasksDone: count,
  tasksWaiting: count,
  createdMs: z.number(),
  startedMs: maybeNumber,
  firstResultMs: maybeNumber,
  finishedMs: maybeNumber,
});

export const jobStatsSchema: z.ZodType<JobStats> = z.object({
  id: count,
  model: z.string(),
  state: jobState,
  queriesDone: count,
  tasksDone: count,
  itemsPerSecond10: z.number(),
  tasksPerSecond10: z.number(),
  itemsPerSecondTotal: z.number(),
  tasksPerSecondTotal: z.number(),
  meanSeconds: z.number(),
  stdSeconds: z.number(),
  p25Seconds: z.number(),
  p50Seconds: z.number(),
  p75Seconds: z.number(),
  p99Seconds: z.number(),
  assignedNodes: z.array(node),
  warmNodes: z.array(node),
});

export const jobExplanationSchema: z.ZodType<JobExplanation> = z.object({
  id: count,
  model: z.string(),
  revision: count,
  state: jobState,
  why: z.array(z.string()),
  warm: z.array(node),
  loading: z.array(node),
  failed: z.array(z.object({ node, error: z.string() })),
  prefetched: z.array(node),
  absent: z.array(node),
  rates: z.array(
    z.object({
      model: z.string(),
      revision: count,
      jobs: z.array(count),
      itemsPerSecond: z.number(),
      warm: count,
    }),
  ),
  windowMs: z.number(),
  gap: maybeNumber,
  threshold: maybeNumber,
  decisions: z.array(
    z.object({
      atMs: z.number(),
      model: z.string(),
      revision: count,
      added: z.array(node),
      removed: z.array(node),
      reason: z.string(),
    }),
  ),
});

export const fairnessSchema: z.ZodType<FairnessReport> = z.object({
  gap: maybeNumber,
  windowMs: z.number(),
  jobs: z.array(z.object({ id: count, itemsPerSecond: z.number(), tasksInWindow: z.number() })),
});

export const verifySchema: z.ZodType<VerifyReport> = z.object({
  id: count,
  ok: z.boolean(),
  queries: count,
  accepted: count,
  missing: count,
  duplicated: count,
  failedItems: count,
  hashesChecked: count,
  problems: z.array(z.string()),
});

export const taskPageSchema: z.ZodType<TaskPage> = z.object({
  tasks: z.array(
    z.object({
      task: count,
      to: count,
      state: z.enum(['Ready', 'Waiting', 'Success', 'Dead']),
      isCut: z.boolean(),
      attempts: count,
      nodes: z.array(node),
      queriesFailed: count,
      seconds: maybeNumber,
      finishedMs: maybeNumber,
      file: maybeText,
    }),
  ),
  next: maybeNumber,
});

export const resultLineSchema: z.ZodType<ResultLine> = z.object({
  item: count,
  repetition: count,
  input: z.string(),
  version: count,
  top: z.array(z.object({ label: z.string(), score: z.number() })).exactOptional(),
  output: z.unknown().exactOptional(),
  error: z.string().exactOptional(),
});

/** What a client may ask of a job; checked by the node before it reaches the state machine. */
export const jobSpecSchema: z.ZodType<JobSpec> = z.object({
  model: z.string().min(1),
  inputs: z.union([
    z.strictObject({ prefix: z.string() }),
    z.strictObject({ glob: z.string().min(1) }),
    z.strictObject({ names: z.array(z.string()).min(1) }),
  ]),
  batchSize: z.number().int().min(1).max(BATCH_SIZE_MAX),
  weight: z.number().positive().exactOptional(),
  repeat: z.number().int().min(1).exactOptional(),
  owner: z.string().max(256).exactOptional(),
  label: z.string().max(1024).exactOptional(),
  maxFailedItems: count.exactOptional(),
  isPaused: z.boolean().exactOptional(),
});

export const memberSchema: z.ZodType<Member> = z.object({
  name: node,
  host: z.string(),
  port: count,
  bootEpoch: z.number(),
  incarnation: z.number(),
  state: z.enum(['active', 'suspicious', 'failed', 'deleted', 'left']),
  bootWallMs: z.number(),
  sinceMs: z.number(),
  stalledMs: z.number(),
});

export const evidenceSchema: z.ZodType<Evidence> = z.object({
  atWallMs: z.number(),
  text: z.string(),
});

/** A small replicated value; `revision` counts its puts. */
export interface SettingRecord {
  readonly key: string;
  readonly value: string;
  readonly index: number;
  readonly revision: number;
}

export const settingSchema: z.ZodType<SettingRecord> = z.object({
  key: z.string(),
  value: z.string(),
  index: count,
  revision: count,
});

/** How far a coordinator's own log and state can be trusted. */
export interface StorageHealth {
  /** `running`, `waiting`, ...; `observer` where the node is no coordinator. */
  readonly phase: string;
  /** Why it is suspect: it follows and catches up, but neither votes nor leads. */
  readonly doubt: string | undefined;
  /** Why there can be no leader without a person's help. */
  readonly stuck: string | undefined;
  /** The sum over all rows at this applied index: equal on all coordinators. */
  readonly index: number;
  readonly sum: string;
}

export const storageHealthSchema: z.ZodType<StorageHealth> = z.object({
  phase: z.string(),
  doubt: maybeText,
  stuck: maybeText,
  index: z.number(),
  sum: z.string(),
});

/** One coordinator's view of the consensus group; on other nodes only who leads. */
export interface RaftStatus {
  readonly node: string;
  readonly isCoordinator: boolean;
  readonly role: string;
  readonly term: number;
  readonly leader: string | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly voters: readonly string[];
  /** The voters before, while a change needs both majorities. */
  readonly outgoing: readonly string[];
  readonly learners: readonly string[];
  /** The voters to be, while some of them catch up; else empty. */
  readonly next: readonly string[];
}

/** A change of the coordinators that is done. */
export interface CoordinatorChange {
  readonly before: readonly string[];
  readonly voters: readonly string[];
}

export const coordinatorChangeSchema: z.ZodType<CoordinatorChange> = z.object({
  before: z.array(z.string()),
  voters: z.array(z.string()),
});

export const raftStatusSchema: z.ZodType<RaftStatus> = z.object({
  node: z.string(),
  isCoordinator: z.boolean(),
  role: z.string(),
  term: z.number(),
  leader: maybeText,
  commitIndex: z.number(),
  appliedIndex: z.number(),
  lastIndex: z.number(),
  voters: z.array(z.string()),
  outgoing: z.array(z.string()),
  learners: z.array(z.string()),
  next: z.array(z.string()),
});

/** A node of the cluster, joined from the config file, SWIM and the replicated nodes table. */
export interface NodeStatusRow {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly isCoordinator: boolean;
  readonly isLeader: boolean;
  /** SWIM's verdict as this node sees it; `unknown` where it never met the member. */
  readonly state: Member['state'] | 'unknown';
  /** What Raft has decided; `unknown` where this node cannot say (no leader, not registered). */
  readonly status: NodeRow['status'] | 'unknown';
  readonly bootWallMs: number;
  readonly bootEpoch: number;
  readonly stalledMs: number;
}

export interface ClusterStatus {
  readonly cluster: string;
  /** The node that answers. */
  readonly node: string;
  readonly version: string;
  readonly leader: string | undefined;
  readonly term: number;
  /** This node can serve commands: it is registered and knows a leader. */
  readonly ready: boolean;
  readonly nodes: readonly NodeStatusRow[];
}

export const clusterStatusSchema: z.ZodType<ClusterStatus> = z.object({
  cluster: z.string(),
  node: z.string(),
  version: z.string(),
  leader: maybeText,
  term: z.number(),
  ready: z.boolean(),
  nodes: z.array(
    z.object({
      name: z.string(),
      host: z.string(),
      port: z.number(),
      isCoordinator: z.boolean(),
      isLeader: z.boolean(),
      state: z.enum(['active', 'suspicious', 'failed', 'deleted', 'left', 'unknown']),
      status: z.enum(['up', 'down', 'left', 'draining', 'unknown']),
      bootWallMs: z.number(),
      bootEpoch: z.number(),
      stalledMs: z.number(),
    }),
  ),
});

/** An answer as its type. Throws PROTOCOL, naming what does not fit. */
export function parseAnswer<T>(schema: z.ZodType<T>, value: unknown, method: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? '' : ` at ${issue.path.join('.') || 'the top'}`;
  throw new IdunnoError(
    'PROTOCOL',
    `the answer to ${method} is not understood${where}: ${issue?.message ?? 'wrong shape'}; ` +
      'node and client may be of different versions',
  );
}

/** A value as the wire carries it: fields that are undefined are left out, dates never occur. */
export function toWire(value: unknown): Wire {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value === 'object') {
    const fields: Record<string, Wire> = {};
    for (const [name, field] of Object.entries(value)) {
      if (field !== undefined) fields[name] = toWire(field);
    }
    return fields;
  }
  throw new IdunnoError('INTERNAL', `a ${typeof value} cannot travel over the wire`);
}
