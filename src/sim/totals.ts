/** What many seeds came to, and how that is judged. */
import { createReport, type Report, target } from '../base/index.js';
import { FAULT_KINDS, type FaultCounts, noFaults } from './plan.js';
import type { SeedSummary } from './pool.js';
import { type FoundViolation, OPERATIONS_MIN } from './run.js';

const EVENTS_PER_SECOND_GOAL = 20_000;
const LEADER_CHANGES_GOAL = 3;
const VIRTUAL_MS_GOAL = 60_000;

/** How the same seeds came out when they were run again. */
export interface Repetition {
  readonly seeds: number;
  /** In the process that ran them first, and in one of its own. */
  readonly equalHere: number;
  readonly equalElsewhere: number;
}

export class Totals {
  readonly faults: FaultCounts = noFaults();
  readonly #summaries = new Map<number, SeedSummary>();
  #leaderChanges = 0;
  events = 0;
  #virtualMs = 0;
  #operations = 0;

  add(summary: SeedSummary): void {
    this.#summaries.set(summary.seed, summary);
    for (const kind of FAULT_KINDS) this.faults[kind] += summary.faults[kind];
    this.#leaderChanges += leaderChanges(summary);
    this.events += summary.events;
    this.#virtualMs += summary.virtualMs;
    this.#operations += summary.operations.done;
  }

  get seeds(): number {
    return this.#summaries.size;
  }

  get inOrder(): readonly SeedSummary[] {
    return [...this.#summaries.values()].sort((a, b) => a.seed - b.seed);
  }

  get violations(): readonly FoundViolation[] {
    return this.inOrder.flatMap(({ violation }) => violation ?? []);
  }

  report(eventsPerSecond: number, repetition: Repetition): Report {
    const { seeds, violations } = this;
    // A run that broke a promise ended there: it is judged by that alone.
    const whole = this.inOrder.filter(({ violation }) => violation === undefined);
    const least = (of: (summary: SeedSummary) => number): number => Math.min(...whole.map(of));
    const missing = FAULT_KINDS.filter((kind) => this.faults[kind] === 0);
    const { seeds: repeated, equalHere, equalElsewhere } = repetition;
    const changesMean = this.#leaderChanges / seeds;
    const targets = [
      target('violations', 'count', 'equal', 0, violations.length),
      target('determinism', '% of repeated seeds', 'equal', 100, percent(equalHere, repeated)),
      target(
        'determinism in a fresh process',
        '% of repeated seeds',
        'equal',
        100,
        percent(equalElsewhere, repeated),
      ),
      target('fault kinds that never struck', 'count', 'equal', 0, missing.length),
      target('leader changes', 'mean per seed', 'at-least', LEADER_CHANGES_GOAL, changesMean),
      target(
        'operations',
        'least per seed',
        'at-least',
        OPERATIONS_MIN,
        least((s) => s.operations.done),
      ),
      target(
        'virtual time',
        'ms, least per seed',
        'at-least',
        VIRTUAL_MS_GOAL,
        least((s) => s.virtualMs),
      ),
      target('speed', 'events/s/core', 'at-least', EVENTS_PER_SECOND_GOAL, eventsPerSecond),
    ];
    return createReport('sim', targets, {
      seeds,
      violations: describeViolations(violations),
      leaderChangesMean: changesMean,
      faults: this.faults,
      operations: this.#operations,
      events: this.events,
      eventsPerSecond,
      virtualMs: Math.round(this.#virtualMs),
      seedsRunAgain: repeated,
      traceHash: this.inOrder.reduce((hash, { traceHash }) => chain(hash, traceHash), ''),
    });
  }
}

export function describeViolations(violations: readonly FoundViolation[]): object[] {
  return violations.map(({ seed, invariant, message, atMs }) => ({
    seed,
    invariant,
    message,
    atMs: Math.round(atMs),
    replay: `npm run sim -- --seed ${seed}`,
  }));
}

/** The first leader is no change. */
export function leaderChanges({ elections }: Pick<SeedSummary, 'elections'>): number {
  return Math.max(0, elections - 1);
}

function percent(part: number, whole: number): number {
  return whole === 0 ? Number.NaN : (100 * part) / whole;
}

/** FNV-1a over both texts. Order matters: the traces of a set of seeds, one after another. */
function chain(before: string, next: string): string {
  let hash = 0x811c9dc5;
  for (const character of before + next) {
    hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}
