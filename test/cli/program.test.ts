/** Command lines in, text and exit codes out. The client is made of the methods a command may call. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { IdunnoError, nodeId } from '../../src/base/index.js';
import type { JobInfo, ModelInfo } from '../../src/idunno/index.js';
import type { FileVersion, PutSource } from '../../src/sdfs/index.js';
import { runCli } from './support.js';

const file: FileVersion = {
  name: 'pets/cat.png',
  version: 3,
  bytes: 2048,
  sha256: createHash('sha256').update('cat').digest('hex'),
  createdMs: 1_700_000_000_000,
  holders: [nodeId('n1'), nodeId('n2')],
};

const job: JobInfo = {
  id: 4,
  model: 'lenet',
  revision: 1,
  state: 'running',
  owner: 'ann',
  label: 'digits',
  batchSize: 8,
  weight: 1,
  repeat: 1,
  items: 100,
  queries: 100,
  queriesDone: 40,
  queriesFailed: 0,
  tasksDone: 5,
  tasksWaiting: 2,
  createdMs: 1_700_000_000_000,
  startedMs: 1_700_000_000_100,
  firstResultMs: undefined,
  finishedMs: undefined,
};

t.test('an unknown command is exit code 2 and suggests the one that was meant', async (t) => {
  const ran = await runCli(['file', 'lst']);
  t.equal(ran.code, 2);
  t.match(ran.stderr, /unknown command 'lst'/);
  t.match(ran.stderr, /Did you mean one of|Did you mean list|ls/);
  t.equal(ran.stdout, '');
});

t.test('an unknown noun is exit code 2 and suggests the one that was meant', async (t) => {
  const ran = await runCli(['modle', 'ls']);
  t.equal(ran.code, 2);
  t.match(ran.stderr, /Did you mean model/);
});

t.test('a missing argument is exit code 2', async (t) => {
  const ran = await runCli(['file', 'get', 'cat.png']);
  t.equal(ran.code, 2);
  t.match(ran.stderr, /missing required argument 'local'/);
});

t.test('--help explains to stdout with exit code 0', async (t) => {
  const ran = await runCli(['job', 'submit', '--help']);
  t.equal(ran.code, 0);
  t.match(ran.stdout, /--batch-size/);
  t.equal(ran.stderr, '');
});

t.test('--version prints the version, and file get --version means the file', async (t) => {
  t.equal((await runCli(['--version'])).stdout, '1.2.3\n');
  const asked: unknown[] = [];
  await runCli(['file', 'stat', 'a', '--version', '2'], {
    client: {
      fileStat: async (_name, version) => {
        asked.push(version);
        return file;
      },
    },
  });
  t.same(asked, [2]);
});

t.test('an unknown file is exit code 3, with the name in the message', async (t) => {
  const ran = await runCli(['file', 'stat', 'dog.png'], {
    client: {
      fileStat: async () => {
        throw new IdunnoError('FILE_NOT_FOUND', 'no file "dog.png"');
      },
    },
  });
  t.equal(ran.code, 3);
  t.match(ran.stderr, /^error: no file "dog.png"\n {2}effect: nothing was changed; retry: /);
});

t.test('an unknown model is exit code 3', async (t) => {
  const ran = await runCli(['job', 'submit', 'nonet', '--prefix', 'x/'], {
    client: {
      jobSubmit: async () => {
        throw new IdunnoError('MODEL_NOT_FOUND', 'no model "nonet"');
      },
    },
  });
  t.equal(ran.code, 3);
  t.match(ran.stderr, /no model "nonet"/);
});

t.test('an unknown job is exit code 3, and a job that is no number is exit code 2', async (t) => {
  const jobInfo = async (): Promise<JobInfo> => {
    throw new IdunnoError('JOB_NOT_FOUND', 'no job 9');
  };
  const unknown = await runCli(['job', 'show', '9'], { client: { jobInfo } });
  t.equal(unknown.code, 3);
  t.match(unknown.stderr, /no job 9/);
  const word = await runCli(['job', 'show', 'nine']);
  t.equal(word.code, 2);
  t.match(word.stderr, /the job takes a whole number/);
});

t.test('no leader is exit code 4, an unknown outcome 5, a bug 70', async (t) => {
  for (const [thrown, code] of [
    [new IdunnoError('NO_LEADER', 'no leader'), 4],
    [new IdunnoError('UNKNOWN_OUTCOME', 'no answer'), 5],
    [new TypeError('oops'), 70],
  ] as const) {
    const settingsPut = async (): Promise<number> => {
      throw thrown;
    };
    t.equal((await runCli(['settings', 'put', 'a', 'b'], { client: { settingsPut } })).code, code);
  }
});

t.test('an unset setting is exit code 3', async (t) => {
  const ran = await runCli(['settings', 'get', 'a'], {
    client: { settingsGet: async () => undefined },
  });
  t.equal(ran.code, 3);
  t.equal(ran.stdout, '');
});

t.test(
  'a listing is a table for people, wider with -o wide, a document with -o json',
  async (t) => {
    async function* fileListAll(): AsyncGenerator<FileVersion> {
      yield file;
    }
    const client = { fileListAll };
    const table = await runCli(['file', 'list'], { client });
    t.match(
      table.stdout,
      /^NAME +VERSION +SIZE +CREATED +COPIES\npets\/cat\.png +3 +2\.0 KiB .* 2\n$/,
    );
    const wide = await runCli(['file', 'list', '-o', 'wide'], { client });
    t.match(wide.stdout, /n1,n2/);
    const json = await runCli(['file', 'list', '-o', 'json'], { client });
    t.same(JSON.parse(json.stdout), { kind: 'files', version: 1, items: [file] });
    t.equal((await runCli(['file', 'list', '-o', 'xml'], { client })).code, 2);
  },
);

t.test('destructive commands need --yes where nobody can be asked', async (t) => {
  const deleted: string[] = [];
  const client = {
    fileDelete: async (name: string) => {
      deleted.push(name);
    },
  };
  const asked = await runCli(['file', 'rm', 'a', 'b'], { client });
  t.equal(asked.code, 2);
  t.match(asked.stderr, /say --yes/);
  t.same(deleted, []);
  const agreed = await runCli(['file', 'rm', 'a', 'b', '--yes'], { client });
  t.equal(agreed.code, 0);
  t.same(deleted, ['a', 'b']);
});

t.test(
  'destructive commands ask at a terminal, and do nothing unless the answer is yes',
  async (t) => {
    const cancelled: number[] = [];
    const client = {
      jobCancel: async (id: number): Promise<JobInfo> => {
        cancelled.push(id);
        return { ...job, state: 'cancelled' };
      },
    };
    const no = await runCli(['job', 'cancel', '4'], { client, isTty: true, stdin: 'n\n' });
    t.equal(no.code, 2);
    t.same(cancelled, []);
    const yes = await runCli(['job', 'cancel', '4'], { client, isTty: true, stdin: 'y\n' });
    t.equal(yes.code, 0);
    t.same(cancelled, [4]);
    t.match(yes.stdout, /job 4 cancelled/);
  },
);

t.test('inputs of a job are selected exactly once', async (t) => {
  const none = await runCli(['job', 'submit', 'lenet']);
  t.equal(none.code, 2);
  t.match(none.stderr, /exactly one of --prefix, --glob, --names, --list \(0 given\)/);
  t.equal((await runCli(['job', 'submit', 'lenet', '--glob', 'a', '--prefix', 'b'])).code, 2);
});

t.test('a job is submitted with what the options say', async (t) => {
  const specs: unknown[] = [];
  const client = {
    jobSubmit: async (spec: unknown): Promise<JobInfo> => {
      specs.push(spec);
      return job;
    },
  };
  const argv = ['job', 'submit', 'lenet', '--glob', 'd*.png', '--batch', '5', '--repeat', '2'];
  const ran = await runCli(argv, { client, env: { USER: 'ann' } });
  t.equal(ran.code, 0);
  t.match(ran.stdout, /job 4 submitted: 100 queries on lenet/);
  t.same(specs, [
    { model: 'lenet', inputs: { glob: 'd*.png' }, batchSize: 5, repeat: 2, owner: 'ann' },
  ]);
});

t.test('waiting for a job ends with its verdict as exit code', async (t) => {
  for (const [state, code] of [
    ['succeeded', 0],
    ['succeeded-with-errors', 6],
    ['failed', 1],
  ] as const) {
    const ended: JobInfo = { ...job, state, finishedMs: 1_700_000_002_100 };
    const ran = await runCli(['job', 'wait', '4'], { client: { jobInfo: async () => ended } });
    t.equal(ran.code, code, state);
    t.match(ran.stdout, /took 2\.0s/);
  }
});

t.test('a job that is not proved is a failure', async (t) => {
  const report = {
    id: 4,
    ok: false,
    queries: 100,
    accepted: 99,
    missing: 1,
    duplicated: 0,
    failedItems: 0,
    hashesChecked: 12,
    problems: ['query 7 has no result'],
  };
  const ran = await runCli(['job', 'verify', '4'], { client: { jobVerify: async () => report } });
  t.equal(ran.code, 1);
  t.match(ran.stdout, /verdict: +NOT OK/);
  t.match(ran.stderr, /query 7 has no result/);
});

t.test('a model is ready on so many nodes', async (t) => {
  const model: ModelInfo = {
    name: 'lenet',
    revision: 2,
    state: 'Deployed',
    description: 'digits',
    workers: [
      { node: nodeId('n1'), state: 'warm' },
      { node: nodeId('n2'), state: 'failed', error: 'no memory' },
      { node: nodeId('n10'), state: 'fetched' },
    ],
    others: [
      { node: nodeId('n3'), state: 'prefetched' },
      { node: nodeId('n4'), state: 'absent' },
    ],
    files: [],
  };
  const ran = await runCli(['model', 'ls', '-o', 'wide'], {
    client: { modelList: async () => [model] },
  });
  t.match(ran.stdout, /lenet +2 +Deployed +1 +1 +1 /);
  const places = 'n1:running n2:failed\\(no memory\\) n3:prefetched n4:absent n10:loading';
  t.match(ran.stdout, new RegExp(places));
  const shown = await runCli(['model', 'show', 'lenet'], {
    client: { modelList: async () => [model] },
  });
  t.match(shown.stdout, /n3 +prefetched/);
  t.match(shown.stdout, /n10 +loading +fetched/);
});

t.test('where a model is loaded is a number, names, or all', async (t) => {
  const deploy = async (workers: string) => {
    const asked: unknown[] = [];
    const modelDeploy = async (_: unknown, options: { workers?: unknown } = {}) => {
      asked.push(options.workers);
      throw new IdunnoError('BUSY', 'enough seen');
    };
    const args = ['model', 'deploy', 'lenet', '--workers', workers];
    return { ...(await runCli(args, { client: { modelDeploy } })), asked };
  };
  t.same((await deploy('2')).asked, [2]);
  t.same((await deploy('n1,n2')).asked, [['n1', 'n2']]);
  t.same((await deploy('all')).asked, ['all']);
  for (const wrong of ['0', '-1', '257', ',']) {
    const ran = await deploy(wrong);
    t.equal(ran.code, 2, wrong);
    t.match(ran.stderr, /--workers/, wrong);
    t.same(ran.asked, [], 'nothing was asked of the cluster');
  }
});

t.test('put maps local files and folders to names', async (t) => {
  const folder = t.testdir({ digits: { a: { '1.png': 'one' }, '2.png': 'two' }, 'x.txt': 'x' });
  const names: string[] = [];
  const client = {
    filePutMany: async (sources: Iterable<PutSource>) => {
      names.length = 0;
      for (const source of sources) names.push(source.name);
      return [];
    },
  };
  const put = (...paths: string[]) =>
    runCli(['file', 'put', ...paths], { client: client as never, cwd: folder });
  await put('x.txt', 'notes/x.txt');
  t.same(names, ['notes/x.txt'], 'one file goes to exactly the target');
  await put('x.txt', 'notes/');
  t.same(names, ['notes/x.txt'], 'a target with / is a prefix');
  await put('digits', 'd/');
  t.same(names, ['d/2.png', 'd/a/1.png'], 'a folder keeps its shape');
  await put('digits', 'x.txt', 'all');
  t.same(names, ['all/2.png', 'all/a/1.png', 'all/x.txt'], 'several sources make a prefix');
  const missing = await put('nothing.png', 'x');
  t.equal(missing.code, 3);
  t.match(missing.stderr, /cannot read nothing\.png: it does not exist/);
});

t.test('get writes the whole verified file or nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'idunno-get-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  async function* chunks(text: string): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text);
  }
  const get = (text: string) =>
    runCli(['file', 'get', 'pets/cat.png', 'cat.png'], {
      cwd: folder,
      client: { fileGet: async () => ({ file, chunks: chunks(text) }) },
    });
  writeFileSync(join(folder, 'cat.png'), 'before');
  const bad = await get('dog');
  t.equal(bad.code, 1);
  t.match(bad.stderr, /arrived with SHA-256/);
  t.equal(readFileSync(join(folder, 'cat.png'), 'utf8'), 'before');
  t.equal((await get('cat')).code, 0);
  t.equal(readFileSync(join(folder, 'cat.png'), 'utf8'), 'cat');
  const toStdout = await runCli(['file', 'get', 'pets/cat.png', '-'], {
    client: { fileGet: async () => ({ file, chunks: chunks('cat') }) },
  });
  t.equal(toStdout.stdout, 'cat');
});
