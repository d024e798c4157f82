/** The classic tables, character by character, and what the classic commands do to a cluster. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { globOf, inputsOf } from '../../src/cli/classic/dataset.js';
import { storedName } from '../../src/cli/classic/files.js';
import { ClassicWorld, jobOf } from './classic-world.js';
import { memberOf } from './support.js';

function lines(...text: string[]): string {
  return `${text.join('\n')}\n`;
}

t.test('list_mem shows who is there as name:HH:MM:SS of the boot', async (t) => {
  const world = new ClassicWorld();
  world.members = [
    memberOf('n1'),
    memberOf('n2', 'suspicious'),
    memberOf('n3', 'failed'),
    memberOf('n4', 'left'),
  ];
  t.equal(
    (await world.shell(['list_mem'])).stdout,
    lines(
      '+-------------+',
      '| Process IDs |',
      '+-------------+',
      '| n1:23:04:12 |',
      '| n2:23:04:12 |',
      '+-------------+',
    ),
  );
});

t.test('list_self shows the id of the node whose prompt it is', async (t) => {
  t.equal((await new ClassicWorld().shell(['$list_self'])).stdout, 'n1:23:04:12\n');
});

t.test('ls shows the processes that store a file, those that are there', async (t) => {
  const world = new ClassicWorld();
  world.files.set('vm1.log', ['x']);
  const head = ['+-------------+', '| Process IDs |', '+-------------+'];
  const both = ['| n1:23:04:12 |', '| n2:23:04:12 |', '+-------------+'];
  t.equal((await world.shell(['$ls vm1.log'])).stdout, lines(...head, ...both));
  world.members = [memberOf('n1'), memberOf('n2', 'left')];
  const one = ['| n1:23:04:12 |', '+-------------+'];
  t.equal((await world.shell(['ls vm1.log'])).stdout, lines(...head, ...one));
});

t.test('store shows each version of each file, counted from 0', async (t) => {
  const world = new ClassicWorld();
  world.files.set('vm1.log', ['x', 'y']);
  t.equal(
    (await world.shell(['$store'])).stdout,
    lines(
      '+-----------------+',
      '| SDFS File Names |',
      '+-----------------+',
      '|   vm1_v0.log    |',
      '|   vm1_v1.log    |',
      '+-----------------+',
    ),
  );
  t.equal(storedName('plain', 1), 'plain_v0');
  t.equal(storedName('docs/a.tar.gz', 3), 'docs/a.tar_v2.gz');
});

t.test('job_info shows id, type, status, batch size and dataset', async (t) => {
  const world = new ClassicWorld();
  world.jobs.push(
    jobOf({}),
    jobOf({ id: 1, state: 'paused', label: 'a' }),
    jobOf({ id: 2, state: 'paused', startedMs: 1, label: 'b' }),
    jobOf({ id: 3, state: 'succeeded', label: 'c' }),
  );
  t.equal(
    (await world.shell(['$job_info'])).stdout,
    lines(
      '+--------+----------+-------------+------------+-----------+',
      '| Job ID | Job Type | Job Status  | Batch_size |  Dataset  |',
      '+--------+----------+-------------+------------+-----------+',
      '|   0    |  lenet   | IN_PROGRESS |     2      | lenet.png |',
      '|   1    |  lenet   |    ADDED    |     2      |     a     |',
      '|   2    |  lenet   |   STOPPED   |     2      |     b     |',
      '|   3    |  lenet   |  COMPLETED  |     2      |     c     |',
      '+--------+----------+-------------+------------+-----------+',
    ),
  );
});

const STATS_TABLE = lines(
  '+--------+-------+----------+----------+----------+----------+----------+-------------+------------+----------------+',
  '| Job ID | Count |   mean   |   std    |   25%    |   75%    |   99%    | 10_sec_rate | total_rate | assigned_nodes |',
  '+--------+-------+----------+----------+----------+----------+----------+-------------+------------+----------------+',
  "|   0    |  10   | 3.752005 | 4.811626 | 1.182343 | 1.812465 | 13.40399 |     0.0     |  0.489572  |  ['n1', 'n2']  |",
  '+--------+-------+----------+----------+----------+----------+----------+-------------+------------+----------------+',
);

const NODES_TABLE = lines(
  '+--------+----------+----------------+',
  '| Job ID | Job Type | assigned_nodes |',
  '+--------+----------+----------------+',
  "|   0    |  lenet   |  ['n1', 'n2']  |",
  '+--------+----------+----------------+',
);

const TABLES: Readonly<Record<string, string>> = {
  job_stats: STATS_TABLE,
  'get-job-stats': STATS_TABLE,
  'get-job-assigned-VMs': NODES_TABLE,
  C5: NODES_TABLE,
  C1: lines(
    '+--------+----------+-------+-------------+------------+',
    '| Job ID | Job Type | Count | 10_sec_rate | total_rate |',
    '+--------+----------+-------+-------------+------------+',
    '|   0    |  lenet   |  10   |     0.0     |  0.489572  |',
    '+--------+----------+-------+-------------+------------+',
  ),
  C2: lines(
    '+--------+----------+----------+----------+----------+-----+----------+----------+',
    '| Job ID | Job Type |   mean   |   std    |   25%    | 50% |   75%    |   99%    |',
    '+--------+----------+----------+----------+----------+-----+----------+----------+',
    '|   0    |  lenet   | 3.752005 | 4.811626 | 1.182343 | 1.5 | 1.812465 | 13.40399 |',
    '+--------+----------+----------+----------+----------+-----+----------+----------+',
  ),
};

for (const [command, table] of Object.entries(TABLES)) {
  t.test(`${command} has its table, at the prompt and as one command`, async (t) => {
    const world = new ClassicWorld();
    world.jobs.push(jobOf({}));
    t.equal((await world.shell([`$${command}`])).stdout, table);
    t.equal((await world.run(['classic', command])).stdout, table);
  });
}

t.test('C3 sets the batch size, C4 shows the results of a job', async (t) => {
  const world = new ClassicWorld();
  world.jobs.push(jobOf({ id: 1 }));
  const ran = await world.shell(['C3 lenet 6', 'C4 1']);
  t.equal(ran.stdout, 'job 1 has batch size 6 now\n0       a v1  7 1.000\n');
  t.equal(world.jobs[0]?.batchSize, 6);
});

t.test('upload_data takes the files like lenet.*.png, infer asks for them', async (t) => {
  const cwd = t.testdir({ 'lenet.1.png': 'a', 'lenet.2.png': 'b', 'lenet.3.png': 'c', x: '' });
  const world = new ClassicWorld();
  const { stdout, stderr } = await world.shell(
    ['$upload_data lenet.png 2', '$infer lenet lenet.png 5'],
    cwd,
  );
  t.equal(stdout, 'dataset uploaded successfully\nInference job submitted\n');
  t.match(stderr, /^2 files like lenet\.\*\.png from /);
  t.match(stderr, /job 1: 2 queries on lenet/);
  t.same([...world.files.keys()], ['lenet.1.png', 'lenet.2.png']);
  t.match(world.jobs, [{ model: 'lenet', batchSize: 5, label: 'lenet.png', owner: 'ann' }]);
});

t.test('a dataset is a folder that was put, a pattern, or the files of a name', async (t) => {
  t.same(inputsOf('lenet.png'), { glob: 'lenet*.png' });
  t.same(inputsOf('digits/'), { prefix: 'digits/' });
  t.same(inputsOf('digits/?.png'), { glob: 'digits/?.png' });
  t.equal(globOf('a[1].png'), 'a\\[1]*.png', 'a bracket in a name is itself');
});

t.test('add-job uses the last test data and waits for start-job; stop-job pauses', async (t) => {
  const cwd = t.testdir({ digits: { '1.png': 'a' }, other: { '1.png': 'b' } });
  const world = new ClassicWorld();
  const early = await world.shell(['add-job lenet'], cwd);
  t.equal(early.code, 1);
  t.match(early.stderr, /no test data yet: type populate-test-data DATAPATH first/);
  await world.shell(['populate-test-data other', 'populate-test-data digits'], cwd);
  const added = await world.shell(['set-batch-size lenet 3', 'add-job lenet'], cwd);
  t.equal(
    added.stdout,
    'the next job of lenet gets batch size 3\njob 1 added: 1 query on lenet, batch size 3\n',
  );
  t.match(world.jobs, [{ label: 'digits/', state: 'paused', owner: 'ann' }]);
  const played = await world.shell([
    'start-job lenet',
    'start-job lenet',
    'set-batch-size lenet 4',
    'stop-job lenet',
    'stop-job lenet',
    'start-job 1',
  ]);
  t.equal(
    played.stdout,
    lines(
      'job 1 is running',
      'job 1 is running already',
      'job 1 has batch size 4 now',
      'job 1 is paused',
      'job 1 is paused already',
      'job 1 is running',
    ),
  );
});

t.test('populate-test-data puts under a prefix that may be named', async (t) => {
  const cwd = t.testdir({ digits: { '1.png': 'a', deep: { '2.png': 'b' } } });
  const world = new ClassicWorld();
  const { stdout } = await world.shell(['populate-test-data digits set7'], cwd);
  t.equal(stdout, '2 files of test data stored below set7/\n');
  t.same([...world.files.keys()], ['set7/1.png', 'set7/deep/2.png']);
});

t.test('one command remembers for the next what a prompt would', async (t) => {
  const cwd = t.testdir({ digits: { '1.png': 'a' } });
  const world = new ClassicWorld();
  for (const line of ['populate-test-data digits', 'set-batch-size lenet 3', 'add-job lenet']) {
    const ran = await world.run(['classic', ...line.split(' ')], { cwd });
    t.equal(ran.code, 0, ran.stderr);
  }
  t.match(world.jobs, [{ label: 'digits/', batchSize: 3 }]);
});

t.test('each client sees and changes its own jobs, the operator all', async (t) => {
  const cwd = t.testdir({ 'lenet.1.png': 'a' });
  const world = new ClassicWorld();
  const infer = ['upload_data lenet.png 1', 'infer lenet lenet.png 1'];
  await world.shell(infer, cwd, ['--client', 'bob']);
  await world.shell(infer, cwd);
  t.same(
    world.jobs.map(({ owner }) => owner),
    ['bob', 'ann'],
  );
  const ids = async (options: string[]): Promise<string[]> => {
    const { stdout } = await world.shell(['job_info', 'job ls'], '/', options);
    return [...stdout.matchAll(/^\|? +(\d+) /gm)].map(([, id = '']) => id);
  };
  t.same(await ids(['--client', 'bob']), ['1', '1'], 'also in nested commands');
  t.same(await ids(['--client', 'eve']), []);
  t.same(await ids([]), ['1', '2', '1', '2']);
  const all = await world.run(['job', 'ls', '--client', 'eve', '--all', '-o', 'json']);
  t.equal((JSON.parse(all.stdout) as { items: unknown[] }).items.length, 2);
  const before = world.snapshot();
  for (const line of ['stop-job 2', 'stop-job resnet', 'C4 2', 'set-batch-size 2 5']) {
    const ran = await world.shell([line], '/', ['--client', 'bob']);
    t.equal(ran.code, 3, line);
  }
  const cancel = await world.run(['job', 'cancel', '2', '--yes', '--client', 'bob']);
  t.match(cancel, { code: 3, stderr: /client bob has no job 2/ });
  t.equal(world.snapshot(), before);
  t.equal((await world.shell(['stop-job lenet'], '/', ['--client', 'bob'])).code, 0);
  t.same(
    world.jobs.map(({ state }) => state),
    ['paused', 'queued'],
    'a model means the own job of it',
  );
  const bad = await world.run(['job', 'ls', '--client', 'no spaces']);
  t.match(bad, { code: 2, stderr: /no client's name/ });
});

t.test('put makes versions, get-versions writes them behind delimiters', async (t) => {
  const folder = t.testdir({ 'vm1.log': 'first' });
  const world = new ClassicWorld();
  world.files.set('vm1.log', ['older']);
  const { stdout } = await world.shell(
    ['$put vm1.log vm1.log', '$get vm1.log copy.log', '$get-versions vm1.log 2 out.txt'],
    folder,
  );
  t.match(stdout, /^put vm1\.log v2 \(2\/2 copies\)\ngot vm1\.log v2 as .*copy\.log\n/);
  t.match(stdout, /got 2 versions of vm1\.log/);
  t.equal(readFileSync(join(folder, 'copy.log'), 'utf8'), 'first');
  t.equal(
    readFileSync(join(folder, 'out.txt'), 'utf8'),
    '===== vm1.log version 2, 5 bytes =====\nfirst\n' +
      '===== vm1.log version 1, 5 bytes =====\nolder\n',
  );
});

t.test('leave and join say what they did, and what there is to do', async (t) => {
  const world = new ClassicWorld();
  const ran = await world.shell(['join', 'leave', 'leave', 'list_self', '$ join', 'list_mem']);
  t.match(ran.stdout, /^n1 is a member already\nn1 has left\nn1:23:04:12\nn1 has joined\n\+--/);
  t.match(ran.stderr, /^error: n1 has left the group: type join/);
});
