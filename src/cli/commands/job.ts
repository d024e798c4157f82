/** `idunno job …`: batches of queries on a model. */
import { IdunnoError } from '../../base/index.js';
import type { JobExplanation, JobInfo, JobSpec, JobStats, ResultLine } from '../../idunno/index.js';
import type { ApiClient } from '../api-client.js';
import { BATCH_SIZE_MAX } from '../contract.js';
import { formatDecimal, formatDuration, formatTime, plural } from '../format.js';
import { readWhole } from '../local-files.js';
import type { Column } from '../output.js';
import { parseWhole } from '../program.js';
import type { CommandContext, CommandSpec } from '../types.js';
import { assertOwnJob, ID, jobOf, parseJobId } from './job-id.js';
import { TASK_COMMANDS } from './job-tasks.js';

const BATCH_BOUNDS = { min: 1, max: BATCH_SIZE_MAX };
const FINAL_STATES: readonly JobInfo['state'][] = [
  'succeeded',
  'succeeded-with-errors',
  'failed',
  'cancelled',
];

const JOB_COLUMNS: readonly Column<JobInfo>[] = [
  { title: 'id', value: (job) => String(job.id), align: 'right' },
  { title: 'model', value: (job) => job.model },
  { title: 'label', value: (job) => job.label },
  { title: 'state', value: (job) => job.state },
  { title: 'done', value: (job) => `${job.queriesDone}/${job.queries}`, align: 'right' },
  { title: 'failed', value: (job) => String(job.queriesFailed), align: 'right' },
  { title: 'batch', value: (job) => String(job.batchSize), align: 'right' },
  { title: 'created', value: (job) => formatTime(job.createdMs) },
  { title: 'took', value: (job) => tookOf(job), align: 'right' },
  { title: 'revision', value: (job) => String(job.revision), wide: true },
  { title: 'weight', value: (job) => String(job.weight), wide: true },
  { title: 'repeat', value: (job) => String(job.repeat), wide: true },
  { title: 'owner', value: (job) => job.owner, wide: true },
  { title: 'tasks', value: (job) => `${job.tasksDone}+${job.tasksWaiting}`, wide: true },
];

function tookOf(job: JobInfo): string {
  if (job.startedMs === undefined || job.finishedMs === undefined) return '-';
  return formatDuration(job.finishedMs - job.startedMs);
}

const submit: CommandSpec = {
  noun: 'job',
  verb: 'submit',
  summary: 'query a model on files of the cluster',
  details: `Exactly one of --prefix, --glob, --names and --list selects the inputs; each is pinned at
its newest version now. --wait shows progress and answers when the job has ended.
  idunno job submit lenet --glob 'lenet*.png' --batch-size 8 --wait`,
  args: [{ name: 'model', help: 'a deployed model' }],
  options: [
    { flags: '--prefix <text>', help: 'all files whose names start with it' },
    { flags: '--glob <pattern>', help: 'all files whose names match, e.g. digits/*.png' },
    { flags: '--names <list>', help: 'these files, separated by commas' },
    { flags: '--list <file>', help: 'files named in a local file, one per line' },
    { flags: '--batch, --batch-size <n>', help: 'queries per task', default: '8' },
    { flags: '--weight <w>', help: 'share among running jobs (default 1)' },
    { flags: '--repeat <n>', help: 'query each input so often' },
    { flags: '--label <text>', help: 'what to call it' },
    { flags: '--owner <text>', help: 'whose it is (default: --client, else $USER, else cli)' },
    { flags: '--max-failed <n>', help: 'fail the job after so many failed items' },
    { flags: '--paused', help: 'do not begin before job resume' },
    { flags: '--wait', help: 'wait until it has ended' },
  ],
  async run(context) {
    const spec = await specOf(context);
    const client = await context.client();
    const job = await client.jobSubmit(spec, { signal: context.signal });
    if (!context.flag('wait')) {
      const sentence = `job ${job.id} submitted: ${plural(job.queries, 'query')} on ${job.model}`;
      context.out.done(sentence, 'job', job);
      return;
    }
    await finishWaiting(context, await waitForJob(context, client, job));
  },
};

async function specOf(context: CommandContext): Promise<JobSpec> {
  const batchSize = context.numberOption('batchSize', BATCH_BOUNDS) ?? 8;
  const repeat = context.numberOption('repeat', { min: 1, max: 1_000_000 });
  const maxFailedItems = context.numberOption('maxFailed', { min: 0, max: 1_000_000_000 });
  const weight = context.option('weight');
  const label = context.option('label');
  const owner = context.option('owner') ?? context.asker.name;
  if (weight !== undefined && !(Number(weight) > 0)) {
    throw new IdunnoError('USAGE', `--weight takes a number above 0, not "${weight}"`);
  }
  return {
    model: context.arg('model'),
    inputs: await inputsOf(context),
    batchSize,
    ...(weight === undefined ? {} : { weight: Number(weight) }),
    ...(repeat === undefined ? {} : { repeat }),
    ...(maxFailedItems === undefined ? {} : { maxFailedItems }),
    ...(label === undefined ? {} : { label }),
    ...(context.flag('paused') ? { isPaused: true } : {}),
    owner,
  };
}

async function inputsOf(context: CommandContext): Promise<JobSpec['inputs']> {
  const given = ['prefix', 'glob', 'names', 'list'].filter(
    (name) => context.option(name) !== undefined,
  );
  if (given.length !== 1) {
    throw new IdunnoError(
      'USAGE',
      `say which files: exactly one of --prefix, --glob, --names, --list (${given.length} given)`,
    );
  }
  const prefix = context.option('prefix');
  if (prefix !== undefined) return { prefix };
  const glob = context.option('glob');
  if (glob !== undefined) return { glob };
  const names = context.option('names');
  if (names !== undefined) return { names: names.split(',').filter((name) => name !== '') };
  const text = new TextDecoder().decode(await readWhole(context.option('list') ?? ''));
  return {
    names: text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== ''),
  };
}

/** Polls until the job has ended. The last answer. */
async function waitForJob(
  context: CommandContext,
  client: ApiClient,
  submitted: JobInfo,
): Promise<JobInfo> {
  const progress = context.out.progress(submitted.queries, `job ${submitted.id}`);
  try {
    for (let job = submitted; ; ) {
      progress.update(job.queriesDone, job.state);
      if (FINAL_STATES.includes(job.state)) return job;
      await context.pause(POLL_MS);
      job = await client.jobInfo(submitted.id, { signal: context.signal });
    }
  } finally {
    progress.stop();
  }
}

const POLL_MS = 250;

async function finishWaiting(context: CommandContext, job: JobInfo): Promise<void> {
  const sentence = `job ${job.id} ${job.state}: ${job.queriesDone}/${job.queries} done, ${job.queriesFailed} failed, took ${tookOf(job)}`;
  context.out.done(sentence, 'job', job);
  if (job.state === 'succeeded-with-errors') {
    throw new IdunnoError('PARTLY_DONE', `job ${job.id} has ${job.queriesFailed} failed queries`);
  }
  if (job.state !== 'succeeded') {
    throw new IdunnoError('JOB_STATE', `job ${job.id} ended as ${job.state}`);
  }
}

const wait: CommandSpec = {
  noun: 'job',
  verb: 'wait',
  summary: 'wait until a job has ended',
  args: [ID],
  async run(context) {
    const { client, id } = await jobOf(context);
    const job = await client.jobInfo(id);
    await finishWaiting(context, await waitForJob(context, client, job));
  },
};

const ALL_OPTION = { flags: '--all', help: 'of all clients, whoever asks' };

function whoseJobs(context: CommandContext): { owner?: string } {
  return context.flag('all') ? {} : context.asker.only;
}

const ls: CommandSpec = {
  noun: 'job',
  verb: 'ls',
  summary: 'the jobs: of --client, or all',
  options: [ALL_OPTION],
  async run(context) {
    const jobs = await (await context.client()).jobList(whoseJobs(context));
    context.out.list('jobs', jobs, JOB_COLUMNS);
  },
};

const show: CommandSpec = {
  noun: 'job',
  verb: 'show',
  summary: 'one job',
  args: [ID],
  async run(context) {
    const { client, id } = await jobOf(context);
    const job = await client.jobInfo(id);
    const columns = JOB_COLUMNS.map(({ title, value }) => ({ title, value }));
    context.out.item('job', job, columns);
  },
};

const seconds = (value: number): string => formatDecimal(value, 3);

const STATS_COLUMNS: readonly Column<JobStats>[] = [
  { title: 'id', value: (job) => String(job.id), align: 'right' },
  { title: 'model', value: (job) => job.model },
  { title: 'state', value: (job) => job.state },
  { title: 'queries', value: (job) => String(job.queriesDone), align: 'right' },
  { title: 'tasks', value: (job) => String(job.tasksDone), align: 'right' },
  { title: '10s items/s', value: (job) => formatDecimal(job.itemsPerSecond10, 2), align: 'right' },
  { title: 'items/s', value: (job) => formatDecimal(job.itemsPerSecondTotal, 2), align: 'right' },
  { title: 'mean s', value: (job) => seconds(job.meanSeconds), align: 'right' },
  { title: 'std', value: (job) => seconds(job.stdSeconds), align: 'right' },
  { title: '50%', value: (job) => seconds(job.p50Seconds), align: 'right' },
  { title: '99%', value: (job) => seconds(job.p99Seconds), align: 'right' },
  { title: '25%', value: (job) => seconds(job.p25Seconds), align: 'right', wide: true },
  { title: '75%', value: (job) => seconds(job.p75Seconds), align: 'right', wide: true },
  { title: 'assigned', value: (job) => job.assignedNodes.join(',') || '-' },
  { title: 'warm', value: (job) => job.warmNodes.join(',') || '-', wide: true },
];

const stats: CommandSpec = {
  noun: 'job',
  verb: 'stats',
  summary: 'rates and processing times; times are per task, in seconds',
  args: [{ ...ID, optional: true }],
  options: [ALL_OPTION],
  async run(context) {
    const text = context.optionalArg('id');
    const id = text === undefined ? undefined : parseJobId(text);
    const client = await context.client();
    if (id !== undefined) await assertOwnJob(context, client, id);
    const stats = await client.jobStats(id, whoseJobs(context));
    context.out.list('jobStats', stats, STATS_COLUMNS);
  },
};

const fairness: CommandSpec = {
  noun: 'job',
  verb: 'fairness',
  summary: 'rates of running jobs side by side, and the gap between them',
  async run(context) {
    const found = await (await context.client()).jobFairness();
    if (context.out.format === 'json') return context.out.item('fairness', found, []);
    context.out.list('jobs', found.jobs, [
      { title: 'id', value: (job) => String(job.id), align: 'right' },
      { title: 'items/s', value: (job) => formatDecimal(job.itemsPerSecond, 2), align: 'right' },
      { title: 'tasks', value: (job) => String(job.tasksInWindow), align: 'right' },
    ]);
    const gap = found.gap === undefined ? 'none: fewer than two jobs run' : percent(found.gap);
    context.out.line(`gap: ${gap} over the last ${formatDuration(found.windowMs)}`);
  },
};

const explain: CommandSpec = {
  noun: 'job',
  verb: 'explain',
  summary: 'why it runs as fast as it does: where its model is loaded, rates, scaling decisions',
  args: [ID],
  async run(context) {
    const { client, id } = await jobOf(context);
    const found = await client.jobExplain(id);
    if (context.out.format === 'json') return context.out.item('explanation', found, []);
    context.out.line(`job ${found.id} on ${found.model} r${found.revision}: ${found.state}`);
    for (const sentence of found.why) context.out.line(`  ${sentence}`);
    showRates(context, found);
    if (found.decisions.length === 0) return;
    context.out.line('where models were loaded, newest first:');
    for (const { atMs, model, added, removed, reason } of found.decisions) {
      const change = [...added.map((name) => `+${name}`), ...removed.map((name) => `-${name}`)];
      context.out.line(`  ${formatTime(atMs)}  ${model} ${change.join(' ')}: ${reason}`);
    }
  },
};

function showRates(context: CommandContext, found: JobExplanation): void {
  if (found.rates.length === 0) return;
  context.out.list('rates', found.rates, [
    { title: 'model', value: (row) => row.model },
    { title: 'jobs', value: (row) => row.jobs.join(',') },
    { title: 'items/s', value: (row) => formatDecimal(row.itemsPerSecond, 2), align: 'right' },
    { title: 'warm on', value: (row) => String(row.warm), align: 'right' },
  ]);
  const gap = found.gap === undefined ? 'none: fewer than two models work' : percent(found.gap);
  const limit = found.threshold === undefined ? 'the rule is off' : percent(found.threshold);
  const window = formatDuration(found.windowMs);
  context.out.line(`gap: ${gap} over the last ${window}; a worker is added above: ${limit}`);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** pause, resume and cancel differ in the word, the call and the question. */
function changeCommand(
  verb: string,
  done: string,
  summary: string,
  change: (client: ApiClient, id: number) => Promise<JobInfo>,
  question?: (id: number) => string,
): CommandSpec {
  return {
    noun: 'job',
    verb,
    summary,
    args: [ID],
    async run(context) {
      const { client, id } = await jobOf(context);
      if (question !== undefined) await context.confirm(question(id));
      const job = await change(client, id);
      context.out.done(`job ${job.id} ${done}: ${job.state}`, 'job', job);
    },
  };
}

const pause = changeCommand('pause', 'paused', 'stop handing out its tasks', (client, id) =>
  client.jobPause(id),
);
const resume = changeCommand('resume', 'resumed', 'hand out its tasks again', (client, id) =>
  client.jobResume(id),
);
const cancel = changeCommand(
  'cancel',
  'cancelled',
  'end it for good; results so far stay',
  (client, id) => client.jobCancel(id),
  (id) => `Cancel job ${id} for good?`,
);

const setBatchSize: CommandSpec = {
  noun: 'job',
  verb: 'set-batch-size',
  summary: 'queries per task, from the next task on',
  args: [ID, { name: 'size', help: 'queries per task' }],
  async run(context) {
    const size = parseWhole('the batch size', context.arg('size'), BATCH_BOUNDS);
    const { client, id } = await jobOf(context);
    const job = await client.jobSetBatchSize(id, size);
    context.out.done(`job ${job.id} has batch size ${job.batchSize} now`, 'job', job);
  },
};

const results: CommandSpec = {
  noun: 'job',
  verb: 'results',
  summary: 'all accepted results in query order; -o json writes JSON lines',
  args: [ID],
  async run(context) {
    const { client, id } = await jobOf(context);
    for await (const line of client.jobResults(id, { signal: context.signal })) {
      if (context.out.format === 'json') context.out.jsonLine(line);
      else context.out.line(describeResult(line));
    }
  },
};

/** `12  digits/7.png v1  7 0.998  1 0.001` */
export function describeResult(line: ResultLine): string {
  const head = `${line.item}${line.repetition > 0 ? `.${line.repetition}` : ''}`;
  return `${head.padEnd(8)}${line.input} v${line.version}  ${outcomeOf(line)}`;
}

function outcomeOf(line: ResultLine): string {
  if (line.error !== undefined) return `error: ${line.error}`;
  if (line.top === undefined) return JSON.stringify(line.output ?? null);
  return line.top.map(({ label, score }) => `${label} ${score.toFixed(3)}`).join('  ');
}

const verify: CommandSpec = {
  noun: 'job',
  verb: 'verify',
  summary: 'prove that each query has exactly one accepted result',
  args: [ID],
  async run(context) {
    const { client, id } = await jobOf(context);
    const found = await client.jobVerify(id, { signal: context.signal });
    context.out.item('verify', found, [
      { title: 'job', value: (row) => String(row.id) },
      { title: 'verdict', value: (row) => (row.ok ? 'ok' : 'NOT OK') },
      { title: 'queries', value: (row) => String(row.queries) },
      { title: 'accepted', value: (row) => String(row.accepted) },
      { title: 'missing', value: (row) => String(row.missing) },
      { title: 'duplicated', value: (row) => String(row.duplicated) },
      { title: 'failed items', value: (row) => String(row.failedItems) },
      { title: 'hashes checked', value: (row) => String(row.hashesChecked) },
      { title: 'problems', value: (row) => row.problems.join('; ') || 'none' },
    ]);
    if (!found.ok) {
      throw new IdunnoError('CORRUPT', `job ${found.id} is not proved: ${found.problems[0] ?? ''}`);
    }
  },
};

export const JOB_COMMANDS: readonly CommandSpec[] = [
  submit,
  wait,
  ls,
  show,
  stats,
  fairness,
  explain,
  pause,
  resume,
  cancel,
  setBatchSize,
  ...TASK_COMMANDS,
  results,
  verify,
];
