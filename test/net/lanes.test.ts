/** The lane for heartbeats: what it is for, when it is there, and what its end says. */
import t from 'tap';
import {
  type Connection,
  IdunnoError,
  KIB,
  type Network,
  nodeId,
  VirtualClock,
} from '../../src/base/index.js';
import { LaneKeeper, type LaneKeeperHost } from '../../src/net/lane-keeper.js';
import { type Process, World } from './world.js';

const N2 = nodeId('n2');
/** As large as an append may be. */
const APPEND = new Uint8Array(512 * KIB);

interface Pair {
  readonly world: World;
  readonly a: Process;
  readonly b: Process;
  /** n2's end of each connection that n1 made, in order: control, heartbeat, ... */
  readonly accepted: Connection[];
  readonly dialled: Connection[];
  /** What arrived at n2. */
  readonly marks: string[];
}

/** n1 keeps connected to n2, which takes so many connections at most. */
async function pair(connectionsMax: number): Promise<Pair> {
  const world = new World();
  const accepted: Connection[] = [];
  const dialled: Connection[] = [];
  const through = (network: Network): Network => ({
    ...network,
    listen: (host, port, accept) =>
      network.listen(host, port, (connection) => {
        if (accepted.push(connection) <= connectionsMax) accept(connection);
        else connection.destroy('too-many');
      }),
    connect: async (host, port, timeoutMs) => {
      const connection = await network.connect(host, port, timeoutMs);
      dialled.push(connection);
      return connection;
    },
  });
  const a = await world.start('n1', { through });
  const b = await world.start('n2', { through });
  const marks: string[] = [];
  b.rpc.handleNotice('mark', ([text]) => marks.push(String(text)));
  a.rpc.keepConnected([N2]);
  await world.pass(50);
  return { world, a, b, accepted, dialled, marks };
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`${list.length} items, none at ${index}`);
  return item;
}

/** n2 does not read its control connection, on which so many appends were sent. */
async function clog({ world, a, accepted }: Pair, appends: number): Promise<void> {
  at(accepted, 0).pause();
  for (let sent = 0; sent < appends; sent++) a.rpc.notify(N2, 'append', [], APPEND);
  await world.pass(10);
}

function mark({ a }: Pair): void {
  a.rpc.notify(N2, 'mark', ['control']);
  a.rpc.notify(N2, 'mark', ['heartbeat'], undefined, 'heartbeat');
}

for (const appends of [2, 20]) {
  const isFull = appends === 20;
  t.test(`a heartbeat arrives although ${appends} appends wait`, async (t) => {
    const nodes = await pair(2);
    await clog(nodes, appends);
    mark(nodes);
    await nodes.world.pass(500);
    t.same(nodes.marks, ['heartbeat']);
    at(nodes.accepted, 0).resume();
    await nodes.world.pass(500);
    t.same(nodes.marks, isFull ? ['heartbeat'] : ['heartbeat', 'control']);
  });

  t.test(`it waits, or is lost, behind ${appends} where there is no lane for it`, async (t) => {
    const nodes = await pair(1);
    await clog(nodes, appends);
    mark(nodes);
    await nodes.world.pass(500);
    t.same(nodes.marks, []);
    at(nodes.accepted, 0).resume();
    await nodes.world.pass(500);
    t.same(nodes.marks, isFull ? [] : ['control', 'heartbeat']);
  });
}

t.test('a lane that cannot be had is asked for again, and control serves meanwhile', async (t) => {
  const nodes = await pair(1);
  mark(nodes);
  await nodes.world.pass(5);
  t.same(nodes.marks, ['control', 'heartbeat']);
  const asked = nodes.accepted.length;
  await nodes.world.pass(1_100);
  t.ok(nodes.accepted.length > asked);
  t.same(nodes.a.events, ['up n2@1'], 'no death is concluded from it');
});

t.test('a lane that broke is opened again, and is no event', async (t) => {
  const nodes = await pair(9);
  at(nodes.accepted, 1).destroy('reset');
  await nodes.world.pass(5);
  t.equal(nodes.accepted.length, 3);
  await clog(nodes, 2);
  mark(nodes);
  await nodes.world.pass(500);
  t.same(nodes.marks, ['heartbeat']);
  t.same([nodes.a.events, nodes.b.events], [['up n2@1'], ['up n1@1']]);
});

t.test('a lane that swallows what it is given is replaced', async (t) => {
  const nodes = await pair(9);
  at(nodes.accepted, 1).pause();
  mark(nodes);
  await nodes.world.pass(4_000);
  t.same(nodes.marks, ['control']);
  mark(nodes);
  await nodes.world.pass(5);
  t.same(nodes.marks.slice(1).sort(), ['control', 'heartbeat']);
  t.same(nodes.a.events, ['up n2@1']);
});

t.test('its end is enough to notice that the process is gone', async (t) => {
  const nodes = await pair(2);
  nodes.world.network.crash('n2', true);
  await nodes.world.pass(5);
  t.same(nodes.a.events, ['up n2@1'], 'nobody has said so');
  at(nodes.dialled, 1).destroy('reset');
  await nodes.world.pass(5);
  t.same(nodes.a.events, ['up n2@1', 'down n2@1 refused']);
});

t.test('the end of the control connection says so as before, while the lane is open', async (t) => {
  const nodes = await pair(2);
  nodes.world.network.crash('n2', true);
  at(nodes.dialled, 0).destroy('reset');
  await nodes.world.pass(5);
  t.same(nodes.a.events, ['up n2@1', 'down n2@1 refused']);
});

/** A keeper whose lane is refused, and when it asked. */
function refusedKeeper(clock: VirtualClock) {
  const state = { isOpen: false, isWanted: true, refusals: 0, askedAt: [] as number[] };
  const host: LaneKeeperHost = {
    clock,
    open: async () => {
      state.askedAt.push(clock.now());
      throw new IdunnoError('UNAVAILABLE', 'refused', { reason: 'refused' });
    },
    isOpen: () => state.isOpen,
    isWanted: () => state.isWanted,
    doubt: () => undefined,
    onRefused: () => {
      state.refusals++;
    },
  };
  return { state, keeper: new LaneKeeper(host, true) };
}

t.test('a lane is asked for ever more rarely, and not at all when it is not wanted', async (t) => {
  const clock = new VirtualClock();
  const { state, keeper } = refusedKeeper(clock);
  const from = clock.now();
  keeper.want();
  await clock.advanceSettled(10_000);
  const times = state.askedAt.map((time) => time - from);
  t.same(times.slice(0, 5), [0, 2, 6, 14, 30]);
  t.same(at(times, times.length - 1) - at(times, times.length - 2), 1_000);
  t.equal(state.refusals, 0, 'a lane that never was open says nothing of the process');
  state.isWanted = false;
  await clock.advanceSettled(1_000);
  const asked = state.askedAt.length;
  await clock.advanceSettled(10_000);
  t.equal(state.askedAt.length, asked);
});

t.test('a lane that was open and is refused now is reported', async (t) => {
  const clock = new VirtualClock();
  const { state, keeper } = refusedKeeper(clock);
  state.isOpen = true;
  keeper.onOpen();
  await clock.advanceSettled(100);
  t.equal(state.askedAt.length, 0);
  state.isOpen = false;
  keeper.onLost();
  await clock.advanceSettled(1);
  t.equal(state.refusals, 0);
  await clock.advanceSettled(1);
  t.equal(state.refusals, 1);
  keeper.stop();
});
