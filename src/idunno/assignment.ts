/**
 * Which worker keeps which model loaded. Pure.
 *
 * While there is room every worker is given every wanted model: then any worker can take any task,
 * and the fair queue alone decides. When there are more models than a worker may hold, each of the
 * J models is first given to at least ⌈workers × room ÷ J⌉ workers, those of running jobs first;
 * what a worker has already is kept where possible, since loading costs seconds.
 */
import { must } from '../base/index.js';
import { modelKey } from './indexes.js';
import { isFinal, type JobRow, type ModelRow } from './tables.js';

/** A process of 60 MB and more for each: what a small machine bears. */
export const MODELS_PER_WORKER_MAX = 8;

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

/** By modelKey, the workers that should have it. `has`: is it there already? */
export function assignModels(
  wanted: readonly WantedModel[],
  workers: readonly string[],
  has: (model: WantedModel, worker: string) => boolean,
  roomMax: number = MODELS_PER_WORKER_MAX,
): Map<string, Set<string>> {
  const given = new Map(
    wanted.map((each) => [modelKey(each.name, each.revision), new Set<string>()] as const),
  );
  if (workers.length === 0 || wanted.length === 0) return given;
  const room = new Map(workers.map((worker) => [worker, roomMax]));
  const share = Math.ceil((workers.length * roomMax) / wanted.length);
  for (const model of wanted) {
    const to = must(given.get(modelKey(model.name, model.revision)), 'a wanted model');
    const candidates = workers
      .filter((worker) => (room.get(worker) ?? 0) > 0)
      .sort((a, b) => rank(model, b) - rank(model, a) || (a < b ? -1 : 1));
    for (const worker of candidates.slice(0, share)) {
      to.add(worker);
      room.set(worker, (room.get(worker) ?? 0) - 1);
    }
  }
  return given;

  /** Those that have it before those with most room. */
  function rank(model: WantedModel, worker: string): number {
    return (has(model, worker) ? roomMax + 1 : 0) + (room.get(worker) ?? 0);
  }
}
