/**
 * What the scaling rule looks at (scaling.ts), read from the rows of one moment. Used by the leader
 * that applies the rule, and by whoever asks why a job runs as it does. Pure.
 */
import { must } from '../base/index.js';
import type { ReadView } from '../store/index.js';
import { floorOf, type WantedModel, wantedModels } from './assignment.js';
import { hasWork } from './command-work.js';
import {
  ASSIGNMENTS_INDEX,
  COPIES_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  MODELS_INDEX,
  modelKey,
  NODES_INDEX,
} from './indexes.js';
import { edgeAfter, rateSince, windowStart } from './rates.js';
import type { ScalingInput, ScalingModel, ScalingWorker } from './scaling.js';
import { readScaling } from './scaling-settings.js';
import { EMPTY_STATS } from './stats.js';
import { type JobRow, stats } from './tables.js';

/** What rows do not say: since when things are as they are. Ms of the same clock as `nowMs`. */
export interface ScalingMemory {
  /** By modelKey: its warm workers last changed. */
  readonly changedMs: ReadonlyMap<string, number>;
  /** By modelKey: without jobs since. */
  readonly idleMs: ReadonlyMap<string, number>;
  /** By worker: without leases since. */
  readonly idleWorkerMs: ReadonlyMap<string, number>;
}

export const NO_MEMORY: ScalingMemory = {
  changedMs: new Map(),
  idleMs: new Map(),
  idleWorkerMs: new Map(),
};

/** `nowMs`: wall clock, as job rows count. */
export function readScalingInput(
  view: Pick<ReadView, 'index' | 'get'>,
  nowMs: number,
  memory: ScalingMemory,
): ScalingInput {
  const jobs = [...view.index(JOBS_INDEX).values()];
  const wanted = wantedModels(view.index(MODELS_INDEX).models.values(), jobs);
  const running = jobs.filter(hasWork);
  let start = windowStart(nowMs);
  for (const job of running) {
    const changed = memory.changedMs.get(modelKey(job.model, job.revision)) ?? 0;
    start = Math.max(start, edgeAfter(job.activeSinceMs), edgeAfter(changed));
  }
  const workers = readWorkers(view, nowMs, memory);
  const names = new Set(wanted.map(({ name }) => name));
  const models = wanted.map((model) => {
    const key = modelKey(model.name, model.revision);
    const mine = running.filter((job) => modelKey(job.model, job.revision) === key);
    return {
      ...readPlaces(view, model),
      ...readWork(view, mine, start, nowMs),
      isBusy: model.isBusy,
      idleMs: nowMs - (memory.idleMs.get(key) ?? nowMs),
      floor: floorOf(wishOf(view, key), workers.length, names.size),
    };
  });
  return { models, workers, windowMs: Math.max(0, nowMs - start), ...readScaling(view) };
}

function wishOf(view: Pick<ReadView, 'index'>, key: string) {
  return view.index(MODELS_INDEX).revisions.get(key)?.workers ?? null;
}

function readWorkers(
  view: Pick<ReadView, 'index'>,
  nowMs: number,
  memory: ScalingMemory,
): ScalingWorker[] {
  const { byNode } = view.index(ASSIGNMENTS_INDEX);
  return [...view.index(NODES_INDEX).values()]
    .filter((row) => row.status === 'up')
    .map(({ name }) => ({
      name,
      models: [...(byNode.get(name)?.keys() ?? [])],
      idleMs: isIdle(view, name) ? nowMs - (memory.idleWorkerMs.get(name) ?? nowMs) : 0,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Holds no lease. */
export function isIdle(view: Pick<ReadView, 'index'>, worker: string): boolean {
  return (view.index(LEASES_INDEX).byNode.get(worker)?.size ?? 0) === 0;
}

function readPlaces(view: Pick<ReadView, 'index'>, { name, revision }: WantedModel) {
  const key = modelKey(name, revision);
  const nodes = view.index(NODES_INDEX);
  const isUp = (node: string, epoch: number): boolean => {
    const row = nodes.get(node);
    return row?.status === 'up' && row.epoch === epoch;
  };
  const warm: string[] = [];
  const coming: string[] = [];
  const failed: string[] = [];
  for (const { node, epoch, state } of view.index(ASSIGNMENTS_INDEX).byModel.get(key)?.values() ??
    []) {
    if (!isUp(node, epoch)) continue;
    if (state === 'warm') warm.push(node);
    else if (state === 'failed') failed.push(node);
    else coming.push(node);
  }
  const copies = new Set<string>();
  for (const { node, epoch } of view.index(COPIES_INDEX).get(key)?.values() ?? []) {
    if (isUp(node, epoch)) copies.add(node);
  }
  for (const list of [warm, coming, failed]) list.sort();
  return { key, name, revision, warm, coming, failed, copies };
}

function readWork(
  view: Pick<ReadView, 'get'>,
  jobs: readonly JobRow[],
  startMs: number,
  nowMs: number,
): Pick<ScalingModel, 'jobs' | 'weight' | 'items' | 'tasks'> {
  let weight = 0;
  let items = 0;
  let tasks = 0;
  for (const job of jobs) {
    const { slots } = view.get(stats, [job.id]) ?? EMPTY_STATS;
    const rate = rateSince(slots, startMs, Math.max(nowMs, startMs));
    weight += job.weight;
    items += rate.items;
    tasks += rate.tasks;
  }
  return { jobs: jobs.map(({ id }) => id), weight, items, tasks };
}

/** The facts about one revision, if it is wanted. */
export function factsOf(input: ScalingInput, key: string): ScalingModel | undefined {
  return input.models.find((model) => model.key === key);
}

/** The epoch of a worker that the rule has named. */
export function epochOf(view: Pick<ReadView, 'index'>, worker: string): number {
  return must(view.index(NODES_INDEX).get(worker), `worker ${worker}`).epoch;
}
