/** The prompt: classic commands and their tables, fed through a pipe. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import t from 'tap';
import { IdunnoError, nodeId } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/api-client.js';
import { globOf, versionedName } from '../../src/cli/shell/classic.js';
import { tokenize } from '../../src/cli/shell/tokenize.js';
import type { JobInfo, JobSpec, JobStats } from '../../src/idunno/index.js';
import type { FileVersion } from '../../src/sdfs/index.js';
import type { Member } from '../../src/swim/index.js';
import { runCli } from './support.js';

const bootMs = new Date(2026, 0, 2, 23, 4, 12).getTime();

function member(name: string, state: Member['state']): Member {
  return {
    name: nodeId(name),
    host: 'h',
    port: 1,
    bootEpoch: 1,
    incarnation: 0,
    state,
    bootWallMs: bootMs,
    sinceMs: 0,
    stalledMs: 0,
  };
}

function version(number: number, text: string): FileVersion {
  return {
    name: 'vm1.log',
    version: number,
    bytes: text.length,
    sha256: createHash('sha256').update(text).digest('hex'),
    createdMs: 0,
    holders: [nodeId('n1'), nodeId('n9')],
  };
}

function jobOf(part: Partial<JobInfo>): JobInfo {
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

const shell = (stdin: string, client: Partial<ApiClient> = {}, cwd = '/') =>
  runCli(['shell', '--node', 'n1'], { stdin, client, cwd });

t.test('list_mem shows who is there as name:HH:MM:SS of the boot', async (t) => {
  const memberList = async () => [
    member('n1', 'active'),
    member('n2', 'suspicious'),
    member('n3', 'failed'),
    member('n4', 'left'),
  ];
  const { stdout, code } = await shell('list_mem\n', { memberList });
  t.equal(code, 0);
  t.equal(
    stdout,
    [
      '+-------------+',
      '| Process IDs |',
      '+-------------+',
      '| n1:23:04:12 |',
      '| n2:23:04:12 |',
      '+-------------+',
      '',
    ].join('\n'),
  );
});

t.test('list_self shows the id of the node whose prompt it is', async (t) => {
  const memberSelf = async ({ node }: { node?: string } = {}) => member(node ?? '?', 'active');
  t.equal((await shell('list_self\n', { memberSelf })).stdout, 'n1:23:04:12\n');
});

t.test('ls shows the processes that store a file', async (t) => {
  const { stdout } = await shell('ls vm1.log\n', {
    fileStat: async () => version(1, 'x'),
    memberList: async () => [member('n1', 'active')],
  });
  t.match(stdout, /\| Process IDs \|/);
  t.match(stdout, /\| n1:23:04:12 \|/);
  t.match(stdout, /\| {5}n9 {6}\|/, 'a holder that is no member keeps its name');
});

t.test('store shows file names with their versions', async (t) => {
  const { stdout } = await shell('store\n', {
    fileStore: async () => [version(1, 'x'), version(2, 'y')],
  });
  t.equal(
    stdout,
    [
      '+-----------------+',
      '| SDFS File Names |',
      '+-----------------+',
      '|   vm1_v1.log    |',
      '|   vm1_v2.log    |',
      '+-----------------+',
      '',
    ].join('\n'),
  );
});

t.test('job_info shows the classic columns and states', async (t) => {
  const { stdout } = await shell('job_info\n', { jobList: async () => [jobOf({})] });
  t.equal(
    stdout,
    [
      '+--------+----------+-------------+------------+-----------+',
      '| Job ID | Job Type | Job Status  | Batch_size |  Dataset  |',
      '+--------+----------+-------------+------------+-----------+',
      '|   0    |  lenet   | IN_PROGRESS |     2      | lenet.png |',
      '+--------+----------+-------------+------------+-----------+',
      '',
    ].join('\n'),
  );
});

t.test('job_stats and get-job-stats show count, times, rates and nodes', async (t) => {
  const stats: JobStats = {
    id: 1,
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
    assignedNodes: [nodeId('n1'), nodeId('n2')],
    warmNodes: [],
  };
  const jobStats = async () => [stats];
  for (const command of ['job_stats', 'get-job-stats']) {
    const { stdout } = await shell(`${command}\n`, { jobStats });
    t.match(stdout, /\| Job ID \| Count \| +mean +\| +std +\| +25% +\| +75% +\| +99% +\|/);
    t.match(stdout, /10_sec_rate \| total_rate \| +assigned_nodes/);
    t.match(
      stdout,
      /\| +1 +\| +10 +\| 3\.752005 \| 4\.811626 \| 1\.182343 \| 1\.812465 \| 13\.40399 \|/,
    );
    t.match(stdout, /\| +0\.0 +\| +0\.489572 +\| +\['n1', 'n2'\] +\|/);
  }
});

t.test('infer submits a job on the dataset that upload_data put', async (t) => {
  const folder = t.testdir({ 'lenet.1.png': 'a', 'lenet.2.png': 'b', 'lenet.3.png': 'c', x: '' });
  const names: string[] = [];
  const specs: JobSpec[] = [];
  const client: Partial<ApiClient> = {
    filePutMany: async (files) => {
      for await (const file of files) names.push(file.name);
      return [];
    },
    jobSubmit: async (spec) => {
      specs.push(spec);
      return jobOf({ id: 7 });
    },
  };
  const { stdout } = await shell(
    'upload_data lenet.png 2\ninfer lenet lenet.png 5\n',
    client,
    folder,
  );
  t.match(stdout, /dataset uploaded successfully/);
  t.match(stdout, /Inference job submitted \(job 7, 10 queries\)/);
  t.same(names, ['lenet.1.png', 'lenet.2.png']);
  t.same(specs, [
    { model: 'lenet', inputs: { glob: 'lenet*.png' }, batchSize: 5, label: 'lenet.png' },
  ]);
});

t.test('add-job uses the last test data and the batch size that was set before', async (t) => {
  const folder = t.testdir({ digits: { '1.png': 'a' } });
  const specs: JobSpec[] = [];
  const client: Partial<ApiClient> = {
    filePutMany: async () => [{} as never],
    jobList: async () => [],
    jobSubmit: async (spec) => {
      specs.push(spec);
      return jobOf({ id: 1 });
    },
  };
  const early = await shell('add-job lenet\n', client, folder);
  t.equal(early.code, 1);
  t.match(early.stderr, /run populate-test-data first/);
  const lines = 'populate-test-data digits\nset-batch-size lenet 3\nadd-job lenet\n';
  const { stdout } = await shell(lines, client, folder);
  t.match(stdout, /the next job of lenet gets batch size 3/);
  t.match(stdout, /job 1 added/);
  t.same(specs, [
    { model: 'lenet', inputs: { prefix: 'digits/' }, batchSize: 3, label: 'digits/' },
  ]);
});

t.test('stop-job pauses the newest open job of a model, start-job resumes it', async (t) => {
  const calls: string[] = [];
  const client: Partial<ApiClient> = {
    jobList: async () => [
      jobOf({ id: 1, state: 'succeeded' }),
      jobOf({ id: 2, state: calls.includes('pause 2') ? 'paused' : 'running' }),
    ],
    jobPause: async (id) => {
      calls.push(`pause ${id}`);
      return jobOf({ id, state: 'paused' });
    },
    jobResume: async (id) => {
      calls.push(`resume ${id}`);
      return jobOf({ id });
    },
  };
  const { stdout } = await shell('stop-job lenet\nstart-job lenet\nstart-job resnet\n', client);
  t.same(calls, ['pause 2', 'resume 2']);
  t.match(stdout, /job 2 is paused\njob 2 is running/);
});

t.test('get-versions writes the newest versions behind delimiters', async (t) => {
  const folder = t.testdir({});
  const texts = ['', 'first', 'second'];
  async function* chunks(text: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text);
  }
  const client: Partial<ApiClient> = {
    fileVersions: async () => [version(2, 'second'), version(1, 'first')],
    fileGet: async (_name, { version: number = 0 } = {}) => {
      const text = texts[number] ?? '';
      return { file: version(number, text), chunks: chunks(text) };
    },
  };
  const { stdout } = await shell('get-versions vm1.log 2 out.txt\n', client, folder);
  t.match(stdout, /got 2 versions of vm1\.log/);
  t.equal(
    readFileSync(join(folder, 'out.txt'), 'utf8'),
    '===== vm1.log version 2, 6 bytes =====\nsecond\n' +
      '===== vm1.log version 1, 5 bytes =====\nfirst\n',
  );
});

t.test('noun-verb commands work at the prompt, too, with its node', async (t) => {
  const asked: unknown[] = [];
  const client: Partial<ApiClient> = {
    memberSelf: async (options) => {
      asked.push(options?.node);
      return member('n1', 'active');
    },
  };
  const { code, stdout } = await shell('member self\n', client);
  t.equal(code, 0);
  t.match(stdout, /n1:23:04:12/);
  t.same(asked, ['n1']);
});

t.test(
  'errors are one sentence, the prompt goes on, and the exit code tells of them',
  async (t) => {
    const client: Partial<ApiClient> = {
      fileDelete: async () => {
        throw new IdunnoError('FILE_NOT_FOUND', 'no file "x"');
      },
      memberSelf: async () => member('n1', 'active'),
    };
    const { code, stdout, stderr } = await shell('delete x\nlist_self\n', client);
    t.equal(code, 3);
    t.match(stdout, /n1:23/);
    t.equal(stderr.trimEnd().split('\n').length, 1);
    t.match(stderr, /^error: no file "x" \(/);
  },
);

t.test('an unknown command suggests the one that was meant; exit ends the prompt', async (t) => {
  const { code, stdout, stderr } = await shell('list_mme\nexit\nlist_self\n');
  t.equal(code, 2);
  t.match(stderr, /unknown command "list_mme"; did you mean "list_mem"\?/);
  t.equal(stdout, '');
});

t.test('too few words show how the command is written', async (t) => {
  const { stderr } = await shell('put a\n');
  t.match(stderr, /write: put LOCALFILENAME SDFSFILENAME/);
});

t.test('help lists every classic command', async (t) => {
  const { stdout } = await shell('help\n');
  const classic =
    'join leave list_mem list_self put get delete ls store get-versions train train-start ' +
    'populate-test-data upload_data add-job infer set-batch-size start-job stop-job ' +
    'get-job-stats job_info job_stats get-job-assigned-VMs';
  for (const name of classic.split(' '))
    t.match(stdout, new RegExp(`^ {2}${name}( |$)`, 'm'), name);
});

t.test('words may be quoted and escaped', async (t) => {
  t.same(tokenize(`put "my file.png"  a\\ b 'c d' # not this`), [
    'put',
    'my file.png',
    'a b',
    'c d',
  ]);
  t.same(tokenize('   '), []);
  t.throws(() => tokenize('put "x'), { code: 'USAGE' });
});

t.test('datasets and versioned names are written the classic way', async (t) => {
  t.equal(globOf('lenet.png'), 'lenet*.png');
  t.equal(versionedName('vm1.log', 2), 'vm1_v2.log');
  t.equal(versionedName('plain', 1), 'plain_v1');
});
