/**
 * Applies the scaling rule (scaling.ts): the leader's duty. Looks once a second while there are
 * unfinished jobs and now and then while there are none, remembers since when things are as they
 * are, and proposes what the rule says. The command records each decision with its reason in the
 * tables: `job explain` finds it there under any leader, and coordinators log it (events.ts).
 *
 * A job whose model every worker has failed to load would wait for ever. After a while in which
 * another worker might have come, it is ended, with what the workers said.
 *
 * In memory are only times: a new leader starts them afresh, so the first window after an election
 * is the rule's usual one over replicated counts.
 */
import { asIdunnoError, type Clock, type Logger, type Ms, type Timer } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { LeaderDuty, LocalStore } from '../store/index.js';
import { ASSIGNMENTS_INDEX, JOBS_INDEX } from './indexes.js';
import { REASON_CHARS_MAX } from './limits.js';
import {
  isLoadableNowhere,
  planScaling,
  type ScalingInput,
  type ScalingModel,
  type ScalingStep,
} from './scaling.js';
import { epochOf, isIdle, readScalingInput } from './scaling-facts.js';
import { isFinal, jobs } from './tables.js';

export interface ScalerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: LocalStore;
}

const LOOK_MS: Ms = 1_000;
const IDLE_LOOK_MS: Ms = 30_000;
const PROPOSE_TIMEOUT_MS: Ms = 5_000;
/** For a node that is down, or a worker that is added, to come and load what all others could not. */
const GIVE_UP_MS: Ms = 60_000;

/** The duty, to be registered on every coordinator. */
export function createScaler(deps: ScalerDeps): LeaderDuty {
  let current: Scaler | undefined;
  deps.local.onChanges((changes) => {
    if (changes.some((change) => change.table.bucket === jobs.bucket)) current?.onJobs();
  });
  return {
    name: 'idunno-scaling',
    lead: (_term, signal) => {
      const scaler = new Scaler(deps, signal);
      current = scaler;
      scaler.start();
    },
  };
}

/** One term's work. */
class Scaler {
  readonly #deps: ScalerDeps;
  readonly #signal: AbortSignal;
  readonly #warm = new Map<string, string>();
  readonly #changedMs = new Map<string, number>();
  readonly #idleMs = new Map<string, number>();
  readonly #idleWorkerMs = new Map<string, number>();
  readonly #nowhereMs = new Map<string, number>();
  #timer: Timer | undefined;
  #isSlow = false;
  #isBusy = false;

  constructor(deps: ScalerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  start(): void {
    this.#signal.addEventListener('abort', () => this.#timer?.cancel());
    this.#arm();
  }

  /** A job has come or changed: look soon. */
  onJobs(): void {
    if (this.#isSlow && !this.#signal.aborted) this.#arm();
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#signal.aborted) return;
    const live = this.#deps.local.view().index(JOBS_INDEX).values();
    this.#isSlow = ![...live].some((job) => !isFinal(job.state));
    const delayMs = this.#isSlow ? IDLE_LOOK_MS : LOOK_MS;
    this.#timer = this.#deps.clock.setTimer(delayMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const input = this.#readInput();
      const steps = planScaling(input);
      if (steps.length > 0) await this.#apply(steps);
      for (const model of this.#hopeless(input)) await this.#giveUp(model);
    } catch (error) {
      const { code, message } = asIdunnoError(error);
      if (!this.#signal.aborted) this.#deps.log.warn('scaling.failed', { code, message });
    }
    this.#isBusy = false;
    this.#arm();
  }

  #readInput(): ScalingInput {
    const view = this.#deps.local.view();
    const nowMs = Math.floor(this.#deps.clock.wall());
    const memory = {
      changedMs: this.#changedMs,
      idleMs: this.#idleMs,
      idleWorkerMs: this.#idleWorkerMs,
    };
    const { models, workers } = readScalingInput(view, nowMs, memory);
    for (const { key, warm, isBusy } of models) {
      const places = warm.join(',');
      const before = this.#warm.get(key);
      if (before !== undefined && before !== places) this.#changedMs.set(key, nowMs);
      this.#warm.set(key, places);
      remember(this.#idleMs, key, !isBusy, nowMs);
    }
    for (const { name } of workers) {
      remember(this.#idleWorkerMs, name, isIdle(view, name), nowMs);
    }
    // What has just been remembered counts already.
    return readScalingInput(view, nowMs, memory);
  }

  /** Models with work that no worker could load for so long that nothing will change by itself. */
  #hopeless(input: ScalingInput): ScalingModel[] {
    const nowMs = Math.floor(this.#deps.clock.wall());
    return input.models.filter((model) => {
      remember(this.#nowhereMs, model.key, isLoadableNowhere(model, input), nowMs);
      return nowMs - (this.#nowhereMs.get(model.key) ?? nowMs) >= GIVE_UP_MS;
    });
  }

  async #giveUp({ key, name, jobs }: ScalingModel): Promise<void> {
    const { local } = this.#deps;
    const [row] = local.view().index(ASSIGNMENTS_INDEX).byModel.get(key)?.values() ?? [];
    const told = row === undefined ? '' : `; ${row.node}: ${row.error ?? 'it did not say why'}`;
    const reason = `no worker could load ${name}${told}`.slice(0, REASON_CHARS_MAX);
    const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
    for (const id of jobs) await local.propose('idunno.job.give-up', [id, reason], options);
  }

  async #apply(steps: readonly ScalingStep[]): Promise<void> {
    const { local } = this.#deps;
    const view = local.view();
    const add: Wire[] = [];
    const remove: Wire[] = [];
    const decisions: Wire[] = [];
    const decide = (model: ScalingStep['model'], plus: string[], minus: string[], why: string) => {
      const { name, revision } = model;
      decisions.push([name, revision, plus, minus, why]);
    };
    for (const { model, added, removed, evicted, reason } of steps) {
      const { name, revision } = model;
      for (const node of added) add.push([name, revision, node, epochOf(view, node)]);
      for (const node of removed) remove.push([name, revision, node]);
      for (const [victim, node] of evicted) {
        remove.push([victim.name, victim.revision, node]);
        decide(victim, [], [node], `made room for ${name}, which has work; it has none`);
      }
      decide(model, [...added], [...removed], reason);
    }
    const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
    await local.propose('idunno.model.assign', [add, remove, decisions], options);
  }
}

/** Since when something holds; forgotten when it does not. */
function remember(since: Map<string, number>, key: string, holds: boolean, nowMs: number): void {
  if (!holds) since.delete(key);
  else if (!since.has(key)) since.set(key, nowMs);
}
