/**
 * Which worker keeps which model loaded, while nothing is known about rates. Pure.
 *
 * A model is given to at least so many workers, its floor: what its deployment asked for, or, where
 * that was left open, ⌈2 × workers ÷ J⌉ of them for J models, which is every worker for one or two
 * models and always at least the fair ⌈workers ÷ J⌉. What a worker has it keeps, since loading
 * costs seconds, as long as it has room; workers that the scaling rule added (scaling.ts) therefore
 * stay. A coming revision is given to every worker that has the one it replaces, so that the swap
 * costs no capacity. All other workers only fetch the files.
 */
import { must } from '../base/index.js';
import { modelKey } from './indexes.js';
import { isFinal, type JobRow, type ModelRow } from './tables.js';
import type { WorkersWanted } from './types.js';

/** A process of 60 MB and more for each: what a small machine bears, unless a setting says more. */
export const MODELS_PER_WORKER = 8;

/** How many times the fair share a model is given while nobody has said where to load it. */
const GENEROSITY = 2;

export interface WantedModel {
  readonly name: string;
  readonly revision: number;
  /** Has a job that is not over. */
  readonly isBusy: boolean;
}

/** Serving and coming revisions, and those that unfinished jobs are pinned to; busy ones first. */
export function wantedModels(
  models: Iterable<ModelRow>,
  jobs: Iterable<JobRow>,
): readonly WantedModel[] {
  const wanted = new Map<string, WantedModel>();
  const want = (name: string, revision: number, isBusy: boolean) => {
    const key = modelKey(name, revision);
    if (revision > 0 && !wanted.get(key)?.isBusy) wanted.set(key, { name, revision, isBusy });
  };
  for (const job of jobs) {
    if (!isFinal(job.state)) want(job.model, job.revision, true);
  }
  for (const model of models) {
    want(model.name, model.deploying, false);
    want(model.name, model.serving, false);
  }
  return [...wanted.values()].sort(compareWanted);
}

/** Busy ones first, then by name and revision. */
function compareWanted(a: WantedModel, b: WantedModel): number {
  if (a.isBusy !== b.isBusy) return a.isBusy ? -1 : 1;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.revision - b.revision;
}

export interface AssignmentInput {
  readonly wanted: readonly WantedModel[];
  /** Workers that are up, by name. */
  readonly workers: readonly string[];
  /** Was it given to this worker already? */
  readonly has: (model: WantedModel, worker: string) => boolean;
  /** Are its files there? */
  readonly hasFiles?: (model: WantedModel, worker: string) => boolean;
  readonly wish?: (model: WantedModel) => WorkersWanted;
  /** Models that one worker bears. */
  readonly roomMax?: number;
}

/** How many workers a model is given at first. */
export function floorOf(wish: WorkersWanted, workers: number, models: number): number {
  if (wish === 'all') return workers;
  if (typeof wish === 'number') return Math.min(wish, workers);
  if (wish !== null) return Math.min(wish.length, workers);
  return Math.min(workers, Math.ceil((GENEROSITY * workers) / Math.max(1, models)));
}

/** By modelKey, the workers that should have it. */
export function assignModels(input: AssignmentInput): Map<string, Set<string>> {
  const { wanted, workers, has } = input;
  const { roomMax = MODELS_PER_WORKER, wish = () => null, hasFiles = () => false } = input;
  const given = new Map(
    wanted.map((each) => [modelKey(each.name, each.revision), new Set<string>()] as const),
  );
  const room = new Map(workers.map((worker) => [worker, roomMax]));
  const names = new Set(wanted.map(({ name }) => name));
  const give = (model: WantedModel, worker: string): void => {
    must(given.get(modelKey(model.name, model.revision)), 'a wanted model').add(worker);
    room.set(worker, (room.get(worker) ?? 0) - 1);
  };
  // No model takes more than its share of all room, or the last ones would find no place at all.
  const all = (workers.length * roomMax) / Math.max(1, wanted.length);
  const share = Math.max(1, Math.floor(all));
  const sizeOf = (model: WantedModel): number =>
    given.get(modelKey(model.name, model.revision))?.size ?? 0;
  for (const model of wanted) {
    for (const worker of workers) {
      if (sizeOf(model) >= share) break;
      if (has(model, worker) && (room.get(worker) ?? 0) > 0) give(model, worker);
    }
  }
  for (const model of wanted) {
    const to = must(given.get(modelKey(model.name, model.revision)), 'a wanted model');
    const wished = wish(model);
    const others = wanted.filter((each) => each.name === model.name && each !== model);
    const isHeir = (worker: string) => others.some((each) => has(each, worker));
    const named = Array.isArray(wished) ? new Set(wished as readonly string[]) : undefined;
    const rank = (worker: string): number =>
      (isHeir(worker) ? 2_000 : 0) +
      (hasFiles(model, worker) ? 1_000 : 0) +
      (room.get(worker) ?? 0);
    const candidates = workers
      .filter((worker) => !to.has(worker) && (room.get(worker) ?? 0) > 0)
      .sort((a, b) => rank(b) - rank(a) || (a < b ? -1 : 1));
    const wishedFor = candidates.filter((worker) => named?.has(worker) === true);
    for (const worker of wishedFor) give(model, worker);
    const heirs = candidates.filter((worker) => !to.has(worker) && isHeir(worker));
    for (const worker of heirs) give(model, worker);
    // Named workers that are all down: one other has to do, or nothing would.
    const floor = named === undefined ? floorOf(wished, workers.length, names.size) : 1;
    const rest = candidates.filter((worker) => !to.has(worker));
    const missing = Math.min(floor, share) - to.size;
    for (const worker of rest.slice(0, Math.max(0, missing))) give(model, worker);
  }
  return given;
}
