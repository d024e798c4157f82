/** The runner, on a network and a disk in memory and a clock that moves when told to. */
import t from 'tap';
import {
  createMemoryLogger,
  createSeededRng,
  isIdunnoError,
  MemoryDisk,
  must,
  type NodeId,
  nodeId,
  type Runtime,
  VirtualClock,
} from '../../src/base/index.js';
import { MemoryNetwork } from '../../src/net/index.js';
import { createInlineMembership, type Membership, type MemberEvent } from '../../src/swim/index.js';
import { membershipConfig } from './membership-config.js';

const PORTS = [7001, 7002, 7003, 7004, 7005];
const CONFIG = membershipConfig(PORTS);

class World {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork({ clock: this.clock, rng: createSeededRng('network') });
  readonly logger = createMemoryLogger(this.clock);
  readonly disks = new Map<string, MemoryDisk>();
  readonly nodes = new Map<string, Membership>();

  async start(
    name: string,
    options: {
      bootEpoch?: number;
      config?: typeof CONFIG;
      seeds?: { host: string; port: number }[];
    } = {},
  ): Promise<Membership> {
    const disk = this.disks.get(name) ?? new MemoryDisk();
    this.disks.set(name, disk);
    const runtime: Pick<Runtime, 'clock' | 'rng' | 'network' | 'disk'> = {
      clock: this.clock,
      rng: createSeededRng(name),
      network: this.network.node(name),
      disk,
    };
    const membership = await createInlineMembership({
      config: options.config ?? CONFIG,
      self: nodeId(name),
      bootEpoch: options.bootEpoch ?? 1,
      bootWallMs: this.clock.wall(),
      dataDir: '/data',
      seeds: options.seeds ?? [],
      runtime,
      logger: this.logger,
    });
    this.nodes.set(name, membership);
    return membership;
  }

  node(name: string): Membership {
    return must(this.nodes.get(name), name);
  }

  run(ms: number): Promise<void> {
    return this.clock.advanceSettled(ms);
  }

  states(observer: string): string[] {
    return this.node(observer)
      .members()
      .map((member) => `${member.name} ${member.state}`);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
  }
}

async function startAll(...names: string[]): Promise<World> {
  const world = new World();
  for (const name of names) await world.start(name);
  await world.run(1500);
  return world;
}

const active = (...names: string[]) => names.map((name) => `${name} active`);

t.test('nodes find each other and stay on each other’s lists', async (t) => {
  const world = await startAll('n1', 'n2', 'n3');
  for (const name of ['n1', 'n2', 'n3']) t.same(world.states(name), active('n1', 'n2', 'n3'));
  t.equal(world.node('n1').self.name, 'n1');
  t.equal(world.node('n1').get(nodeId('n4')), undefined);
  await world.run(10_000);
  t.same(world.states('n2'), active('n1', 'n2', 'n3'));
  t.equal(world.node('n2').healthScore(), 0);
  await world.stop();
});

t.test('listeners hear a crash step by step, and why tells the evidence', async (t) => {
  const world = await startAll('n1', 'n2', 'n3', 'n4');
  const events: MemberEvent[] = [];
  world.node('n1').onChange((event) => events.push(event));
  await world.node('n3').stop();
  await world.run(4000);
  t.same(
    events.map(({ member, before }) => `${member.name} ${before}>${member.state}`),
    ['n3 active>suspicious', 'n3 suspicious>failed', 'n3 failed>deleted'],
  );
  t.same(world.states('n1'), active('n1', 'n2', 'n4'));
  const evidence = await world.node('n1').why(nodeId('n3'));
  t.match(evidence.map((it) => it.text).join('\n'), /Suspicious: accused by.+Failed:.+Deleted:/s);
  t.ok(evidence.every((it) => it.atWallMs <= world.clock.wall()));
  await world.stop();
});

t.test('a listener that throws does not hide the change from the others', async (t) => {
  const world = await startAll('n1', 'n2');
  let heard = 0;
  world.node('n1').onChange(() => {
    throw new Error('a bug of the listener');
  });
  world.node('n1').onChange(() => heard++);
  await world.node('n2').stop();
  await world.run(4000);
  t.equal(heard, 3);
  t.ok(world.logger.lines.some((line) => line.event === 'swim.listener-failed'));
  await world.stop();
});

t.test('leave is seen as Left, and join brings the node back', async (t) => {
  const world = await startAll('n1', 'n2', 'n3');
  await world.clock.runUntil(world.node('n2').leave());
  t.same(world.states('n1'), ['n1 active', 'n2 left', 'n3 active']);
  t.equal(world.node('n2').self.state, 'left');
  await world.run(3000);
  t.same(world.states('n3'), ['n1 active', 'n2 left', 'n3 active']);
  await world.clock.runUntil(world.node('n2').join());
  await world.run(500);
  t.same(world.states('n1'), active('n1', 'n2', 'n3'));
  await world.stop();
});

t.test('join of a node that is alone does not fail', async (t) => {
  const world = await startAll('n1');
  await world.clock.runUntil(world.node('n1').join());
  t.same(world.states('n1'), active('n1'));
  await world.stop();
});

t.test('a restart is one identity replacing another', async (t) => {
  const world = await startAll('n1', 'n2', 'n3');
  await world.node('n2').stop();
  await world.start('n2', { bootEpoch: 2 });
  await world.run(1000);
  t.equal(world.node('n1').get(nodeId('n2'))?.bootEpoch, 2);
  t.same(world.states('n3'), active('n1', 'n2', 'n3'));
  await world.stop();
});

t.test('members outlive a config that no longer names anybody', async (t) => {
  const world = await startAll('n1', 'n2', 'n3');
  await world.run(3000);
  await world.node('n3').stop();
  const alone = { ...CONFIG, nodes: CONFIG.nodes.filter((node) => node.name === 'n3') };
  await world.start('n3', { bootEpoch: 2, config: alone });
  await world.run(2000);
  t.same(world.states('n3'), active('n1', 'n2', 'n3'));
  await world.stop();
});

t.test('an unreadable list of remembered members is a warning, no more', async (t) => {
  const world = new World();
  const disk = new MemoryDisk();
  await disk.mkdir('/data/swim');
  const garbage = new TextEncoder().encode('{"version":1,"peers":[{"name":"../x"}, 7');
  await disk.writeFileDurable('/data/swim/last-members.json', garbage);
  world.disks.set('n1', disk);
  await world.start('n1');
  t.ok(world.logger.lines.some((line) => line.event === 'swim.remembered-unreadable'));
  await world.stop();
});

t.test('a node outside the config finds the cluster through an address', async (t) => {
  const world = await startAll('n1', 'n2');
  const config = membershipConfig([7009]);
  const [own] = config.nodes;
  const nodes = [{ ...must(own, 'a node'), name: nodeId('n9') }];
  const seeds = [{ host: '127.0.0.1', port: 7002 }];
  await world.start('n9', { config: { ...config, nodes }, seeds });
  await world.run(2000);
  t.same(world.states('n9'), active('n1', 'n2', 'n9'));
  t.same(world.states('n1'), active('n1', 'n2', 'n9'));
  await world.stop();
});

t.test('nodes of another cluster are not let in, and their packets are counted', async (t) => {
  const world = await startAll('n1', 'n2');
  const config = membershipConfig(PORTS, { cluster: 'another' });
  await world.start('n3', { config });
  await world.run(3000);
  t.same(world.states('n3'), active('n3'));
  t.same(world.states('n1'), active('n1', 'n2'));
  t.match(
    world.logger.lines.find((line) => line.event === 'swim.refused'),
    { fields: { refusal: 'cluster' } },
  );
  await world.stop();
});

t.test('a port that is taken, and a name that is not configured, say what to do', async (t) => {
  const world = await startAll('n1');
  await t.rejects(world.start('n1', { bootEpoch: 2 }), { code: 'PORT_TAKEN' });
  const name: NodeId = nodeId('n77');
  await world.start(name).then(
    () => t.fail('n77 is not configured'),
    (error: unknown) => {
      t.ok(isIdunnoError(error, 'NODE_NOT_FOUND'));
      t.match(String(error), /names no node "n77": it names n1, n2/);
    },
  );
  await world.stop();
});

t.test('two halves of a cluster compare their lists over TCP when they meet again', async (t) => {
  const world = await startAll('n1', 'n2', 'n3', 'n4', 'n5');
  const halves = [
    ['n1', 'n2'],
    ['n3', 'n4', 'n5'],
  ] as const;
  for (const a of halves[0]) for (const b of halves[1]) world.network.cut(a, b);
  await world.run(10_000);
  t.same(world.states('n1'), active('n1', 'n2'));
  t.same(world.states('n4'), active('n3', 'n4', 'n5'));
  world.network.heal();
  await world.run(10_000);
  for (const name of ['n1', 'n5']) {
    t.same(world.states(name), active('n1', 'n2', 'n3', 'n4', 'n5'));
  }
  await world.stop();
});
