/**
 * The study behind promise P3: many seeds of crashes at several sizes, a long run with loss, and
 * mixtures of all faults, as one report with targets.
 */
import { createReport, type Ms, type Report, type Target, target } from '../../base/index.js';
import { type ChaosResult, runChaos } from './chaos.js';
import { countFalseDeaths, measureCrashes, type Spread, spreadOf } from './measure.js';

export interface StudyOptions {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly sizes: readonly number[];
  /** Virtual time of the run with loss, at the second-smallest size. */
  readonly lossMs: Ms;
  /** Runs with mixtures of all faults. */
  readonly chaosSeeds: number;
  /** Told of each finished size, for people who wait. */
  onProgress(text: string): void;
}

/** P3: Failed everywhere within 2 s, gone from every list within 3 s. */
const FAILED_GOAL_MS = 2_000;
const DELETED_GOAL_MS = 3_000;
/** Victims of one moment: a single crash, then three neighbours of the ring. */
const ROUNDS = [1, 3] as const;
const LOSS_RATE = 0.05;
const LOSS_SIZE = 50;
/** Mixtures of all faults: lists must be equal again so soon after the last. */
const CHAOS_SIZE = 12;
const CHAOS_STEPS = 120;
const CHAOS_GOAL_MS = 10_000;

interface Row {
  readonly size: number;
  readonly victims: number;
  readonly seeds: number;
  readonly suspectedMs: Spread;
  readonly failedMs: Spread;
  readonly deletedMs: Spread;
}

/** Runs the study. Large clusters get fewer seeds: they cost more and vary less. */
export function runStudy(options: StudyOptions): Report {
  const rows = options.sizes.flatMap((size) => studySize(size, options));
  const falseDeaths = countFalseDeaths(
    { size: LOSS_SIZE, seed: options.firstSeed, lossRate: LOSS_RATE },
    options.lossMs,
  );
  const targets: Target[] = [];
  for (const { size, victims, failedMs, deletedMs } of rows) {
    const what = `N=${size}, ${victims === 1 ? '1 crash' : `${victims} adjacent crashes`}`;
    targets.push(
      target(`Failed everywhere, ${what}`, 'ms', 'at-most', FAILED_GOAL_MS, failedMs.max),
    );
    targets.push(target(`Deleted, ${what}`, 'ms', 'at-most', DELETED_GOAL_MS, deletedMs.max));
  }
  const what = `false deaths, N=${LOSS_SIZE}, ${LOSS_RATE * 100} % loss, ${options.lossMs} virtual ms`;
  targets.push(target(what, 'views', 'equal', 0, falseDeaths));
  const chaos = Array.from({ length: options.chaosSeeds }, (_, i) =>
    runChaos({ size: CHAOS_SIZE, seed: options.firstSeed + i, steps: CHAOS_STEPS }),
  );
  options.onProgress(`mixed faults: ${chaos.length} seeds done`);
  const longestMs = Math.max(...chaos.map((run) => run.convergedMs));
  const mixed = `lists equal after mixed faults, N=${CHAOS_SIZE}, ${chaos.length} seeds`;
  targets.push(target(mixed, 'ms', 'at-most', CHAOS_GOAL_MS, longestMs));
  const faults = sumFaults(chaos);
  return createReport('swim', targets, { firstSeed: options.firstSeed, rows, faults });
}

/** How often each fault struck over all runs. */
function sumFaults(runs: readonly ChaosResult[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const { struck } of runs) {
    for (const [fault, count] of Object.entries(struck)) sum[fault] = (sum[fault] ?? 0) + count;
  }
  return sum;
}

function studySize(size: number, options: StudyOptions): Row[] {
  const seeds = size < 1000 ? options.seeds : Math.max(1, Math.floor(options.seeds / 20));
  const runs = Array.from({ length: seeds }, (_, i) =>
    measureCrashes({ size, seed: options.firstSeed + i }, ROUNDS),
  );
  options.onProgress(`N=${size}: ${seeds} seeds done`);
  return ROUNDS.map((victims, round) => {
    const times = runs.flatMap((run) => run[round] ?? []);
    return {
      size,
      victims,
      seeds,
      suspectedMs: spreadOf(times.map((it) => it.suspectedMs)),
      failedMs: spreadOf(times.map((it) => it.failedMs)),
      deletedMs: spreadOf(times.map((it) => it.deletedMs)),
    };
  });
}

/** The figures behind the targets, for people: p50 / p99 / max in whole milliseconds. */
export function describeRows(report: Report): string {
  const rows = report['rows'] as readonly Row[];
  const faults = Object.entries(report['faults'] as Readonly<Record<string, number>>);
  const struck = faults.map(([fault, count]) => `${fault} ${count}`).join(', ');
  const show = ({ p50, p99, max }: Spread) => [p50, p99, max].map(Math.round).join('/');
  const lines = rows.map(
    (row) =>
      `  N=${row.size}, ${row.victims} at once, ${row.seeds} seeds (p50/p99/max ms): ` +
      `suspected ${show(row.suspectedMs)}, Failed everywhere ${show(row.failedMs)}, ` +
      `Deleted everywhere ${show(row.deletedMs)}`,
  );
  return [...lines, `  faults that struck: ${struck}`].join('\n');
}
