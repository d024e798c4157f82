/** Models and jobs in the contract: see contract.ts. */
import { z } from 'zod';
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
import { count, maybeNumber, maybeText, node } from './contract-fields.js';

/** Queries of one task; the state machine refuses more. */
export const BATCH_SIZE_MAX = 10_000;

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
