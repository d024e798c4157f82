/**
 * The study behind promise P3: many seeds of crashes at several sizes, and a long run with loss, as
 * one report with targets.
 */
import { createReport, type Ms, type Report, type Target, target } from '../../base/index.js';
import { countFalseDeaths, measureCrashes, type Spread, spreadOf } from './measure.js';

export interface StudyOptions {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly sizes: readonly number[];
  /** Virtual time of the run with loss, at the second-smallest size. */
  readonly lossMs: Ms;
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
  return createReport('swim', targets, { firstSeed: options.firstSeed, rows });
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

/** The rows as people read them: p50 / p99 / max in whole milliseconds. */
export function describeRows(report: Report): string {
  const rows = report['rows'] as readonly Row[];
  const show = ({ p50, p99, max }: Spread) => [p50, p99, max].map(Math.round).join('/');
  return rows
    .map(
      (row) =>
        `  N=${row.size}, ${row.victims} at once, ${row.seeds} seeds (p50/p99/max ms): ` +
        `suspected ${show(row.suspectedMs)}, Failed everywhere ${show(row.failedMs)}, ` +
        `Deleted everywhere ${show(row.deletedMs)}`,
    )
    .join('\n');
}
