/**
 * The evaluation that the classic course systems were judged by, on ten processes of this machine:
 * time for a second job to begin, shares and rates of two jobs for four pairs of batch sizes, time
 * to resume after a worker's, the coordinator's and both failures. Each figure is a mean over five
 * trials or more, taken from the nodes' logs and from the results; every trial's results are
 * counted. Writes docs/evaluation.md and docs/evaluation.png.
 */
import { createReport, type Report, target } from '../src/base/index.js';
import { type BatchSizes, type RateTrial, rateTrial } from './classic/rates.js';
import { type Failure, type ResumeTrial, resumeTrial } from './classic/resume.js';
import { Stage } from './classic/stage.js';
import { writeEvaluation } from './classic/document.js';
import { type Summary, summarize } from './lib/summary.js';
import type { BenchOptions } from './main.js';

export const BATCH_SIZES: readonly BatchSizes[] = [
  [3, 3],
  [5, 3],
  [3, 5],
  [4, 2],
];
const FAILURES: readonly Failure[] = ['worker', 'coordinator', 'both'];
const TRIALS_DEFAULT = 5;

/** Seconds and percent, as the published tables have them. */
export interface Evaluation {
  readonly trials: number;
  readonly secondJobSeconds: Summary;
  readonly pairs: readonly PairSummary[];
  readonly equalGapPercent: Summary;
  readonly resumeSeconds: Readonly<Record<Failure, Summary>>;
  readonly redoneSeconds: Summary;
  readonly lost: number;
  readonly duplicated: number;
}

export interface PairSummary {
  readonly batchSizes: BatchSizes;
  readonly sharePercent: Summary;
  readonly rates: readonly [Summary, Summary];
  readonly gapPercent: Summary;
}

export async function classic({ rounds, say }: BenchOptions): Promise<Report> {
  const trials = rounds ?? TRIALS_DEFAULT;
  const stage = await Stage.open(say);
  const rates: RateTrial[] = [];
  const resumes: ResumeTrial[] = [];
  try {
    for (const pair of BATCH_SIZES) {
      for (let i = 0; i < trials; i += 1) {
        const trial = await rateTrial(stage, pair);
        rates.push(trial);
        say(describeRates(trial, `${i + 1}/${trials}`));
      }
    }
    for (const failure of FAILURES) {
      for (let i = 0; i < trials; i += 1) {
        const trial = await resumeTrial(stage, failure);
        resumes.push(trial);
        say(describeResume(trial, `${i + 1}/${trials}`));
      }
    }
  } finally {
    await stage.close();
  }
  const evaluation = evaluate(trials, rates, resumes);
  const report = verdict(evaluation, rates, resumes);
  const files = await writeEvaluation(evaluation, report);
  for (const path of files) say(`wrote ${path}`);
  return { ...report, files };
}

function evaluate(
  trials: number,
  rates: readonly RateTrial[],
  resumes: readonly ResumeTrial[],
): Evaluation {
  const verdicts = [...rates, ...resumes].flatMap((trial) => trial.verdicts);
  const pairs = BATCH_SIZES.map((pair) => summarizePair(pair, rates));
  const resumeOf = (failure: Failure): Summary =>
    summarize(resumes.filter((t) => t.failure === failure).map((t) => t.resumeMs / 1000));
  const equal = rates.filter(({ batchSizes: [a, b] }) => a === b);
  return {
    trials,
    secondJobSeconds: summarize(rates.map((trial) => trial.secondJobMs / 1000)),
    pairs,
    equalGapPercent: summarize(equal.map((trial) => 100 * trial.gap)),
    resumeSeconds: {
      worker: resumeOf('worker'),
      coordinator: resumeOf('coordinator'),
      both: resumeOf('both'),
    },
    redoneSeconds: summarize(
      resumes.flatMap(({ redoneMs }) => (redoneMs === undefined ? [] : [redoneMs / 1000])),
    ),
    lost: verdicts.reduce((sum, { missing }) => sum + missing, 0),
    duplicated: verdicts.reduce((sum, { duplicated }) => sum + duplicated, 0),
  };
}

function summarizePair(pair: BatchSizes, rates: readonly RateTrial[]): PairSummary {
  const trials = rates.filter(({ batchSizes: [a, b] }) => a === pair[0] && b === pair[1]);
  return {
    batchSizes: pair,
    sharePercent: summarize(trials.map((trial) => trial.shares[0])),
    rates: [
      summarize(trials.map((trial) => trial.rates[0])),
      summarize(trials.map((trial) => trial.rates[1])),
    ],
    gapPercent: summarize(trials.map((trial) => 100 * trial.gap)),
  };
}

function verdict(
  evaluation: Evaluation,
  rates: readonly RateTrial[],
  resumes: readonly ResumeTrial[],
): Report {
  const { secondJobSeconds, equalGapPercent, resumeSeconds, redoneSeconds } = evaluation;
  const targets = [
    target('secondJob.mean', 's', 'at-most', 1, secondJobSeconds.mean),
    target('resume.coordinator.mean', 's', 'at-most', 0.5, resumeSeconds.coordinator.mean),
    target('resume.worker.mean', 's', 'at-most', 2.5, resumeSeconds.worker.mean),
    target('redone.worker.mean', 's', 'at-most', 2.5, redoneSeconds.mean),
    target('rateGap.equal.mean', '%', 'at-most', 5, equalGapPercent.mean),
    target('lost', 'results', 'equal', 0, evaluation.lost),
    target('duplicated', 'results', 'equal', 0, evaluation.duplicated),
  ];
  const problems = [...rates, ...resumes].flatMap(({ verdicts }) =>
    verdicts.flatMap((each) => each.problems),
  );
  return createReport('classic', targets, { evaluation, rates, resumes }, problems);
}

function describeRates({ batchSizes, secondJobMs, rates, gap, shares }: RateTrial, at: string) {
  const pair = batchSizes.join('/');
  const each = rates.map((rate) => rate.toFixed(0)).join(' and ');
  return (
    `batch sizes ${pair}, trial ${at}: second job after ${secondJobMs} ms, ${each} queries/s, ` +
    `gap ${(100 * gap).toFixed(1)} %, share of the first ${shares[0].toFixed(0)} %`
  );
}

function describeResume({ failure, killed, resumeMs, redoneMs }: ResumeTrial, at: string): string {
  const redone = redoneMs === undefined ? '' : `, its tasks redone after ${redoneMs} ms`;
  return `${failure} fails, trial ${at}: killed ${killed.join(' and ')}, next result after ${resumeMs} ms${redone}`;
}
