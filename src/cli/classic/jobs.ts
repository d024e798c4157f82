/**
 * Classic commands about jobs. Where the classic systems named a job by its model, so do these: it
 * is the client's newest job of that model that has not ended; a job's number works everywhere, too.
 */
import { IdunnoError } from '../../base/index.js';
import type { JobInfo, JobSpec } from '../../idunno/index.js';
import { BATCH_SIZE_MAX } from '../contract.js';
import { parseJobId } from '../commands/job-id.js';
import { parseWhole } from '../program.js';
import { inputsOf } from './dataset.js';
import { lastTestData, nextBatchSize, rememberBatchSize } from './memory.js';
import type { ClassicCommand, ClassicState } from './types.js';

const DEFAULT_BATCH = 8;
const BATCH_BOUNDS = { min: 1, max: BATCH_SIZE_MAX };

const infer: ClassicCommand = {
  name: 'infer',
  args: ['model', 'dataset', 'batch_size'],
  summary: 'submit an inference job on an uploaded dataset',
  async run(state, [model = '', dataset = '', batchText = '']) {
    const batchSize = parseWhole('batch_size', batchText, BATCH_BOUNDS);
    const inputs = inputsOf(dataset);
    const job = await submit(state, { model, inputs, batchSize, label: dataset });
    state.out.line('Inference job submitted');
    state.out.note(`job ${job.id}: ${describeQueries(job)} on ${model}`);
  },
};

const addJob: ClassicCommand = {
  name: 'add-job',
  args: ['modelname'],
  summary: 'a job of the model on what populate-test-data put last; start-job starts it',
  async run(state, [model = '']) {
    await requireModel(state, model);
    const prefix = await lastTestData(state);
    if (prefix === undefined) {
      const text = 'there is no test data yet: type populate-test-data DATAPATH first';
      throw new IdunnoError('NO_INPUT', text);
    }
    const batchSize = (await nextBatchSize(state, model)) ?? DEFAULT_BATCH;
    const spec = { model, inputs: { prefix }, batchSize, label: prefix, isPaused: true };
    const job = await submit(state, spec);
    const size = `batch size ${job.batchSize}`;
    state.out.line(`job ${job.id} added: ${describeQueries(job)} on ${model}, ${size}`);
    state.out.note(`start-job ${model} starts it`);
  },
};

function submit(state: ClassicState, spec: JobSpec): Promise<JobInfo> {
  const owned = { ...spec, owner: state.asker.name };
  return state.client.jobSubmit(owned, { signal: state.signal });
}

function describeQueries({ queries }: JobInfo): string {
  return queries === 1 ? '1 query' : `${queries} queries`;
}

/** `set-batch-size`, and C3 of the course. */
export function batchSizeCommand(name: string): ClassicCommand {
  return {
    name,
    args: ['modelname', 'size'],
    summary: 'queries per task, for the open job of the model or the next one',
    async run(state, [model = '', sizeText = '']) {
      const size = parseWhole('size', sizeText, BATCH_BOUNDS);
      const job = newestOf(await jobsNamed(state, model), isOpen);
      if (job === undefined) {
        if (isNumber(model)) throw notOpen(model);
        await requireModel(state, model);
        await rememberBatchSize(state, model, size);
        state.out.line(`the next job of ${model} gets batch size ${size}`);
        return;
      }
      await state.client.jobSetBatchSize(job.id, size, { signal: state.signal });
      if (!isNumber(model)) await rememberBatchSize(state, model, size);
      state.out.line(`job ${job.id} has batch size ${size} now`);
    },
  };
}

const startJob: ClassicCommand = {
  name: 'start-job',
  args: ['modelname'],
  summary: 'start the added job of the model, or go on with the stopped one',
  async run(state, [model = '']) {
    const jobs = await jobsNamed(state, model);
    const paused = newestOf(jobs, (job) => job.state === 'paused');
    const open = paused ?? newestOf(jobs, isOpen);
    if (open === undefined) throw notOpen(model);
    if (paused === undefined) {
      state.out.line(`job ${open.id} is ${open.state} already`);
      return;
    }
    const job = await state.client.jobResume(paused.id, { signal: state.signal });
    state.out.line(`job ${job.id} is ${job.state}`);
  },
};

const stopJob: ClassicCommand = {
  name: 'stop-job',
  args: ['modelname'],
  summary: 'pause the job of the model and take its tasks back; start-job goes on with it',
  async run(state, [model = '']) {
    const jobs = await jobsNamed(state, model);
    const active = newestOf(jobs, (job) => isOpen(job) && job.state !== 'paused');
    const open = active ?? newestOf(jobs, isOpen);
    if (open === undefined) throw notOpen(model);
    if (active === undefined) {
      state.out.line(`job ${open.id} is ${open.state} already`);
      return;
    }
    const job = await state.client.jobPause(active.id, { signal: state.signal });
    state.out.line(`job ${job.id} is ${job.state}`);
  },
};

/** The client's jobs of a model, or the one of a number. Throws JOB_NOT_FOUND for a number. */
async function jobsNamed(state: ClassicState, name: string): Promise<readonly JobInfo[]> {
  if (isNumber(name)) return [await ownJob(state, parseJobId(name))];
  const jobs = await state.client.jobList({ signal: state.signal, ...state.asker.only });
  return jobs.filter((job) => job.model === name);
}

/** Throws JOB_NOT_FOUND, also for a job of another client. */
export async function ownJob(
  { client, asker, signal }: ClassicState,
  id: number,
): Promise<JobInfo> {
  const job = await client.jobInfo(id, { signal });
  asker.assertOwns(job);
  return job;
}

function isNumber(name: string): boolean {
  return /^\d+$/.test(name);
}

function newestOf(
  jobs: readonly JobInfo[],
  matches: (job: JobInfo) => boolean,
): JobInfo | undefined {
  return jobs.filter(matches).reduce<JobInfo | undefined>((best, job) => {
    return best === undefined || job.id > best.id ? job : best;
  }, undefined);
}

function isOpen(job: JobInfo): boolean {
  return job.state === 'queued' || job.state === 'running' || job.state === 'paused';
}

function notOpen(name: string): IdunnoError {
  if (isNumber(name)) {
    return new IdunnoError('JOB_STATE', `job ${name} is over: type job_info to see all jobs`);
  }
  const text = `no job of model "${name}" is open: type job_info to see all jobs, add-job to add one`;
  return new IdunnoError('JOB_NOT_FOUND', text);
}

/** Throws MODEL_NOT_FOUND with what there is. */
async function requireModel({ client, signal }: ClassicState, name: string): Promise<void> {
  const models = await client.modelList({ signal });
  if (models.some((model) => model.name === name)) return;
  const known = models.map((model) => model.name).join(', ');
  const hint = known === '' ? 'type train to deploy the shipped ones' : `there is ${known}`;
  throw new IdunnoError('MODEL_NOT_FOUND', `there is no model "${name}": ${hint}`, { model: name });
}

export const JOB_COMMANDS: readonly ClassicCommand[] = [
  infer,
  addJob,
  batchSizeCommand('set-batch-size'),
  startJob,
  stopJob,
];
