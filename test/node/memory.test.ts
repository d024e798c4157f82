/**
 * Whole nodes in memory: the same composition as in production, over virtual time, a network, disks
 * and databases in memory, and an engine that runs no models.
 */
import t from 'tap';
import {
  type ClusterConfig,
  createMemoryLogger,
  createMemoryRuntime,
  createSeededRng,
  createSilentLogger,
  isIdunnoError,
  type MemoryRuntime,
  type NodeConfig,
  parseClusterConfig,
  VirtualClock,
} from '../../src/base/index.js';
import { ApiClient } from '../../src/cli/index.js';
import type { Engine } from '../../src/idunno/index.js';
import { createRpc, MemoryNetwork } from '../../src/net/index.js';
import { type RunningNode, startNode } from '../../src/node/index.js';
import { createInlineMembership } from '../../src/swim/index.js';

const CONFIG = [
  'cluster: memory',
  'preset: local',
  'dataRoot: /data',
  'coordinators: [n1, n2, n3]',
  'nodes:',
  '  - { name: n1, host: 127.0.0.1, port: 7001 }',
  '  - { name: n2, host: 127.0.0.1, port: 7002 }',
  '  - { name: n3, host: 127.0.0.1, port: 7003 }',
  '  - { name: n4, host: 127.0.0.1, port: 7004 }',
].join('\n');

const IDLE_ENGINE: Engine = {
  load: () => undefined,
  unload: () => undefined,
  acquire: () => undefined,
  onState: () => undefined,
  stop: async () => undefined,
};

class World {
  readonly clock = new VirtualClock();
  readonly config: ClusterConfig = parseClusterConfig(CONFIG, '/cluster.yaml');
  readonly rng = createSeededRng('node-memory');
  readonly network = new MemoryNetwork({ clock: this.clock, rng: this.rng.fork('network') });
  readonly machines = new Map<string, MemoryRuntime>();
  readonly nodes = new Map<string, RunningNode>();
  readonly fatal: string[] = [];
  readonly log = createMemoryLogger(this.clock);
  readonly client: ApiClient;

  constructor() {
    const rpc = createRpc({
      self: { name: 'client', kind: 'client', bootEpoch: 0 },
      cluster: this.config.cluster,
      fingerprint: this.config.fingerprint,
      network: this.network.node('client'),
      clock: this.clock,
      logger: createSilentLogger(),
    });
    const { cluster, nodes } = this.config;
    this.client = new ApiClient({ cluster, nodes }, { rpc, clock: this.clock });
  }

  machine(name: string): MemoryRuntime {
    const known = this.machines.get(name);
    if (known !== undefined) return known;
    const parts = {
      clock: this.clock,
      rng: this.rng.fork(name),
      network: this.network.node(name),
    };
    const made = createMemoryRuntime(parts);
    this.machines.set(name, made);
    return made;
  }

  start({ name }: Pick<NodeConfig, 'name'>): Promise<RunningNode> {
    const runtime = this.machine(name);
    const log = this.log.child({ node: name });
    return startNode(
      { config: this.config, name, version: 'test' },
      {
        runtime,
        log,
        createEngine: () => IDLE_ENGINE,
        createMembership: (node, { bootEpoch, path }) =>
          createInlineMembership({
            config: this.config,
            self: node.name,
            bootEpoch,
            bootWallMs: this.clock.wall(),
            dataDir: path,
            runtime,
            logger: log,
          }),
        onFatal: (error) => this.fatal.push(`${name}: ${error.message}`),
      },
    );
  }

  async startAll(): Promise<void> {
    const starting = this.config.nodes.map(async (node) => {
      this.nodes.set(node.name, await this.start(node));
    });
    await this.run(Promise.all(starting));
    await this.run(this.untilReady());
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.runUntil(promise, 60_000);
  }

  async untilReady(): Promise<void> {
    for (;;) {
      const asks = this.config.nodes.map(({ name }) => this.client.status({ node: name }));
      const answers = await Promise.all(asks);
      const isUp = answers.every(
        ({ ready, nodes }) =>
          ready && nodes.every(({ status, state }) => status === 'up' && state === 'active'),
      );
      if (isUp) return;
      await this.clock.sleep(50);
    }
  }

  async stopAll(): Promise<void> {
    await this.run(Promise.all([...this.nodes.values()].map((node) => node.stop())));
    await this.run(this.client.close());
  }
}

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
