/**
 * Why a job runs as fast as it does: read from the rows of one moment, as sentences and as the
 * figures behind them. Pure.
 */
import type { Ms, NodeId } from '../base/index.js';
import type { ReadView } from '../store/index.js';
import { ASSIGNMENTS_INDEX, modelKey, NODES_INDEX } from './indexes.js';
import { DECISIONS_KEPT_MAX, INLINE_GRANT_BYTES_MAX } from './limits.js';
import {
  isTelling,
  lagPercent,
  perSecond,
  rateOf,
  type ScalingInput,
  type ScalingModel,
} from './scaling.js';
import { factsOf, NO_MEMORY, readScalingInput } from './scaling-facts.js';
import {
  decisions,
  isFinal,
  isRunnable,
  type JobRow,
  NO_TOTALS,
  queriesOf,
  totals,
} from './tables.js';
import type { JobExplanation, ScalingDecision } from './types.js';

/** Of those that are kept. */
const DECISIONS_SHOWN = 20;

export function explainJob(view: ReadView, job: JobRow, nowMs: Ms): JobExplanation {
  const input = readScalingInput(view, nowMs, NO_MEMORY);
  const key = modelKey(job.model, job.revision);
  const model = factsOf(input, key);
  const working = input.models.filter((each) => each.jobs.length > 0);
  const rates = working.map((each) => rateOf(each, input.windowMs));
  const best = Math.max(0, ...rates);
  const gap = rates.length < 2 ? undefined : lagPercent(Math.min(...rates), best) / 100;
  const names = new Set([job.model, ...working.map(({ name }) => name)]);
  const places = placesOf(view, input, key, model);
  return {
    id: job.id,
    model: job.model,
    revision: job.revision,
    state: job.state,
    why: whyOf(view, job, input, model, places),
    ...places,
    rates: working.map((each) => ({
      model: each.name,
      revision: each.revision,
      jobs: each.jobs,
      itemsPerSecond: input.windowMs === 0 ? 0 : (each.items * 1000) / input.windowMs,
      warm: each.warm.length,
    })),
    windowMs: input.windowMs,
    gap,
    threshold: input.thresholdPercent === undefined ? undefined : input.thresholdPercent / 100,
    decisions: newestDecisions(view, names),
  };
}

type Places = Pick<JobExplanation, 'warm' | 'loading' | 'failed' | 'prefetched' | 'absent'>;

function placesOf(
  view: ReadView,
  { workers }: ScalingInput,
  key: string,
  model: ScalingModel | undefined,
): Places {
  const rows = view.index(ASSIGNMENTS_INDEX).byModel.get(key);
  const given = new Set([
    ...(model?.warm ?? []),
    ...(model?.coming ?? []),
    ...(model?.failed ?? []),
  ]);
  const others = workers.map(({ name }) => name).filter((name) => !given.has(name));
  const hasFiles = (name: string): boolean => model?.copies.has(name) === true;
  return {
    warm: asNodes(model?.warm ?? []),
    loading: asNodes(model?.coming ?? []),
    failed: asNodes(model?.failed ?? []).map((node) => ({
      node,
      error: rows?.get(node)?.error ?? 'it did not say why',
    })),
    prefetched: asNodes(others.filter(hasFiles)),
    absent: asNodes(others.filter((name) => !hasFiles(name))),
  };
}

function asNodes(names: readonly string[]): NodeId[] {
  return [...names] as NodeId[];
}

function whyOf(
  view: ReadView,
  job: JobRow,
  input: ScalingInput,
  model: ScalingModel | undefined,
  places: Places,
): string[] {
  if (isFinal(job.state)) {
    const reason = job.reason === '' ? '' : `: ${job.reason}`;
    return [`it is over: ${job.state}${reason}`];
  }
  if (!isRunnable(job.state)) return ['it is paused: nothing of it is leased until it is resumed'];
  const why: string[] = [];
  const count = input.workers.length;
  const { warm, loading, failed, prefetched } = places;
  if (warm.length === 0) {
    why.push(`it waits: no worker has ${job.model} loaded`);
  } else {
    const where = warm.length === count ? 'all' : `${warm.length} of`;
    why.push(`${job.model} is warm on ${where} ${count} workers: ${warm.join(', ')}`);
  }
  if (loading.length > 0) why.push(`${loading.join(', ')} ${verb(loading, 'load')} it now`);
  for (const { node, error } of failed) why.push(`${node} could not load it: ${error}`);
  if (prefetched.length > 0) {
    why.push(`${prefetched.join(', ')} ${verb(prefetched, 'have')} its files and could be added`);
  }
  const left = queriesOf(job) - job.cursor;
  if (job.ready === 0 && left <= 0) {
    why.push(`nothing is left to lease: ${job.leases} of its tasks are being computed`);
  }
  if ((view.get(totals, [0]) ?? NO_TOTALS).inlineBytes >= INLINE_GRANT_BYTES_MAX) {
    why.push('nothing is leased until results have been moved out of the tables into files');
  }
  const rivals = input.models.flatMap((each) => each.jobs).filter((id) => id !== job.id);
  if (rivals.length > 0) {
    why.push(`it shares the workers with job ${rivals.join(', ')}, by weight and query for query`);
  }
  if (model !== undefined) why.push(...describeLag(input, model));
  const down = [...view.index(NODES_INDEX).values()].filter((row) => row.status !== 'up');
  if (down.length > 0) {
    why.push(`no work goes to ${down.map((row) => `${row.name} (${row.status})`).join(', ')}`);
  }
  return why;
}

function verb(nodes: readonly string[], word: 'load' | 'have'): string {
  if (nodes.length > 1) return word;
  return word === 'load' ? 'loads' : 'has';
}

/** How its model compares, and what the rule makes of it. */
function describeLag(input: ScalingInput, model: ScalingModel): string[] {
  const { windowMs, thresholdPercent, workers } = input;
  const working = input.models.filter((each) => each.jobs.length > 0);
  if (working.length < 2 || model.jobs.length === 0) return [];
  const [fastest = model] = [...working].sort((a, b) => rateOf(b, windowMs) - rateOf(a, windowMs));
  const seconds = Math.floor(windowMs / 1000);
  if (!isTelling(working, windowMs)) {
    return [`its rate beside others is not judged yet: too little happened in ${seconds} s`];
  }
  const rate = rateOf(model, windowMs);
  const lag = lagPercent(rate, rateOf(fastest, windowMs));
  const text =
    `over ${seconds} s ${model.name} ran at ${perSecond(rate)} queries/s by weight, ` +
    `${lag} % below the fastest, ${fastest.name}`;
  if (thresholdPercent === undefined) return [`${text}; the scaling rule is off`];
  if (lag <= thresholdPercent)
    return [`${text}: within the ${thresholdPercent} % that are allowed`];
  if (model.warm.length === workers.length) {
    return [`${text}; it is warm everywhere, so the fair queue alone decides`];
  }
  return [`${text}: more than ${thresholdPercent} %, so a worker is added when there is room`];
}

function newestDecisions(view: ReadView, names: ReadonlySet<string>): ScalingDecision[] {
  const count = (view.get(totals, [0]) ?? NO_TOTALS).decisions;
  const found: ScalingDecision[] = [];
  const oldest = Math.max(0, count - DECISIONS_KEPT_MAX);
  for (let number = count - 1; number >= oldest && found.length < DECISIONS_SHOWN; number -= 1) {
    const row = view.get(decisions, [number % DECISIONS_KEPT_MAX]);
    if (row === undefined || !names.has(row.name)) continue;
    const { atMs, name: model, revision, added, removed, reason } = row;
    found.push({
      atMs,
      model,
      revision,
      added: asNodes(added),
      removed: asNodes(removed),
      reason,
    });
  }
  return found;
}
