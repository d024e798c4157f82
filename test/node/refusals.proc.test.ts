/** Nodes that must not start: each says why, in one sentence, with exit code 2. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { configText, createTestCluster } from './support.js';

t.test('a node whose port is taken says which, and leaves nothing behind', async (t) => {
  const cluster = await createTestCluster(1);
  t.teardown(() => cluster.remove());
  const port = cluster.ports[0];
  const squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen(port, '127.0.0.1', () => resolve()));
  const refused = await cluster.run(['node', 'n1']);
  t.equal(refused.code, 2);
  t.match(refused.stderr, new RegExp(`^error: .*${port}`));
  t.match(refused.stderr, /end what uses the port/);
  await new Promise((resolve) => squatter.close(resolve));
  const up = await cluster.run(['up']);
  t.equal(up.code, 0, `the folder and the port are free again: ${up.stderr}`);
});

t.test('two nodes of one file with one port are refused before anything starts', async (t) => {
  const cluster = await createTestCluster(2);
  t.teardown(() => cluster.remove());
  const [port = 0] = cluster.ports;
  writeFileSync(cluster.config, configText('test', ['n1', 'n2'], [port, port]));
  const ran = await cluster.run(['up']);
  t.equal(ran.code, 2);
  t.match(ran.stderr, new RegExp(String(port)));
});

t.test("another cluster's data is refused, naming both", async (t) => {
  const cluster = await createTestCluster(1, 'first');
  t.teardown(() => cluster.remove());
  t.equal((await cluster.run(['up'])).code, 0);
  t.equal((await cluster.run(['down'])).code, 0);
  const other = join(cluster.folder, 'other.yaml');
  writeFileSync(other, configText('second', ['n1'], cluster.ports));
  const ran = await cluster.run(['node', 'n1'], { config: other });
  t.equal(ran.code, 2);
  t.match(ran.stderr, /"first"/);
  t.match(ran.stderr, /"second"/);
  const shown = await cluster.run(['up'], { config: other });
  t.equal(shown.code, 2, 'up ends with the exit code of the node');
  t.match(shown.stderr, /n1 ended at once \(exit code 2\):\nerror: /);
});

t.test('a config with ten mistakes lists them all at once, with exit code 2', async (t) => {
  const cluster = await createTestCluster(1);
  t.teardown(() => cluster.remove());
  const mistakes = [
    'cluster: "no spaces"',
    'preset: fast',
    'colour: blue',
    'coordinators: [n1, n9]',
    'raft: { heartbeatMs: 1 }',
    'nodes:',
    '  - { name: n1, host: 127.0.0.1, port: 0 }',
    '  - { name: n1, host: 127.0.0.1, port: 7001 }',
    '  - { name: "-", host: 127.0.0.1, port: 7002 }',
    '  - { name: n3, host: 127.0.0.1, prt: 7003 }',
    '  - { name: n4, host: 127.0.0.1, port: 7004, slots: 0 }',
    '',
  ];
  const broken = join(cluster.folder, 'broken.yaml');
  writeFileSync(broken, mistakes.join('\n'));
  const ran = await cluster.run(['up'], { config: broken });
  t.equal(ran.code, 2);
  for (const line of [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]) {
    t.match(
      ran.stderr,
      new RegExp(`(broken\\.yaml)?:?${line}:\\d+`),
      `the mistake in line ${line}`,
    );
  }
  const down = await cluster.run(['status'], { config: broken });
  t.equal(down.code, 2, 'every command refuses it');
  writeFileSync(broken, configText('test', ['n1'], cluster.ports));
});

t.test('a node that the file does not name is not found', async (t) => {
  const cluster = await createTestCluster(1);
  t.teardown(() => cluster.remove());
  const ran = await cluster.run(['node', 'n7']);
  t.equal(ran.code, 3);
  t.match(ran.stderr, /names no node "n7": n1/);
  t.equal((await cluster.run(['status', '--node', 'n7'])).code, 3);
});
