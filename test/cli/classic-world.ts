/**
 * A cluster of a few maps behind the client's methods: what the classic commands change can be
 * compared before and after. Nothing here decides what a real node would not decide the same way.
 */
import { createHash } from 'node:crypto';
import { IdunnoError, nodeId } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/api-client.js';
import type { JobInfo, JobStats } from '../../src/idunno/index.js';
import type { FileVersion, PutResult } from '../../src/sdfs/index.js';
import type { Member } from '../../src/swim/index.js';
import { memberOf, type Ran, runCli } from './support.js';

export function versionOf(name: string, version: number, text: string): FileVersion {
  return {
    name,
    version,
    bytes: text.length,
    sha256: createHash('sha256').update(text).digest('hex'),
    createdMs: 0,
    holders: [nodeId('n1'), nodeId('n2')],
  };
}

export function jobOf(part: Partial<JobInfo>): JobInfo {
  return {
    id: 0,
    model: 'lenet',
    revision: 1,
    state: 'running',
    owner: '',
    label: 'lenet.png',
    batchSize: 2,
    weight: 1,
    repeat: 1,
    items: 10,
    queries: 10,
    queriesDone: 0,
    queriesFailed: 0,
    tasksDone: 0,
    tasksWaiting: 0,
    createdMs: 0,
    startedMs: undefined,
    firstResultMs: undefined,
    finishedMs: undefined,
    ...part,
  };
}

export function statsOf(part: Partial<JobStats>): JobStats {
  return {
    id: 0,
    model: 'lenet',
    state: 'running',
    queriesDone: 10,
    tasksDone: 5,
    itemsPerSecond10: 0,
    tasksPerSecond10: 0,
    itemsPerSecondTotal: 0.489572,
    tasksPerSecondTotal: 0.2,
    meanSeconds: 3.752005,
    stdSeconds: 4.811626,
    p25Seconds: 1.182343,
    p50Seconds: 1.5,
    p75Seconds: 1.812465,
    p99Seconds: 13.40399,
    assignedNodes: [],
    warmNodes: [],
    ...part,
  };
}

export class ClassicWorld {
  readonly settings = new Map<string, string>();
  readonly files = new Map<string, string[]>();
  readonly jobs: JobInfo[] = [];
  readonly models = new Set(['lenet', 'resnet']);
  members: Member[] = [memberOf('n1'), memberOf('n2')];
  hasLeader = true;

  /** Everything that a command could change. */
  snapshot(): string {
    const { settings, files, jobs, models, members } = this;
    return JSON.stringify([[...settings], [...files], jobs, [...models], members]);
  }

  run(argv: readonly string[], options: { cwd?: string; stdin?: string } = {}): Promise<Ran> {
    return runCli(argv, { ...options, client: this.client(), env: { USER: 'ann' } });
  }

  /** Lines at the prompt of n1. */
  shell(lines: readonly string[], cwd = '/', options: readonly string[] = []): Promise<Ran> {
    const argv = ['shell', '--node', 'n1', '--timeout', '0.2', ...options];
    return this.run(argv, { stdin: `${lines.join('\n')}\n`, cwd });
  }

  client(): Partial<ApiClient> {
    return { ...this.#members(), ...this.#settings(), ...this.#files(), ...this.#jobs() };
  }

  #members(): Partial<ApiClient> {
    const set = (name: string, state: Member['state']): void => {
      this.members = this.members.map((each) => (each.name === name ? { ...each, state } : each));
    };
    return {
      status: async () => ({
        cluster: 'test',
        node: 'n1',
        version: '1',
        leader: this.hasLeader ? 'n1' : undefined,
        term: 1,
        ready: this.hasLeader,
        nodes: this.members.map((member) => ({
          ...member,
          isCoordinator: true,
          isLeader: this.hasLeader && member.name === 'n1',
          status: 'up',
        })),
      }),
      memberSelf: async () => this.members[0] ?? memberOf('n1'),
      memberList: async () => this.members,
      memberJoin: async (name) => set(name, 'active'),
      memberLeave: async (name) => set(name, 'left'),
    };
  }

  #settings(): Partial<ApiClient> {
    return {
      settingsGet: async (key) => this.settings.get(key),
      settingsPut: async (key, value) => this.settings.set(key, value).size,
    };
  }

  #files(): Partial<ApiClient> {
    const versionsOf = (name: string): FileVersion[] => {
      const texts = this.files.get(name);
      if (texts === undefined)
        throw new IdunnoError('FILE_NOT_FOUND', `there is no file "${name}"`);
      return texts.map((text, at) => versionOf(name, at + 1, text)).reverse();
    };
    return {
      filePutMany: async (files) => {
        const results: PutResult[] = [];
        for await (const file of files) {
          let text = '';
          if ('open' in file) for await (const chunk of file.open()) text += Buffer.from(chunk);
          const texts = [...(this.files.get(file.name) ?? []), text];
          this.files.set(file.name, texts);
          results.push({ ...versionOf(file.name, texts.length, text), copies: 2, wanted: 2 });
        }
        return results;
      },
      fileGet: async (name, { version } = {}) => {
        const all = versionsOf(name);
        const file = all.find((each) => each.version === (version ?? all.length));
        if (file === undefined) throw new IdunnoError('VERSION_NOT_FOUND', 'no such version');
        const text = this.files.get(name)?.[file.version - 1] ?? '';
        return { file, chunks: chunksOf(text) };
      },
      fileStat: async (name) => versionsOf(name)[0] ?? versionOf(name, 1, ''),
      fileVersions: async (name, count) => versionsOf(name).slice(0, count),
      fileDelete: async (name) => {
        versionsOf(name);
        this.files.delete(name);
      },
      fileStore: async () => [...this.files.keys()].flatMap((name) => versionsOf(name).reverse()),
    };
  }

  #jobs(): Partial<ApiClient> {
    const find = (id: number): JobInfo => {
      const job = this.jobs.find((each) => each.id === id);
      if (job === undefined) throw new IdunnoError('JOB_NOT_FOUND', `there is no job ${id}`);
      return job;
    };
    const change = (id: number, part: Partial<JobInfo>): JobInfo => {
      const job = { ...find(id), ...part };
      this.jobs[this.jobs.findIndex((each) => each.id === id)] = job;
      return job;
    };
    const isOf = (owner: string | undefined) => (job: JobInfo) =>
      owner === undefined || job.owner === owner;
    return {
      modelList: async () =>
        [...this.models].map((name) => ({
          name,
          revision: 1,
          state: 'Deployed',
          description: '',
          workers: [],
          others: [],
          files: [],
        })),
      jobSubmit: async ({ model, batchSize, owner = '', label = '', isPaused, inputs }) => {
        if (!this.models.has(model)) {
          throw new IdunnoError('MODEL_NOT_FOUND', `there is no model "${model}"`);
        }
        const prefix = 'prefix' in inputs ? inputs.prefix : 'lenet';
        const items = [...this.files.keys()].filter((name) => name.startsWith(prefix)).length;
        if (items === 0) throw new IdunnoError('NO_INPUT', `no file matches ${label}`);
        const state = isPaused === true ? 'paused' : 'queued';
        const id = this.jobs.length + 1;
        const job = jobOf({ id, model, batchSize, owner, label, items, queries: items, state });
        this.jobs.push(job);
        return job;
      },
      jobList: async ({ owner } = {}) => this.jobs.filter(isOf(owner)),
      jobInfo: async (id) => find(id),
      jobStats: async (_id, { owner } = {}) =>
        this.jobs
          .filter(isOf(owner))
          .map(({ id, model, state }) =>
            statsOf({ id, model, state, assignedNodes: [nodeId('n1'), nodeId('n2')] }),
          ),
      jobPause: async (id) => change(id, { state: 'paused', startedMs: 1 }),
      jobResume: async (id) => change(id, { state: 'running' }),
      jobSetBatchSize: async (id, batchSize) => change(id, { batchSize }),
      jobResults: async function* (id) {
        find(id);
        yield { item: 0, repetition: 0, input: 'a', version: 1, top: [{ label: '7', score: 1 }] };
      },
    };
  }
}

async function* chunksOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
