/**
 * The commands of the four course systems, word for word where their documents give words, at the
 * prompts of a running cluster of real processes: what they print, and what they did. The tables
 * are tested character by character in test/cli; here they hold what really is.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { drawSet } from '../../demo/draw/index.js';
import { readRunning } from '../../src/cli/processes.js';
import { createTestCluster, type Ran } from './support.js';

t.setTimeout(280_000);

const cluster = await createTestCluster(3);
t.teardown(() => cluster.remove());
const { names, folder, run } = cluster;

const NODES_HEAD = 'Job ID | Job Type | assigned_nodes';
const DIGITS = 50;
const TEST_DIGITS = 12;

/** Lines at the prompt of a node. */
async function say(lines: string, node = 'n3', options: readonly string[] = []): Promise<Ran> {
  return run(['shell', '--node', node, ...options], { stdin: `${lines}\n` });
}

/** What the lines print when nothing goes wrong. */
async function hear(t: Tap, lines: string, node = 'n3', options: string[] = []): Promise<string> {
  const { code, stdout, stderr } = await say(lines, node, options);
  t.equal(code, 0, `${lines}: ${stderr}`);
  return stdout;
}

type Tap = Pick<typeof t, 'equal' | 'match'>;

/** The cells of a classic table; fails where the frame is not one. */
function tableOf(t: Tap, text: string, head: string): string[][] {
  const rows = text.trimEnd().split('\n');
  const frame = rows[0] ?? '';
  t.match(frame, /^\+(-+\+)+$/, text);
  for (const at of [2, rows.length - 1]) t.equal(rows[at], frame, text);
  for (const row of rows) t.equal(row.length, frame.length, 'all lines are as long');
  const cells = (row = ''): string[] =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  t.equal(cells(rows[1]).join(' | '), head);
  return rows.slice(3, -1).map(cells);
}

/** Looks until it holds; nothing here may take longer than a minute. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 600; look += 1) {
    if (await holds()) return;
    await sleep(100);
  }
  throw new Error(`${what}: not within a minute`);
}

async function json<T>(args: readonly string[]): Promise<T> {
  const ran = await run([...args, '-o', 'json']);
  if (ran.code !== 0) throw new Error(`${args.join(' ')}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as T;
}

interface Job {
  readonly id: number;
  readonly state: string;
  readonly queries: number;
  readonly queriesDone: number;
  readonly tasksDone: number;
  readonly tasksWaiting: number;
}

const job = (id: number): Promise<Job> => json(['job', 'show', String(id)]);

t.before(async () => {
  mkdirSync(join(folder, 'testdata'));
  let at = 0;
  for (const { png } of drawSet('digits', DIGITS, 7)) {
    at += 1;
    writeFileSync(join(folder, `lenet.${at}.png`), png);
    if (at <= TEST_DIGITS) writeFileSync(join(folder, 'testdata', `${at}.png`), png);
  }
  writeFileSync(join(folder, 'vm1.log'), 'first\n');
  const up = await run(['up']);
  if (up.code !== 0) throw new Error(up.stderr);
});

t.test('list_mem and list_self show processes as name:HH:MM:SS', async (t) => {
  t.match(await hear(t, '$list_self'), /^n3:\d\d:\d\d:\d\d\n$/);
  const rows = tableOf(t, await hear(t, '$list_mem'), 'Process IDs');
  t.same(
    rows.map(([id]) => id?.replace(/:\d\d:\d\d:\d\d$/, '')),
    names,
  );
  t.equal(await hear(t, '$join'), 'n3 is a member already\n');
});

t.test('put, get, get-versions, ls, store and delete', async (t) => {
  t.match(await hear(t, '$put vm1.log vm1.log'), /^put vm1\.log v1 \(\d\/4 copies\)\n$/);
  const holders = tableOf(t, await hear(t, '$ls vm1.log'), 'Process IDs');
  t.equal(holders.length, 3);
  for (const [id] of holders) t.match(id, /^n[123]:\d\d:\d\d:\d\d$/);
  const stored = async (): Promise<string[][]> =>
    tableOf(t, await hear(t, '$store'), 'SDFS File Names');
  t.same(await stored(), [['vm1_v0.log']]);
  writeFileSync(join(folder, 'vm1.log'), 'second\n');
  t.match(await hear(t, 'put vm1.log vm1.log'), /^put vm1\.log v2 /);
  t.same(await stored(), [['vm1_v0.log'], ['vm1_v1.log']]);
  t.match(await hear(t, '$get vm1.log copy.log'), /^got vm1\.log v2 as /);
  t.equal(readFileSync(join(folder, 'copy.log'), 'utf8'), 'second\n');
  t.match(await hear(t, '$get-versions vm1.log 2 both.log', 'n1'), /^got 2 versions of vm1\.log/);
  t.equal(
    readFileSync(join(folder, 'both.log'), 'utf8'),
    '===== vm1.log version 2, 7 bytes =====\nsecond\n\n' +
      '===== vm1.log version 1, 6 bytes =====\nfirst\n\n',
  );
  t.equal(await hear(t, '$delete vm1.log', 'n2'), 'deleted vm1.log\n');
  t.match(await say('get vm1.log gone.log'), { code: 3, stderr: /^error: .*vm1\.log/ });
  t.same(await stored(), [], 'no version is left');
});

t.test('leave and join keep the files counted right', async (t) => {
  await hear(t, 'put vm1.log keep.log');
  const holders = async (): Promise<number> =>
    tableOf(t, await hear(t, 'ls keep.log', 'n1'), 'Process IDs').length;
  t.equal(await holders(), 3);
  t.equal(await hear(t, '$leave'), 'n3 has left\n');
  const refused = await say('put vm1.log never.log\njob_info\nleave');
  t.match(await run(['job', 'ls', '-n', 'n3']), {
    code: 1,
    stderr: /n3 has left.*\n.*member join/,
  });
  t.equal((await run(['job', 'ls', '-n', 'n1'])).code, 0, 'at another node all goes on');
  t.equal(refused.stdout, '');
  t.match(refused.stderr, /^(error: n3 has left the group: type join [^\n]*\n){3}$/);
  await until('two members', async () => {
    return tableOf(t, await hear(t, 'list_mem', 'n1'), 'Process IDs').length === 2;
  });
  t.equal(await holders(), 2, 'the copy of a node that has left does not count');
  t.equal(await hear(t, '$join'), 'n3 has joined\n');
  await until('three holders', async () => (await holders()) === 3);
  t.same(tableOf(t, await hear(t, 'store'), 'SDFS File Names'), [['keep_v0.log']]);
  interface Report {
    readonly files: number;
    readonly versions: number;
    readonly lost: number;
  }
  t.match(await json<Report>(['file', 'report']), { files: 1, versions: 1, lost: 0 });
});

t.test('train makes the models ready on all workers', async (t) => {
  t.match(await say('$infer lenet lenet.png 5'), { code: 3, stderr: /no model .*lenet/ });
  t.equal(await hear(t, '$train'), 'Models are ready for inference\n');
  const { items } = await json<{
    items: { name: string; state: string; workers: { state: string }[] }[];
  }>(['model', 'ls']);
  t.same(
    items.map(({ name, state }) => [name, state]),
    [
      ['lenet', 'Deployed'],
      ['resnet', 'Deployed'],
    ],
  );
  for (const { workers } of items) {
    t.same(
      workers.map(({ state }) => state),
      ['warm', 'warm', 'warm'],
    );
  }
});

t.test('upload_data, infer, job_info and job_stats', async (t) => {
  t.match(await say('$infer lenet lenet.png 5'), { code: 1, stderr: /no file matches/ });
  t.equal(await hear(t, '$upload_data lenet.png 50'), 'dataset uploaded successfully\n');
  t.equal(await hear(t, '$infer lenet lenet.png 5'), 'Inference job submitted\n');
  const jobs = tableOf(
    t,
    await hear(t, '$job_info'),
    'Job ID | Job Type | Job Status | Batch_size | Dataset',
  );
  t.equal(jobs.length, 1);
  t.match(jobs[0], ['1', 'lenet', /^(QUEUED|IN_PROGRESS|COMPLETED)$/, '5', 'lenet.png']);
  await until('the end of job 1', async () => (await job(1)).state === 'succeeded');
  const head =
    'Job ID | Count | mean | std | 25% | 75% | 99% | 10_sec_rate | total_rate | assigned_nodes';
  for (const command of ['$job_stats', 'get-job-stats']) {
    const [row = []] = tableOf(t, await hear(t, command, 'n2'), head);
    t.same(row.slice(0, 2), ['1', String(DIGITS)]);
    const [mean, std, p25, p75, p99] = row.slice(2, 7).map(Number);
    t.ok(Number(mean) > 0 && Number(std) >= 0);
    t.ok(Number(p25) <= Number(p75) && Number(p75) <= Number(p99));
    t.ok(Number(row[8]) > 0, 'queries per second');
    t.equal(row[9], '[]', 'nobody works on a finished job');
  }
  t.match(await hear(t, 'job verify 1'), /verdict: +ok/);
});

t.test('populate-test-data, add-job, set-batch-size, start-job and stop-job', async (t) => {
  const started = await hear(
    t,
    'train-start\npopulate-test-data testdata\nadd-job lenet\nset-batch-size lenet 4',
    'n2',
  );
  t.equal(
    started,
    `Models are ready for inference\n${TEST_DIGITS} files of test data stored below testdata/\n` +
      `job 2 added: ${TEST_DIGITS} queries on lenet, batch size 8\njob 2 has batch size 4 now\n`,
  );
  const status = async (): Promise<string | undefined> => {
    const head = 'Job ID | Job Type | Job Status | Batch_size | Dataset';
    const rows = tableOf(t, await hear(t, 'job_info'), head);
    return rows.find(([id]) => id === '2')?.[2];
  };
  t.equal(await status(), 'ADDED', 'it waits for start-job');
  t.match(await hear(t, 'job tasks 2'), /\n +0 +0-11 +Ready, not cut yet /);
  t.match(await hear(t, 'start-job lenet', 'n1'), /^job 2 is (queued|running)\n$/);
  await until('the end of job 2', async () => (await job(2)).state === 'succeeded');
  t.equal(await status(), 'COMPLETED');
  t.match(await say('stop-job lenet'), { code: 3, stderr: /no job of model "lenet" is open/ });
  t.equal((await hear(t, 'C4 2')).trimEnd().split('\n').length, TEST_DIGITS);
});

t.test('each task has one output file, and clients see their own jobs', async (t) => {
  const list = await json<{ items: { name: string; version: number; holders: string[] }[] }>([
    'file',
    'list',
    'results/2/',
  ]);
  const files = list.items.filter(({ name }) => !name.includes('segment'));
  t.same(
    files.map(({ name }) => name),
    [0, 4, 8].map((task) => `results/2/${task}.jsonl`),
    'three tasks of four queries',
  );
  t.match(await hear(t, 'get results/2/4.jsonl four.jsonl'), /^got results\/2\/4\.jsonl v1 as /);
  const lines = readFileSync(join(folder, 'four.jsonl'), 'utf8').trimEnd().split('\n');
  t.same(
    lines.map((line) => (JSON.parse(line) as { item: number }).item),
    [4, 5, 6, 7],
  );
  t.match(await say('delete results/2/4.jsonl'), { code: 2, stderr: /its workers write it/ });
  t.match(await say('put vm1.log results/2/4.jsonl'), { code: 2, stderr: /its workers write it/ });
  t.match(await say('get results/2/5.jsonl x'), { code: 3, stderr: /no results\/2\/5\.jsonl/ });
  const ann = ['--client', 'ann'];
  t.equal(await hear(t, 'infer lenet lenet.png 10', 'n1', ann), 'Inference job submitted\n');
  const seenBy = async (options: string[]): Promise<string[]> =>
    tableOf(t, await hear(t, 'get-job-assigned-VMs', 'n3', options), NODES_HEAD).map(
      ([id = '']) => id,
    );
  t.same(await seenBy(ann), ['3']);
  t.same(await seenBy(['--client', 'bob']), []);
  t.same(await seenBy([]), ['1', '2', '3'], 'the operator sees all');
  t.match(await say('C4 1', 'n3', ann), { code: 3, stderr: /client ann has no job 1/ });
  await until('the end of job 3', async () => (await job(3)).state === 'succeeded');
});

t.test('stop-job takes the tasks back; the sums survive the loss of the leader', async (t) => {
  const submit = ['job', 'submit', 'lenet', '--glob', 'lenet*.png', '--batch-size', '4'];
  t.equal((await run([...submit, '--repeat', '16'])).code, 0);
  await until('tasks of job 4', async () => (await job(4)).tasksDone >= 10);
  t.equal(await hear(t, 'stop-job lenet', 'n1'), 'job 4 is paused\n');
  const begun = await hear(t, 'job tasks 4 --limit 1');
  t.match(begun, /\n +0 +0-3 +Success +n[123] .* results\/4\/0\.jsonl/, 'before the job is over');
  t.match(await hear(t, 'file get results/4/0.jsonl -', 'n1'), /^\{"item":0,/, 'still inline');
  await until('no task out', async () => (await job(4)).tasksWaiting === 0);
  const { queriesDone } = await job(4);
  t.ok(queriesDone < 800, `${queriesDone} queries done when it was stopped`);
  t.equal(await hear(t, 'start-job lenet'), 'job 4 is running\n');
  await until('more tasks', async () => (await job(4)).queriesDone > queriesDone);
  interface Stats {
    readonly queriesDone: number;
    readonly tasksDone: number;
    readonly meanSeconds: number;
  }
  const stats = async (): Promise<Stats | undefined> =>
    (await json<{ items: Stats[] }>(['job', 'stats', '4'])).items[0];
  const { leader } = await json<{ leader: string }>(['status']);
  const survivor = names.find((name) => name !== leader) ?? 'n1';
  const before = await stats();
  const pid = readRunning(cluster.dataDir(leader))?.pid;
  t.ok(pid !== undefined);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  t.match(await hear(t, 'list_self', survivor), /^n\d:/);
  t.equal(tableOf(t, await hear(t, 'get-job-assigned-VMs', leader), NODES_HEAD).length, 4);
  const after = await stats();
  t.ok(Number(after?.queriesDone) >= Number(before?.queriesDone), 'nothing is counted anew');
  await until('the end of job 4', async () => (await job(4)).state === 'succeeded');
  const last = await stats();
  t.match(last, { queriesDone: 800, tasksDone: 200 }, 'each task once');
  t.ok(Number(last?.meanSeconds) > 0);
  t.match(await hear(t, 'job verify 4', survivor), /verdict: +ok/);
});

t.test('grep asks the logs of all nodes that are there', async (t) => {
  t.equal((await run(['up'])).code, 0);
  const { code, stdout } = await say('$grep -c -F node.start');
  t.equal(code, 0);
  for (const name of names) t.match(stdout, new RegExp(`^${name} +ok +[1-9]`, 'm'), name);
});

t.test('without a leader each says so, and nothing is changed', async (t) => {
  t.equal((await run(['up'])).code, 0);
  const before = await json<{ items: unknown[] }>(['job', 'ls']);
  for (const name of ['n1', 'n2']) {
    const pid = readRunning(cluster.dataDir(name))?.pid;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  }
  await until('no leader', async () => {
    const { leader } = await json<{ leader?: string }>(['status', '--node', 'n3']);
    return leader === undefined;
  });
  const lines = ['infer lenet lenet.png 5', 'put vm1.log never.log', 'stop-job lenet', 'store'];
  const { code, stdout, stderr } = await say(lines.join('\n'), 'n3', ['--timeout', '0.5']);
  t.equal(code, 4);
  t.equal(stdout, '');
  t.match(
    stderr,
    /^(error: the cluster has had no leader for 0\.5 s: [^\n]*idunno status\)\n){4}$/,
  );
  const alone = ['--node', 'n3', '--timeout', '0.5'];
  t.match(await run(['job', 'pause', '4', ...alone]), { code: 4, stderr: /no leader/ });
  t.match(await hear(t, 'list_self'), /^n3:/);
  t.equal((await run(['up'])).code, 0);
  const after = await json<{ items: unknown[] }>(['job', 'ls']);
  t.same(after.items, before.items);
  t.match(await say('get never.log never'), { code: 3, stderr: /no file.*never\.log/ });
});

t.test('a node that crashed is back with what it held, and knows the others', async (t) => {
  t.equal((await run(['up'])).code, 0);
  for (const node of names) {
    await until(`three members at ${node}`, async () => {
      return tableOf(t, await hear(t, 'list_mem', node), 'Process IDs').length === 3;
    });
    const path = join(cluster.dataDir(node), 'swim', 'last-members.json');
    await until(`the others in ${path}`, async () => {
      const { peers } = JSON.parse(readFileSync(path, 'utf8')) as { peers: { name: string }[] };
      const known = peers.map(({ name }) => name).sort();
      return known.join() === names.filter((name) => name !== node).join();
    });
    t.pass(`${node} has its introducers for the next start`);
  }
  await until('three holders', async () => {
    return tableOf(t, await hear(t, 'ls keep.log'), 'Process IDs').length === 3;
  });
  const once = await run(['classic', 'put', 'vm1.log', 'once.log']);
  t.match(once, { code: 0, stdout: /^put once\.log v1 / });
});
