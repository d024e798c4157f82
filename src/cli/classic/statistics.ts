/**
 * Classic tables of jobs, and the five questions of the course, C1 to C5: rates and counts, times
 * of a query, the batch size, the results, and who works on what.
 */
import type { JobInfo, JobStats } from '../../idunno/index.js';
import { describeResult } from '../commands/job.js';
import { parseJobId } from '../commands/job-id.js';
import { formatDecimal } from '../format.js';
import { renderAsciiTable } from '../output.js';
import { batchSizeCommand, ownJob } from './jobs.js';
import type { ClassicCommand, ClassicState } from './types.js';

/** Classic words for a job's state. */
const STATUS_WORDS: Readonly<Record<JobInfo['state'], string>> = {
  queued: 'QUEUED',
  running: 'IN_PROGRESS',
  paused: 'STOPPED',
  succeeded: 'COMPLETED',
  'succeeded-with-errors': 'COMPLETED_WITH_ERRORS',
  failed: 'FAILED',
  cancelled: 'CANCELLED',
};

/** A job that was added and never started is not stopped. */
function statusOf(job: JobInfo): string {
  const isWaiting = job.state === 'paused' && job.startedMs === undefined;
  return isWaiting ? 'ADDED' : STATUS_WORDS[job.state];
}

const jobInfo: ClassicCommand = {
  name: 'job_info',
  args: [],
  summary: 'your jobs: id, type, status, batch size, dataset',
  async run({ client, asker, out, signal }) {
    const rows = (await client.jobList({ signal, ...asker.only })).map((job) => [
      String(job.id),
      job.model,
      statusOf(job),
      String(job.batchSize),
      job.label,
    ]);
    const head = ['Job ID', 'Job Type', 'Job Status', 'Batch_size', 'Dataset'];
    out.line(renderAsciiTable(head, rows));
  },
};

interface StatsColumn {
  readonly title: string;
  readonly value: (job: JobStats) => string;
}

function number(title: string, value: (job: JobStats) => number): StatsColumn {
  return { title, value: (job) => formatDecimal(value(job), 6) };
}

const ID: StatsColumn = { title: 'Job ID', value: (job) => String(job.id) };
const TYPE: StatsColumn = { title: 'Job Type', value: (job) => job.model };
const COUNT: StatsColumn = { title: 'Count', value: (job) => String(job.queriesDone) };
const MEAN = number('mean', (job) => job.meanSeconds);
const STD = number('std', (job) => job.stdSeconds);
const P25 = number('25%', (job) => job.p25Seconds);
const P50 = number('50%', (job) => job.p50Seconds);
const P75 = number('75%', (job) => job.p75Seconds);
const P99 = number('99%', (job) => job.p99Seconds);
const RATE_10 = number('10_sec_rate', (job) => job.itemsPerSecond10);
const RATE_TOTAL = number('total_rate', (job) => job.itemsPerSecondTotal);
const ASSIGNED: StatsColumn = {
  title: 'assigned_nodes',
  value: (job) => `[${job.assignedNodes.map((name) => `'${name}'`).join(', ')}]`,
};

/** One row for each of the client's jobs. */
function statsCommand(
  name: string,
  summary: string,
  columns: readonly StatsColumn[],
): ClassicCommand {
  return {
    name,
    args: [],
    summary,
    async run(state) {
      const rows = await statsOf(state);
      state.out.line(
        renderAsciiTable(
          columns.map(({ title }) => title),
          rows.map((job) => columns.map(({ value }) => value(job))),
        ),
      );
    },
  };
}

function statsOf({ client, asker, signal }: ClassicState): Promise<readonly JobStats[]> {
  return client.jobStats(undefined, { signal, ...asker.only });
}

const ALL = [ID, COUNT, MEAN, STD, P25, P75, P99, RATE_10, RATE_TOTAL, ASSIGNED];
const ALL_SUMMARY =
  'queries done, seconds per task, queries per second, nodes at work, of each job';
const NODES_SUMMARY = 'the nodes that hold tasks of each job';

const c4: ClassicCommand = {
  name: 'C4',
  args: ['job'],
  summary: 'the results of a job so far, in the order of its queries',
  async run(state, [text = '']) {
    const job = await ownJob(state, parseJobId(text));
    for await (const line of state.client.jobResults(job.id, { signal: state.signal })) {
      state.out.line(describeResult(line));
    }
  },
};

export const STATISTICS_COMMANDS: readonly ClassicCommand[] = [
  jobInfo,
  statsCommand('job_stats', ALL_SUMMARY, ALL),
  statsCommand('get-job-stats', ALL_SUMMARY, ALL),
  statsCommand('get-job-assigned-VMs', NODES_SUMMARY, [ID, TYPE, ASSIGNED]),
  statsCommand(
    'C1',
    'queries per second, the last 10 s and in all, and queries done, of each job',
    [ID, TYPE, COUNT, RATE_10, RATE_TOTAL],
  ),
  statsCommand('C2', 'seconds per task: mean, deviation, quartiles, 99th percentile', [
    ID,
    TYPE,
    MEAN,
    STD,
    P25,
    P50,
    P75,
    P99,
  ]),
  batchSizeCommand('C3'),
  c4,
  statsCommand('C5', NODES_SUMMARY, [ID, TYPE, ASSIGNED]),
];
