/** docs/evaluation.md and its chart, from one run of the evaluation. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../drills/lib/project-root.js';
import type { Report } from '../../src/base/index.js';
import { type Bar, renderBarChart } from '../../src/image/index.js';
import type { Evaluation, PairSummary } from '../classic.js';
import type { Summary } from '../lib/summary.js';

interface Row {
  readonly measure: string;
  readonly ours: Summary;
  readonly unit: string;
  readonly goal: string;
  readonly published: string;
  /** The figure of the published ones that is compared in the chart. */
  readonly publishedValue?: number;
}

export async function writeEvaluation(evaluation: Evaluation, report: Report): Promise<string[]> {
  const rows = rowsOf(evaluation);
  const page = join(projectRoot(), 'docs/evaluation.md');
  const chart = join(projectRoot(), 'docs/evaluation.png');
  await writeFile(page, describePage(evaluation, rows, report));
  await writeFile(chart, drawChart(rows));
  return [page, chart];
}

function rowsOf(evaluation: Evaluation): Row[] {
  const { secondJobSeconds, resumeSeconds, redoneSeconds, equalGapPercent } = evaluation;
  return [
    {
      measure: 'second job: request to first result',
      ours: secondJobSeconds,
      unit: 's',
      goal: '≤ 1',
      published: '6.28 ± 0.7; best known 3',
      publishedValue: 3,
    },
    {
      measure: 'coordinator fails: to next result',
      ours: resumeSeconds.coordinator,
      unit: 's',
      goal: '≤ 0.5',
      published: '6.79 ± 1.14; best known 3.57',
      publishedValue: 3.57,
    },
    {
      measure: 'worker fails: to next result',
      ours: resumeSeconds.worker,
      unit: 's',
      goal: '≤ 2.5',
      published: '–',
    },
    {
      measure: 'worker fails: its tasks redone',
      ours: redoneSeconds,
      unit: 's',
      goal: '≤ 2.5',
      published: '3.88',
      publishedValue: 3.88,
    },
    {
      measure: 'both fail: to next result',
      ours: resumeSeconds.both,
      unit: 's',
      goal: '–',
      published: '–',
    },
    {
      measure: 'gap between the rates, equal batch sizes',
      ours: equalGapPercent,
      unit: '%',
      goal: '≤ 5',
      published: '5.6',
    },
  ];
}

const PUBLISHED_RATIOS: Readonly<Record<string, string>> = {
  '3/3': '50:50',
  '5/3': '70:30',
  '3/5': '30:70',
  '4/2': '80:20',
};

function describePage(evaluation: Evaluation, rows: readonly Row[], report: Report): string {
  const { trials, lost, duplicated, pairs } = evaluation;
  return `# The classic evaluation, run again

Written by \`npm run bench -- classic\`; run it to have it for your machine. Ten nodes (config/local-10.yaml) as processes of one machine, seven of them coordinators, both shipped models warm on all ten; the two jobs query drawn flowers and drawn digits. Means ± standard deviations over ${trials} trials of each kind; ${evaluation.secondJobSeconds.count} for the second job.

![times beside the best published ones](evaluation.png)

| measure | here | goal | range | published figures of the classic systems |
|---|---|---|---|---|
${rows.map(describeRow).join('\n')}
| results lost / twice, all trials | ${lost} / ${duplicated} | 0 / 0 | | – |

## Two jobs, four pairs of batch sizes

The share is the part of the workers' computing time that the first job got. Fair queueing here goes by queries, not by tasks or machines: whatever the batch sizes, both jobs advance at the same rate, and the costlier model takes the larger share of the workers. The classic ratios count machines, for two models of equal cost: there the larger batch took the larger part.

| batch sizes | share of the workers | rates, queries/s | gap | classic ratio of machines |
|---|---|---|---|---|
${pairs.map(describePair).join('\n')}

## How it was measured

- **Second job**: the first has been running alone for 1.5 s. From the moment at which the client asks for the second to the acceptance of its first result, as the state machine recorded it: storing the input list is part of it.
- **Rates and shares**: from the leader's \`task.done\` lines between the second job's first results and the end of the job that ends first. Gap = (larger − smaller) / larger.
- **Resume**: from \`kill -9\` to the acceptance (\`task.done\`) of the next task whose lease was granted after it. The worker that is killed holds a task and does not lead; the coordinator that is killed is the Raft leader, which works, too. "Redone": until the last task that the dead worker held has been computed by another.
- **Lost, twice**: after each trial every result line is read and counted, and \`job verify\` proves one accepted result for each query.

The published figures are means of five trials on ten virtual machines, with models of about 1.2 s per query; those of this page are from one machine that runs all ten nodes, with models of milliseconds. What they have in common is the protocol's own part: noticing, electing, assigning anew.

Commit ${report.commit}; ${report.machine}.
`;
}

function describeRow({ measure, ours, unit, goal, published }: Row): string {
  const digits = unit === '%' ? 1 : 3;
  const range = `${ours.min.toFixed(digits)} – ${ours.max.toFixed(digits)}`;
  return `| ${measure} | ${plusMinus(ours, digits)} ${unit} | ${goal} | ${range} | ${published} |`;
}

function describePair({ batchSizes, sharePercent, rates, gapPercent }: PairSummary): string {
  const pair = batchSizes.join('/');
  const share = `${sharePercent.mean.toFixed(0)}:${(100 - sharePercent.mean).toFixed(0)}`;
  const each = rates.map((rate) => plusMinus(rate, 0)).join(' and ');
  const classic = PUBLISHED_RATIOS[pair] ?? '–';
  return `| ${pair} | ${share} | ${each} | ${plusMinus(gapPercent, 1)} % | ${classic} |`;
}

function plusMinus({ mean, std }: Summary, digits: number): string {
  return `${mean.toFixed(digits)} ± ${std.toFixed(digits)}`;
}

/** Times only, beside the best published ones. */
function drawChart(rows: readonly Row[]): Uint8Array {
  const timed = rows.filter((row) => row.unit === 's');
  const bars = (pick: (row: Row) => Bar): Bar[] => timed.map(pick);
  return renderBarChart(
    timed.map(({ measure }) => measure),
    [
      {
        label: 'here (mean; the line is one standard deviation)',
        bars: bars(({ ours }) => ({ value: ours.mean, spread: ours.std })),
      },
      {
        label: 'best published figure of the classic systems',
        bars: bars(({ publishedValue }) => ({ value: publishedValue ?? null })),
      },
    ],
    { title: 'seconds, less is better', valueLabel: 'seconds' },
  );
}
