/**
 * The classic course commands, as aliases of what the cluster does today. Tables keep the classic
 * shapes: processes are shown as `name:HH:MM:SS` of their boot, stored files as `name_vN.ext`.
 *
 * Where the classic systems named a job by its model, so do these commands: it is the newest job of
 * that model that has not ended; a job's number works everywhere, too.
 */
import { readdir } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { IdunnoError, isIdunnoError } from '../../base/index.js';
import type { JobInfo, JobSpec } from '../../idunno/index.js';
import type { PutResult, PutSource } from '../../sdfs/index.js';
import type { ApiClient } from '../api-client.js';
import { classicId } from '../commands/member.js';
import { formatDecimal, plural } from '../format.js';
import {
  collectSources,
  type LocalFile,
  localSource,
  readModelFolder,
  writeDownload,
} from '../local-files.js';
import { type Output, renderAsciiTable } from '../output.js';
import { shippedModelsFolder } from '../package-root.js';
import { parseWhole } from '../program.js';
import { writeVersions } from './get-versions.js';

/** What a prompt remembers between lines. */
export interface ShellState {
  readonly client: ApiClient;
  /** The node whose prompt it is. */
  readonly node: string;
  readonly out: Output;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Prefix of what `populate-test-data` put last: the inputs of `add-job`. */
  lastDataset: string | undefined;
  /** Batch sizes set before a job of the model exists. */
  readonly batchSizes: Map<string, number>;
}

export interface ClassicCommand {
  readonly name: string;
  readonly args: readonly string[];
  /** How many of `args` must be given; all where absent. */
  readonly required?: number;
  readonly summary: string;
  run(state: ShellState, args: readonly string[]): Promise<void>;
}

const DEFAULT_BATCH = 8;
/** The models that ship with the package and that `train` makes ready. */
const SHIPPED_MODELS = ['lenet', 'resnet'];

const join: ClassicCommand = {
  name: 'join',
  args: [],
  summary: 'let this node join the group',
  async run(state) {
    await state.client.memberJoin(state.node, { signal: state.signal });
    state.out.line(`${state.node} has joined`);
  },
};

const leave: ClassicCommand = {
  name: 'leave',
  args: [],
  summary: 'let this node leave the group',
  async run(state) {
    await state.client.memberLeave(state.node, { signal: state.signal });
    state.out.line(`${state.node} has left`);
  },
};

const listMem: ClassicCommand = {
  name: 'list_mem',
  args: [],
  summary: 'the membership list of this node',
  async run(state) {
    const members = await state.client.memberList({ node: state.node });
    const there = members.filter(({ state }) => state === 'active' || state === 'suspicious');
    state.out.line(
      renderAsciiTable(
        ['Process IDs'],
        there.map((member) => [classicId(member)]),
      ),
    );
  },
};

const listSelf: ClassicCommand = {
  name: 'list_self',
  args: [],
  summary: 'the id of this node',
  async run(state) {
    state.out.line(classicId(await state.client.memberSelf({ node: state.node })));
  },
};

const put: ClassicCommand = {
  name: 'put',
  args: ['localfilename', 'sdfsfilename'],
  summary: 'put a file; if it exists, this is a new version',
  async run(state, [local = '', name = '']) {
    const files = collectSources([local], name, state.cwd);
    for (const result of await upload(state, files)) {
      const copies = `${result.copies}/${result.wanted} copies`;
      state.out.line(`put ${result.name} v${result.version} (${copies})`);
    }
  },
};

const get: ClassicCommand = {
  name: 'get',
  args: ['sdfsfilename', 'localfilename'],
  summary: 'get the newest version of a file',
  async run(state, [name = '', local = '']) {
    const { file, chunks } = await state.client.fileGet(name, { signal: state.signal });
    const path = await writeDownload(file, chunks, resolve(state.cwd, local), () => {});
    state.out.line(`got ${file.name} v${file.version} as ${path}`);
  },
};

const deleteFile: ClassicCommand = {
  name: 'delete',
  args: ['sdfsfilename'],
  summary: 'delete a file with all its versions',
  async run(state, [name = '']) {
    await state.client.fileDelete(name, { signal: state.signal });
    state.out.line(`deleted ${name}`);
  },
};

const ls: ClassicCommand = {
  name: 'ls',
  args: ['sdfsfilename'],
  summary: 'the processes that store a file',
  async run(state, [name = '']) {
    const file = await state.client.fileStat(name);
    const members = await state.client.memberList();
    const ids = file.holders.map((holder) => {
      const member = members.find((candidate) => candidate.name === holder);
      return [member === undefined ? holder : classicId(member)];
    });
    state.out.line(renderAsciiTable(['Process IDs'], ids));
  },
};

const store: ClassicCommand = {
  name: 'store',
  args: [],
  summary: 'all versions of all files that this node stores',
  async run(state) {
    const files = await state.client.fileStore(state.node);
    const names = files.map((file) => [versionedName(file.name, file.version)]);
    state.out.line(renderAsciiTable(['SDFS File Names'], names));
  },
};

/** `vm1.log` in version 2 → `vm1_v2.log`. */
export function versionedName(name: string, version: number): string {
  const extension = extname(name);
  return `${name.slice(0, name.length - extension.length)}_v${version}${extension}`;
}

const getVersions: ClassicCommand = {
  name: 'get-versions',
  args: ['sdfsfilename', 'num-versions', 'localfilename'],
  summary: 'the newest versions in one local file, marked by delimiters',
  async run(state, [name = '', countText = '', local = '']) {
    const count = parseWhole('num-versions', countText, { min: 1, max: 10_000 });
    const versions = await state.client.fileVersions(name, count);
    const path = resolve(state.cwd, local);
    await writeVersions(state.client, versions, path, state.signal);
    state.out.line(`got ${plural(versions.length, 'version')} of ${name} as ${path}`);
  },
};

/** The classic names of one thing. */
function trainCommand(name: string): ClassicCommand {
  return {
    name,
    args: [],
    summary: `load the shipped models (${SHIPPED_MODELS.join(', ')}) on the workers`,
    async run(state) {
      for (const model of SHIPPED_MODELS) {
        const files = await readModelFolder(model, shippedModelsFolder(), shippedModelsFolder());
        await state.client.modelDeploy(files, {
          signal: state.signal,
          onProgress: (text) => state.out.note(text),
        });
      }
      state.out.line('Models are ready for inference');
    },
  };
}

const populate: ClassicCommand = {
  name: 'populate-test-data',
  args: ['datapath'],
  summary: 'put a local folder as the test data of the next add-job',
  async run(state, [path = '']) {
    const dataset = `${basename(resolve(state.cwd, path))}/`;
    const { length } = await upload(state, collectSources([path], dataset, state.cwd));
    state.lastDataset = dataset;
    state.out.line(`${plural(length, 'file')} of test data stored below ${dataset}`);
  },
};

const uploadData: ClassicCommand = {
  name: 'upload_data',
  args: ['dataset', 'count', 'folder'],
  required: 2,
  summary: 'put local files: lenet.png means lenet.*.png, from here or from a folder',
  async run(state, [dataset = '', countText = '', folder = '.']) {
    const limit = parseWhole('count', countText, { min: 1, max: 1_000_000 });
    const from = resolve(state.cwd, folder);
    const matches = datasetPattern(dataset);
    const entries = await readdir(from).catch(() => {
      throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot read the folder ${from}`);
    });
    const names = entries
      .filter((entry) => matches.test(entry))
      .sort()
      .slice(0, limit);
    if (names.length === 0) {
      throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `no file like ${globOf(dataset)} in ${from}`);
    }
    await upload(
      state,
      collectSources(
        names.map((name) => resolve(from, name)),
        '',
        '/',
      ),
    );
    state.out.line(`dataset uploaded successfully (${plural(names.length, 'file')})`);
  },
};

/** `lenet.png` → the names `lenet.png`, `lenet.7.png`, `lenet_7.png` … */
function datasetPattern(dataset: string): RegExp {
  const [stem, extension] = splitDataset(dataset);
  const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal(stem)}.*${literal(extension)}$`);
}

/** `lenet.png` → `lenet*.png`: what selects an uploaded dataset. */
export function globOf(dataset: string): string {
  const [stem, extension] = splitDataset(dataset);
  return `${stem}*${extension}`;
}

function splitDataset(dataset: string): [string, string] {
  const extension = extname(dataset);
  return [dataset.slice(0, dataset.length - extension.length), extension];
}

async function upload(state: ShellState, files: AsyncIterable<LocalFile>): Promise<PutResult[]> {
  const sources: PutSource[] = [];
  for await (const file of files) sources.push(localSource(file));
  return state.client.filePutMany(sources, { signal: state.signal });
}

const infer: ClassicCommand = {
  name: 'infer',
  args: ['model', 'dataset', 'batch_size'],
  summary: 'submit an inference job on an uploaded dataset',
  async run(state, [model = '', dataset = '', batchText = '']) {
    const batchSize = parseWhole('batch_size', batchText, { min: 1, max: 100_000 });
    const inputs = { glob: globOf(dataset) };
    const job = await submit(state, { model, inputs, batchSize, label: dataset });
    state.out.line(`Inference job submitted (job ${job.id}, ${job.queries} queries)`);
  },
};

const addJob: ClassicCommand = {
  name: 'add-job',
  args: ['modelname'],
  summary: 'a job of the model on what populate-test-data put last',
  async run(state, [model = '']) {
    const prefix = state.lastDataset;
    if (prefix === undefined) {
      throw new IdunnoError('NO_INPUT', 'there is no test data yet: run populate-test-data first');
    }
    const batchSize = state.batchSizes.get(model) ?? DEFAULT_BATCH;
    const job = await submit(state, { model, inputs: { prefix }, batchSize, label: prefix });
    state.out.line(`job ${job.id} added: ${job.queries} queries on ${model}`);
  },
};

function submit(state: ShellState, spec: JobSpec): Promise<JobInfo> {
  return state.client.jobSubmit(spec, { signal: state.signal });
}

const setBatchSize: ClassicCommand = {
  name: 'set-batch-size',
  args: ['modelname', 'size'],
  summary: 'queries per task, for the running job of the model or the next one',
  async run(state, [model = '', sizeText = '']) {
    const size = parseWhole('size', sizeText, { min: 1, max: 100_000 });
    state.batchSizes.set(model, size);
    try {
      const job = await currentJob(state, model);
      await state.client.jobSetBatchSize(job.id, size, { signal: state.signal });
      state.out.line(`job ${job.id} has batch size ${size} now`);
    } catch (error) {
      if (!isIdunnoError(error, 'JOB_NOT_FOUND')) throw error;
      state.out.line(`the next job of ${model} gets batch size ${size}`);
    }
  },
};

const startJob: ClassicCommand = {
  name: 'start-job',
  args: ['modelname'],
  summary: 'resume the job of the model',
  async run(state, [model = '']) {
    const job = await currentJob(state, model);
    const now = job.state === 'paused' ? await state.client.jobResume(job.id) : job;
    state.out.line(`job ${now.id} is ${now.state}`);
  },
};

const stopJob: ClassicCommand = {
  name: 'stop-job',
  args: ['modelname'],
  summary: 'pause the job of the model and take its tasks back',
  async run(state, [model = '']) {
    const job = await currentJob(state, model);
    const now = job.state === 'paused' ? job : await state.client.jobPause(job.id);
    state.out.line(`job ${now.id} is ${now.state}`);
  },
};

/** A job by its number, or the newest of a model that has not ended. Throws JOB_NOT_FOUND. */
async function currentJob(state: ShellState, name: string): Promise<JobInfo> {
  if (/^\d+$/.test(name)) return state.client.jobInfo(Number(name));
  const jobs = await state.client.jobList();
  const open = jobs.filter((job) => job.model === name && isOpen(job));
  const newest = open.reduce<JobInfo | undefined>(
    (best, job) => (best === undefined || job.id > best.id ? job : best),
    undefined,
  );
  if (newest !== undefined) return newest;
  throw new IdunnoError('JOB_NOT_FOUND', `no job of model "${name}" is open`);
}

function isOpen(job: JobInfo): boolean {
  return job.state === 'queued' || job.state === 'running' || job.state === 'paused';
}

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

const jobInfo: ClassicCommand = {
  name: 'job_info',
  args: [],
  summary: 'all jobs',
  async run(state) {
    const rows = (await state.client.jobList()).map((job) => [
      String(job.id),
      job.model,
      STATUS_WORDS[job.state],
      String(job.batchSize),
      job.label,
    ]);
    const head = ['Job ID', 'Job Type', 'Job Status', 'Batch_size', 'Dataset'];
    state.out.line(renderAsciiTable(head, rows));
  },
};

const STATS_HEAD = [
  'Job ID',
  'Count',
  'mean',
  'std',
  '25%',
  '75%',
  '99%',
  '10_sec_rate',
  'total_rate',
  'assigned_nodes',
];

function statsCommand(name: string): ClassicCommand {
  return {
    name,
    args: [],
    summary: 'queries done, seconds per task, queries per second, nodes at work, of each job',
    async run(state) {
      const rows = (await state.client.jobStats()).map((job) => [
        String(job.id),
        String(job.queriesDone),
        ...[job.meanSeconds, job.stdSeconds, job.p25Seconds, job.p75Seconds, job.p99Seconds].map(
          (seconds) => formatDecimal(seconds, 6),
        ),
        formatDecimal(job.itemsPerSecond10, 6),
        formatDecimal(job.itemsPerSecondTotal, 6),
        quotedList(job.assignedNodes),
      ]);
      state.out.line(renderAsciiTable(STATS_HEAD, rows));
    },
  };
}

function quotedList(names: readonly string[]): string {
  return `[${names.map((name) => `'${name}'`).join(', ')}]`;
}

const assignedVms: ClassicCommand = {
  name: 'get-job-assigned-VMs',
  args: [],
  summary: 'the nodes that hold tasks of each job',
  async run(state) {
    const rows = (await state.client.jobStats()).map((job) => [
      String(job.id),
      job.model,
      quotedList(job.assignedNodes),
    ]);
    state.out.line(renderAsciiTable(['Job ID', 'Job Type', 'assigned_nodes'], rows));
  },
};

export const CLASSIC_COMMANDS: readonly ClassicCommand[] = [
  join,
  leave,
  listMem,
  listSelf,
  put,
  get,
  deleteFile,
  ls,
  store,
  getVersions,
  trainCommand('train'),
  trainCommand('train-start'),
  populate,
  uploadData,
  infer,
  addJob,
  setBatchSize,
  startJob,
  stopJob,
  jobInfo,
  statsCommand('job_stats'),
  statsCommand('get-job-stats'),
  assignedVms,
];
