/** Whole nodes in memory, from start to the last timer: see memory-world.ts. */
import t from 'tap';
import { createSilentLogger, type IdunnoError, isIdunnoError } from '../../src/base/index.js';
import { ApiClient } from '../../src/cli/index.js';
import { createRpc } from '../../src/net/index.js';
import { MemoryWorld as World } from './memory-world.js';

async function* chunksOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString();
}

t.test('four nodes start, serve, and leave nothing running', async (t) => {
  const world = new World();
  const { client } = world;
  await world.startAll();

  for (const { name } of world.config.nodes) {
    const status = await world.run(client.status({ node: name }));
    t.equal(status.node, name);
    t.ok(status.leader, `${name} knows the leader`);
    t.equal(status.nodes.filter(({ isLeader }) => isLeader).length, 1, `${name}: one leads`);
  }

  await world.run(client.settingsPut('a', '1'));
  t.equal(await world.run(client.settingsGet('a', { node: 'n4' })), '1');
  const [setting] = await world.run(client.settingsList(''));
  t.match(setting, { key: 'a', value: '1', revision: 1 });

  const source = { bytes: 5, open: () => chunksOf('hello') };
  const put = await world.run(client.filePut('a.txt', source));
  t.match(put, { name: 'a.txt', version: 1, copies: 4, wanted: 4 });
  const many = ['b', 'c'].map((name) => ({ name, bytes: Buffer.from(name) }));
  t.equal((await world.run(client.filePutMany(many))).length, 2);
  const got = await world.run(client.fileGet('a.txt'));
  t.equal(await world.run(textOf(got.chunks)), 'hello');
  const page = await world.run(client.fileList(''));
  t.same(
    page.files.map(({ name }) => name),
    ['a.txt', 'b', 'c'],
  );
  t.equal((await world.run(client.fileStore('n4'))).length, 3);
  await world.run(client.fileDelete('b'));
  await t.rejects(world.run(client.fileStat('b')), { code: 'FILE_NOT_FOUND' });
  t.same(await world.run(client.jobList()), []);
  await t.rejects(world.run(client.jobInfo(7)), { code: 'JOB_NOT_FOUND' });
  const spec = { model: 'nonet', inputs: { prefix: 'a' }, batchSize: 1 };
  await t.rejects(world.run(client.jobSubmit(spec)), { code: 'MODEL_NOT_FOUND' });
  t.equal((await world.run(client.memberSelf({ node: 'n3' }))).name, 'n3');

  await world.stopAll();
  t.same(world.fatal, []);
  t.equal(world.clock.pending, 0, 'no timer is left');
});

t.test('leadership is handed over by name, and when the leader stops', async (t) => {
  const world = new World();
  const { client } = world;
  await world.startAll();
  const before = (await world.run(client.status())).leader;
  const to = before === 'n1' ? 'n2' : 'n1';
  t.equal(await world.run(client.raftTransfer(to)), before);
  const after = await world.run(client.raftStatus({ node: to }));
  t.equal(after.role, 'leader');
  await t.rejects(world.run(client.raftTransfer('n4')), { code: 'NODE_NOT_FOUND' });

  const stopping = world.nodes.get(to)?.stop();
  const startedMs = world.clock.now();
  await world.run(client.settingsPut('during', 'the stop'));
  t.ok(world.clock.now() - startedMs < 100, 'nobody waits for an election timeout');
  await world.run(Promise.resolve(stopping));
  const now = await world.run(client.status());
  t.not(now.leader, to);
  await world.stopAll();
  t.equal(world.clock.pending, 0);
});

t.test('no client loses a connection to a leader that stops', async (t) => {
  const world = new World();
  await world.startAll();
  const rpc = world.clientRpc('watched');
  const failures: unknown[] = [];
  const call: typeof rpc.call = (to, method, args, options) => {
    const answer = rpc.call(to, method, args, options);
    answer.catch((error: IdunnoError) => failures.push(error.data['reason'] ?? error.message));
    return answer;
  };
  const { cluster, nodes } = world.config;
  const watched = { rpc: { call, close: () => rpc.close() }, clock: world.clock };
  const client = new ApiClient({ cluster, nodes }, watched);
  await world.run(client.warm());
  const leader = (await world.run(client.status())).leader ?? '';
  let isStopped = false;
  const stopping = world.nodes
    .get(leader)
    ?.stop()
    .then(() => {
      isStopped = true;
    });
  const took: number[] = [];
  const write = async (): Promise<void> => {
    while (!isStopped || took.length < 10) {
      const sentMs = world.clock.now();
      await client.settingsPut('k', `${took.length}`);
      took.push(world.clock.now() - sentMs);
    }
  };
  await world.run(Promise.all([write(), stopping]));
  t.ok(Math.max(...took) < 40, `ms: ${took.join(', ')}`);
  t.same(
    failures.filter((reason) => reason !== 'refused'),
    [],
  );
  await world.run(client.close());
  await world.stopAll();
});

t.test('a node that leaves is committed left, and up again when it joins', async (t) => {
  const world = new World();
  const { client } = world;
  await world.startAll();
  const until = async (status: string): Promise<void> => {
    for (;;) {
      const { nodes } = await client.status({ node: 'n1' });
      if (nodes.find(({ name }) => name === 'n4')?.status === status) return;
      await world.clock.sleep(20);
    }
  };
  await world.run(client.memberLeave('n4'));
  await world.run(until('left'));
  await world.run(client.memberJoin('n4'));
  await world.run(until('up'));
  const events = world.log.lines.filter(({ event }) => event === 'node.marked');
  t.same(
    events.map(({ fields }) => `${fields['name']} ${fields['status']}`),
    ['n4 left', 'n4 up'],
  );
  await world.stopAll();
});

t.test('a node that stops is committed down, and its restart is another epoch', async (t) => {
  const world = new World();
  const { client } = world;
  await world.startAll();
  await world.run(client.settingsPut('kept', 'yes'));
  const first = world.nodes.get('n3');
  await world.run(Promise.resolve(first?.stop()));
  const isDown = async (): Promise<void> => {
    for (;;) {
      const { nodes } = await client.status();
      if (nodes.find(({ name }) => name === 'n3')?.status === 'down') return;
      await world.clock.sleep(20);
    }
  };
  await world.run(isDown());
  const n3 = world.config.nodes.find(({ name }) => name === 'n3');
  if (n3 === undefined) throw new Error('n3 is in the config');
  const second = await world.run(world.start(n3));
  world.nodes.set('n3', second);
  t.ok(second.bootEpoch > (first?.bootEpoch ?? 0));
  await world.run(world.untilReady());
  t.equal(await world.run(client.settingsGet('kept', { node: 'n3' })), 'yes');
  await world.stopAll();
  t.equal(world.clock.pending, 0);
});

t.test('a node that cannot start leaves nothing behind', async (t) => {
  const world = new World();
  const squatter = await world.network.node('n1').listen('127.0.0.1', 7001, () => undefined);
  const n1 = world.config.nodes[0];
  if (n1 === undefined) throw new Error('n1 is in the config');
  const failed = await world.run(world.start(n1).catch((error: unknown) => error));
  t.ok(isIdunnoError(failed, 'PORT_TAKEN'));
  t.equal(world.clock.pending, 0, 'no timer is left');
  await squatter.close();
  const running = await world.run(world.start(n1));
  await world.run(running.stop());
  // It had begun to look for the others: each search ends at its own bound.
  await world.clock.advanceSettled(15_000);
  t.equal(world.clock.pending, 0);
});

t.test('arguments from outside are refused, never trusted', async (t) => {
  const world = new World();
  await world.startAll();
  const rpc = createRpc({
    self: { name: 'stranger', kind: 'client', bootEpoch: 0 },
    cluster: '',
    fingerprint: '',
    network: world.network.node('stranger'),
    clock: world.clock,
    logger: createSilentLogger(),
  });
  const address = { host: '127.0.0.1', port: 7001 };
  const wrong: readonly (readonly [string, readonly (string | number | null)[]])[] = [
    ['api.settings.put', ['key']],
    ['api.settings.put', ['key', 5, 1, 1]],
    ['api.file.put', ['name', -1, 'all', 1, 1]],
    ['api.file.put', ['name', 1, 'never', 1, 1]],
    ['api.file.list', ['', null, 0]],
    ['api.job.info', ['seven']],
    ['api.job.submit', ['no spec', 1, 1]],
    ['api.file.store', ['n9']],
    ['api.member.why', ['no such name !']],
    ['api.nothing', []],
  ];
  for (const [method, args] of wrong) {
    const outcome = await world.run(
      rpc.call(address, method, args, { timeoutMs: 5_000 }).then(
        () => 'answered',
        (error: unknown) => (isIdunnoError(error) ? error.code : String(error)),
      ),
    );
    t.match(
      outcome,
      /^(BAD_ARGUMENT|NODE_NOT_FOUND|BAD_NAME|NO_SUCH_METHOD)$/,
      `${method} ${args}`,
    );
  }
  await world.run(rpc.close());
  await world.stopAll();
});
