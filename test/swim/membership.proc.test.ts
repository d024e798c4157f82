/**
 * Real membership threads on loopback: five in one process, then real processes for what one
 * process cannot show. Waits for events; how fast the machine is does not matter.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  createMemoryLogger,
  createRealClock,
  type MemoryLogger,
  must,
  nodeId,
} from '../../src/base/index.js';
import { createMembership, type Membership, type MemberState } from '../../src/swim/index.js';
import { membershipConfig } from './membership-config.js';

t.setTimeout(300_000);

const GUARD_MS = 60_000;
const clock = createRealClock();

/** UDP ports that are free now. Somebody may take them first: the caller retries. */
async function freePorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, () => {
      const socket = createSocket('udp4');
      return new Promise<typeof socket>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(0, '127.0.0.1', () => resolve(socket));
      });
    }),
  );
  const ports = sockets.map((socket) => socket.address().port);
  await Promise.all(sockets.map((it) => new Promise<void>((done) => it.close(() => done()))));
  return ports;
}

/** Resolves when the condition holds, looked at after each change of the lists; fails after 60 s. */
async function until(
  members: readonly Membership[],
  condition: () => boolean,
  what: string,
): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve, reject) => {
    const guard = clock.setTimer(GUARD_MS, () => reject(new Error(`${what}: not in 60 s`)));
    for (const member of members) {
      member.onChange(() => {
        if (!condition()) return;
        guard.cancel();
        resolve();
      });
    }
  });
}

interface Cluster {
  readonly nodes: readonly Membership[];
  readonly logger: MemoryLogger;
  readonly folder: string;
  readonly ports: readonly number[];
}

async function startCluster(size: number): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'idunno-swim-'));
  const logger = createMemoryLogger(clock);
  const ports = await freePorts(size);
  const config = membershipConfig(ports, { preset: 'test' });
  const started = config.nodes.map(({ name }) =>
    createMembership({
      config,
      self: name,
      bootEpoch: 1,
      bootWallMs: Math.round(clock.wall()),
      dataDir: join(folder, name),
      clock,
      logger,
    }),
  );
  return { nodes: await Promise.all(started), logger, folder, ports };
}

async function endCluster(cluster: Cluster): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  await rm(cluster.folder, { recursive: true, force: true });
}

/** The file is written in the background; its content is looked at until it fits. */
async function untilFile(path: string, fits: (text: string) => boolean): Promise<void> {
  for (const endMs = clock.now() + GUARD_MS; clock.now() < endMs; await clock.sleep(50)) {
    if (fits(await readFile(path, 'utf8').catch(() => ''))) return;
  }
  throw new Error(`${path}: not in 60 s`);
}

function allSee(nodes: readonly Membership[], name: string, state: MemberState | undefined) {
  return () => nodes.every((node) => node.get(nodeId(name))?.state === state);
}

function allActive(nodes: readonly Membership[], count: number) {
  return () =>
    nodes.every((node) => node.members().filter((it) => it.state === 'active').length === count);
}

t.test('five threads find each other, bury one that dies and let one leave', async (t) => {
  const cluster = await startCluster(5);
  const { nodes } = cluster;
  await until(nodes, allActive(nodes, 5), 'all Active');
  t.pass('all Active');
  const n2 = must(nodes[1], 'n2');
  const n5 = must(nodes[4], 'n5');
  const others = nodes.filter((node) => node !== n2);
  const steps: string[] = [];
  others[0]?.onChange(({ member, before, atWallMs }) => {
    t.type(atWallMs, 'number');
    if (member.name === 'n2') steps.push(`${before}>${member.state}`);
  });
  await n2.stop();
  await until(others, allSee(others, 'n2', undefined), 'n2 Deleted everywhere');
  // A busy machine may have raised and dropped a suspicion before.
  t.same(steps.slice(-3), ['active>suspicious', 'suspicious>failed', 'failed>deleted']);
  const evidence = await must(nodes[0], 'n1').why(nodeId('n2'));
  t.match(evidence.at(-1)?.text, /^Deleted/);

  const rest = others.filter((node) => node !== n5);
  await n5.leave();
  await until(rest, allSee(rest, 'n5', 'left'), 'n5 Left everywhere');
  t.equal(n5.self.state, 'left');
  await n5.join();
  await until(others, allActive(others, 4), 'n5 back');
  await endCluster(cluster);
});

t.test(
  'the last known members are kept in a file and introduce a node that starts anew',
  async (t) => {
    const cluster = await startCluster(3);
    const { nodes, folder, logger, ports } = cluster;
    const path = join(folder, 'n3', 'swim', 'last-members.json');
    await untilFile(path, (text) => text.includes('"n1"') && text.includes('"n2"'));
    await Promise.all(nodes.map((node) => node.stop()));
    // Nothing but that file can bring them together: neither side's config names the other.
    const config = membershipConfig(ports, { preset: 'test' });
    const start = (self: string, known: readonly string[], data: string) =>
      createMembership({
        config: { ...config, nodes: config.nodes.filter(({ name }) => known.includes(name)) },
        self: nodeId(self),
        bootEpoch: 2,
        bootWallMs: Math.round(clock.wall()),
        dataDir: join(folder, data),
        clock,
        logger,
      });
    const again = await Promise.all([
      start('n1', ['n1', 'n2'], 'new-n1'),
      start('n2', ['n1', 'n2'], 'new-n2'),
      start('n3', ['n3'], 'n3'),
    ]);
    await until(again, allActive(again, 3), 'all Active through the file of n3');
    t.pass('all Active through the file of n3');
    await endCluster({ ...cluster, nodes: again });
  },
);

t.test('a main thread that stands still is reported as stalled, and is not dead', async (t) => {
  const cluster = await startCluster(3);
  const { nodes } = cluster;
  await until(nodes, allActive(nodes, 3), 'all Active');
  const states: MemberState[] = [];
  for (const node of nodes) node.onChange(({ member }) => states.push(member.state));
  // Blocks the main thread of all three; their membership threads go on.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  const hasStall = () => nodes.some((node) => node.members().some((it) => it.stalledMs > 0));
  await until(nodes, hasStall, 'a stall on the lists');
  await until(nodes, () => !hasStall(), 'the end of the stall');
  t.notOk(states.includes('failed'), 'nobody was taken for dead');
  await endCluster(cluster);
});

t.test('a taken port is refused with its next step, and leaves nothing behind', async (t) => {
  const cluster = await startCluster(1);
  const config = membershipConfig(cluster.ports);
  const again = createMembership({
    config,
    self: nodeId('n1'),
    bootEpoch: 2,
    bootWallMs: 0,
    dataDir: join(cluster.folder, 'again'),
    clock,
    logger: cluster.logger,
  });
  await t.rejects(again, { code: 'PORT_TAKEN', message: /taken.+choose another/ });
  await endCluster(cluster);
});

t.test('after stop every request is refused, and stop may be called again', async (t) => {
  const cluster = await startCluster(1);
  const [node] = cluster.nodes;
  await node?.stop();
  await node?.stop();
  await t.rejects(must(node, 'n1').why(nodeId('n1')), { code: 'ABORTED' });
  await t.rejects(must(node, 'n1').leave(), { code: 'ABORTED' });
  await endCluster(cluster);
});

t.test('a process that has stopped its membership ends by itself', async (t) => {
  const [port = 0] = await freePorts(1);
  const folder = await mkdtemp(join(tmpdir(), 'idunno-swim-'));
  const program = `
    const { createMembership } = await import(process.argv[1]);
    const { createRealClock, createSilentLogger } = await import(process.argv[2]);
    const { membershipConfig } = await import(process.argv[3]);
    const membership = await createMembership({
      config: membershipConfig([${port}]), self: 'n1', bootEpoch: 1, bootWallMs: 0,
      dataDir: process.argv[4], clock: createRealClock(), logger: createSilentLogger(),
    });
    await membership.stop();
    process.stdout.write('stopped');`;
  const modules = ['../../src/swim/index.js', '../../src/base/index.js', './membership-config.js'];
  const urls = modules.map((path) => new URL(path, import.meta.url).href);
  const args = ['--input-type=module', '-e', program, ...urls, folder];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const guard = clock.setTimer(GUARD_MS, () => child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (bytes) => {
    output += String(bytes);
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  guard.cancel();
  t.same([code, output], [0, 'stopped']);
  await rm(folder, { recursive: true, force: true });
});
