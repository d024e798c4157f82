/** Three real processes: the road that people take, and the loss of the leader on it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PROCESS_FILE, readRunning } from '../../src/cli/processes.js';
import { createTestCluster } from './support.js';

const cluster = await createTestCluster(3);
t.teardown(() => cluster.remove());

const { names, folder, run } = cluster;

interface StatusDocument {
  readonly leader: string;
  readonly nodes: readonly { readonly name: string; readonly status: string }[];
}

async function status(): Promise<StatusDocument> {
  return JSON.parse((await run(['status', '-o', 'json'])).stdout) as StatusDocument;
}

t.test('up starts every node and answers when the cluster is ready', async (t) => {
  const ran = await run(['up']);
  t.equal(ran.code, 0, ran.stderr);
  t.match(ran.stdout, /^cluster test is up: 3 nodes, leader n[123]\n$/);
  t.match(ran.stderr, /idunno model deploy/);
  const found = await status();
  t.same(
    found.nodes.map(({ status }) => status),
    ['up', 'up', 'up'],
  );
});

t.test('up a second time is harmless', async (t) => {
  const before = names.map((name) => readRunning(cluster.dataDir(name))?.pid);
  const ran = await run(['up']);
  t.equal(ran.code, 0, ran.stderr);
  t.match(ran.stdout, /runs already/);
  t.same(
    names.map((name) => readRunning(cluster.dataDir(name))?.pid),
    before,
  );
});

t.test('a setting put through one node is read through every other', async (t) => {
  for (const name of names) {
    const put = await run(['settings', 'put', `by-${name}`, name, '--node', name]);
    t.equal(put.code, 0, put.stderr);
  }
  for (const reader of names) {
    for (const writer of names) {
      const got = await run(['settings', 'get', `by-${writer}`, '--node', reader]);
      t.equal(got.stdout, `${writer}\n`, `${writer} through ${reader}`);
    }
  }
});

t.test('a file is the same through every node, in all its versions', async (t) => {
  const texts = ['one', 'two'.repeat(200_000)];
  for (const text of texts) {
    writeFileSync(join(folder, 'local.txt'), text);
    const put = await run(['file', 'put', 'local.txt', 'docs/a.txt']);
    t.equal(put.code, 0, put.stderr);
  }
  for (const name of names) {
    for (const [at, text] of texts.entries()) {
      const version = String(at + 1);
      const got = await run(['file', 'get', 'docs/a.txt', '-', '--version', version, '-n', name]);
      t.equal(got.stdout, text, `version ${version} through ${name}`);
    }
  }
  const unknown = await run(['file', 'stat', 'docs/b.txt']);
  t.equal(unknown.code, 3);
  t.match(unknown.stderr, /docs\/b\.txt/);
});

t.test('the classic commands work at the prompt of a node', async (t) => {
  writeFileSync(join(folder, 'vm1.log'), 'first\n');
  const lines = [
    'list_self',
    'list_mem',
    'put vm1.log vm1.log',
    'put vm1.log vm1.log',
    'ls vm1.log',
    'store',
    'get vm1.log copy.log',
    'get-versions vm1.log 2 both.log',
    'job_info',
    'delete vm1.log',
    'get vm1.log gone.log',
  ];
  const ran = await run(['shell', '--node', 'n3'], { stdin: `${lines.join('\n')}\n` });
  t.equal(ran.code, 3, 'the last command asks for a deleted file');
  t.match(ran.stdout, /^n3:\d\d:\d\d:\d\d\n/, 'list_self');
  for (const name of names) {
    t.match(ran.stdout, new RegExp(`\\| ${name}:\\d\\d:\\d\\d:\\d\\d \\|`), `list_mem ${name}`);
  }
  t.match(ran.stdout, /\| +vm1_v0\.log +\|/);
  t.match(ran.stdout, /\| +vm1_v1\.log +\|/);
  t.match(ran.stdout, /\| Job ID \| Job Type \| Job Status \| Batch_size \| Dataset \|/);
  t.equal(readFileSync(join(folder, 'copy.log'), 'utf8'), 'first\n');
  t.match(
    readFileSync(join(folder, 'both.log'), 'utf8'),
    /^===== vm1\.log version 2, 6 bytes =====\nfirst\n\n===== vm1\.log version 1/,
  );
  t.match(ran.stderr, /^error: .*vm1\.log/);
});

t.test('a second process on a data folder is refused, and the first goes on', async (t) => {
  const ran = await run(['node', 'n1']);
  t.equal(ran.code, 2);
  t.match(ran.stderr, /^error: .*data\/n1/);
  t.match(ran.stderr, /a node runs on this data folder already/);
  t.equal((await run(['settings', 'get', 'by-n1', '--node', 'n1'])).code, 0);
});

t.test('after kill -9 of the leader writes and reads go on, and nothing is lost', async (t) => {
  const { leader } = await status();
  const record = readRunning(cluster.dataDir(leader));
  t.ok(record, `the leader ${leader} runs`);
  if (record !== undefined) process.kill(record.pid, 'SIGKILL');
  const put = await run(['settings', 'put', 'after', 'the kill']);
  t.equal(put.code, 0, put.stderr);
  t.equal((await run(['settings', 'get', 'by-n1'])).stdout, 'n1\n');
  const got = await run(['file', 'get', 'docs/a.txt', '-', '--version', '1']);
  t.equal(got.stdout, 'one');
  const now = await status();
  t.not(now.leader, leader);
});

t.test('up brings back what is missing', async (t) => {
  const ran = await run(['up']);
  t.equal(ran.code, 0, ran.stderr);
  t.match(ran.stdout, /3 nodes/);
  for (const name of names) {
    t.equal((await run(['settings', 'get', 'after', '--node', name])).stdout, 'the kill\n');
  }
});

t.test('down ends exactly those processes and leaves the data', async (t) => {
  const ran = await run(['down', '-o', 'json']);
  t.equal(ran.code, 0);
  const { items } = JSON.parse(ran.stdout) as { items: readonly { outcome: string }[] };
  t.same(
    items.map(({ outcome }) => outcome),
    ['ended', 'ended', 'ended'],
    'all in order: none had to be killed',
  );
  for (const name of names) {
    t.equal(readRunning(cluster.dataDir(name)), undefined);
    t.throws(() => readFileSync(join(cluster.dataDir(name), PROCESS_FILE)), { code: 'ENOENT' });
  }
  const again = await run(['down']);
  t.equal(again.code, 0);
  t.match(again.stdout, /not running/);
  const unavailable = await run(['status']);
  t.equal(unavailable.code, 4);
});
