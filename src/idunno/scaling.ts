/**
 * The scaling rule: when is a model loaded on further workers, and when on fewer. Pure, in whole
 * numbers, so that what it decides can be replayed and tested as a table.
 *
 * The fair queue makes the rates of jobs equal on workers where their models are warm; this rule
 * decides where they are warm. In the order in which it looks:
 *
 * 1. A model with work that is warm nowhere and on its way nowhere gets a worker.
 * 2. Rates by weight of models with work are compared over the last ten seconds, or since something
 *    changed about them. Where the slowest that can be helped lags behind the fastest by more than
 *    the threshold, it gets one more worker, or, below half the rate, as many as it has.
 * 3. Workers that have had nothing to do, while a model has work that they have not loaded, get it.
 * 4. A model without jobs for a long time gives back what exceeds its floor (assignment.ts).
 *
 * A worker with the files on its disk is taken first. One without room gives up a model that has
 * no jobs; where there is none, nothing happens. One step at a time: while a model is being loaded
 * somewhere for a reason, the next step for it waits until it has been seen to work.
 */

/** A revision that unfinished jobs use, or that serves. */
export interface ScalingModel {
  readonly key: string;
  readonly name: string;
  readonly revision: number;
  /** Running jobs with ready work, and the sum of their weights; 0 weight: none. */
  readonly jobs: readonly number[];
  readonly weight: number;
  /** Queries and tasks that were finished in the window. */
  readonly items: number;
  readonly tasks: number;
  /** Has unfinished jobs of any kind. */
  readonly isBusy: boolean;
  readonly idleMs: number;
  /** Workers at least (assignment.ts). */
  readonly floor: number;
  readonly warm: readonly string[];
  /** Given to, not warm yet, not failed. */
  readonly coming: readonly string[];
  readonly failed: readonly string[];
  /** Workers with its files. */
  readonly copies: ReadonlySet<string>;
}

export interface ScalingWorker {
  readonly name: string;
  /** Keys of the models it was given. */
  readonly models: readonly string[];
  /** For so long it has held no lease. */
  readonly idleMs: number;
}

export interface ScalingInput {
  readonly models: readonly ScalingModel[];
  readonly workers: readonly ScalingWorker[];
  readonly windowMs: number;
  readonly thresholdPercent: number | undefined;
  readonly modelsPerWorker: number;
  readonly idleMinutes: number;
}

export interface ScalingStep {
  readonly model: ScalingModel;
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Models that make room: [model, worker]. */
  readonly evicted: readonly (readonly [ScalingModel, string])[];
  readonly reason: string;
}

/** A shorter window says little, whatever is in it. */
export const WINDOW_MIN_MS = 2_000;
/** A window that is not full yet must hold so many tasks of the fastest: gap noise is 3 / n. */
export const TASKS_MIN = 15;
export const WINDOW_FULL_MS = 10_000;
/** A worker without work for so long will not get any by itself. */
export const IDLE_WORKER_MS = 2_000;
/** Steps of one look: each is a row of the log's command. */
const STEPS_MAX = 8;

export function planScaling(input: ScalingInput): ScalingStep[] {
  if (input.thresholdPercent === undefined) return nowhereSteps(input);
  const steps = nowhereSteps(input);
  if (steps.length === 0) steps.push(...gapSteps(input, input.thresholdPercent));
  if (steps.length === 0) steps.push(...idleWorkerSteps(input));
  if (steps.length === 0) steps.push(...idleModelSteps(input));
  return steps.slice(0, STEPS_MAX);
}

function nowhereSteps(input: ScalingInput): ScalingStep[] {
  return input.models.flatMap((model) => {
    const isStuck = model.jobs.length > 0 && model.warm.length + model.coming.length === 0;
    if (!isStuck) return [];
    const reason = `${jobsOf(model)} had work, and no worker had ${model.name} loaded`;
    return grow(input, model, 1, reason);
  });
}

/** Has work, and every worker that is there has tried to load it and failed. */
export function isLoadableNowhere(model: ScalingModel, { workers }: ScalingInput): boolean {
  if (model.jobs.length === 0 || model.warm.length + model.coming.length > 0) return false;
  return workers.length > 0 && workers.every(({ name }) => model.failed.includes(name));
}

/** Per unit of weight and second, in thousandths: what the fair queue keeps equal. */
export function rateOf(model: ScalingModel, windowMs: number): number {
  if (model.weight === 0 || windowMs <= 0) return 0;
  return Math.floor((model.items * 1_000_000) / (model.weight * windowMs));
}

/** How far `rate` lies below `best`, in whole percent. */
export function lagPercent(rate: number, best: number): number {
  return best === 0 ? 0 : Math.floor(((best - rate) * 100) / best);
}

/** Can anything be said about the rates of these models yet? */
export function isTelling(models: readonly ScalingModel[], windowMs: number): boolean {
  if (windowMs < WINDOW_MIN_MS) return false;
  const tasks = Math.max(0, ...models.map((model) => model.tasks));
  return windowMs >= WINDOW_FULL_MS || tasks >= TASKS_MIN;
}

function gapSteps(input: ScalingInput, thresholdPercent: number): ScalingStep[] {
  const { windowMs } = input;
  const working = input.models.filter((model) => model.jobs.length > 0);
  if (working.length < 2 || !isTelling(working, windowMs)) return [];
  const rates = new Map(working.map((model) => [model, rateOf(model, windowMs)] as const));
  const byRate = [...working].sort(
    (a, b) => (rates.get(a) ?? 0) - (rates.get(b) ?? 0) || (a.key < b.key ? -1 : 1),
  );
  const fastest = byRate.at(-1);
  if (fastest === undefined) return [];
  const best = rates.get(fastest) ?? 0;
  for (const model of byRate) {
    const rate = rates.get(model) ?? 0;
    const lag = lagPercent(rate, best);
    if (lag <= thresholdPercent) return [];
    if (model.coming.length > 0) continue;
    const count = 2 * rate < best ? Math.max(1, model.warm.length) : 1;
    const reason =
      `${model.name} ran at ${perSecond(rate)} queries/s, ${lag} % below ${fastest.name} at ` +
      `${perSecond(best)} over ${Math.floor(windowMs / 1000)} s; more than ${thresholdPercent} %`;
    const steps = grow(input, model, count, reason);
    if (steps.length > 0) return steps;
  }
  return [];
}

function idleWorkerSteps(input: ScalingInput): ScalingStep[] {
  const idle = input.workers.filter((worker) => worker.idleMs >= IDLE_WORKER_MS);
  for (const model of input.models) {
    if (model.jobs.length === 0 || model.coming.length > 0) continue;
    const free = idle.filter((worker) => !worker.models.includes(model.key));
    if (free.length === 0) continue;
    const reason = `${jobsOf(model)} had work, and ${free.length === 1 ? 'a worker' : 'workers'} none`;
    const count = Math.min(free.length, Math.max(1, model.warm.length));
    const steps = grow({ ...input, workers: free }, model, count, reason, input.workers);
    if (steps.length > 0) return steps;
  }
  return [];
}

function idleModelSteps(input: ScalingInput): ScalingStep[] {
  return input.models.flatMap((model) => {
    const given = [...model.warm, ...model.coming];
    const isLongIdle = !model.isBusy && model.idleMs >= input.idleMinutes * 60_000;
    if (!isLongIdle || given.length <= model.floor) return [];
    const removed = given.sort().slice(model.floor);
    const reason = `no job of ${model.name} for ${input.idleMinutes} min; ${model.floor} workers do`;
    return [{ model, added: [], removed, evicted: [], reason }];
  });
}

/** On `count` more workers, those with the files first, then those with fewest models. */
function grow(
  input: ScalingInput,
  model: ScalingModel,
  count: number,
  reason: string,
  all: readonly ScalingWorker[] = input.workers,
): ScalingStep[] {
  const candidates = input.workers
    .filter((worker) => !worker.models.includes(model.key))
    .sort(
      (a, b) =>
        Number(model.copies.has(b.name)) - Number(model.copies.has(a.name)) ||
        a.models.length - b.models.length ||
        (a.name < b.name ? -1 : 1),
    );
  const added: string[] = [];
  const evicted: (readonly [ScalingModel, string])[] = [];
  for (const worker of candidates) {
    if (added.length >= count) break;
    if (worker.models.length >= input.modelsPerWorker) {
      const victim = victimOn(input, worker);
      if (victim === undefined) continue;
      evicted.push([victim, worker.name]);
    }
    added.push(worker.name);
  }
  if (added.length === 0) return [];
  const has = model.warm.length + model.coming.length;
  const text = `${reason}: from ${has} to ${has + added.length} of ${all.length} workers`;
  return [{ model, added, removed: [], evicted, reason: text }];
}

/** A model without jobs that is warm elsewhere, too; the one that has been idle for longest. */
function victimOn(input: ScalingInput, worker: ScalingWorker): ScalingModel | undefined {
  return input.models
    .filter((each) => worker.models.includes(each.key) && !each.isBusy && each.warm.length > 1)
    .sort((a, b) => b.idleMs - a.idleMs || (a.key < b.key ? -1 : 1))[0];
}

function jobsOf({ jobs }: ScalingModel): string {
  return jobs.length === 1 ? `job ${jobs[0]}` : `jobs ${jobs.join(', ')}`;
}

/** Thousandths as text. */
export function perSecond(rate: number): string {
  return `${Math.floor(rate / 1000)}.${Math.floor((rate % 1000) / 100)}`;
}
