/** Who belongs together, and who is there: greetings and the detection of dead peers. */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { type Process, World } from './world.js';

const N1 = nodeId('n1');
const N2 = nodeId('n2');
const SECOND = { timeoutMs: 1000 };

/** Two nodes that keep connected, as Raft's peers do. */
async function keptPair(): Promise<{ world: World; a: Process; b: Process }> {
  const world = new World();
  const a = await world.start('n1');
  const b = await world.start('n2');
  a.rpc.keepConnected([N1, N2]);
  b.rpc.keepConnected([N1, N2]);
  await world.pass(50);
  return { world, a, b };
}

t.test('kept peers connect without a call, once, and hear that the other is up', async (t) => {
  const { world, a, b } = await keptPair();
  await world.pass(1000);
  t.same(a.events, ['up n2@1']);
  t.same(b.events, ['up n1@1']);
  t.equal(a.rpc.counters.connected + b.rpc.counters.connected, 4, 'two ends on each of two lanes');
});

t.test('a crashed peer is down within milliseconds: refused', async (t) => {
  const { world, a } = await keptPair();
  world.network.crash('n2');
  await world.pass(3);
  t.same(a.events, ['up n2@1', 'down n2@1 refused']);
});

t.test(
  'a peer that is cut off after its connection broke is down after 30 ms: silent',
  async (t) => {
    const { world, a } = await keptPair();
    world.network.cut('n1', 'n2');
    world.network.reset('n1', 'n2');
    await world.pass(25);
    t.same(a.events.slice(1), []);
    await world.pass(10);
    t.same(a.events.slice(1), ['down n2@1 silent']);
  },
);

t.test('a connection that broke between two living nodes is no event', async (t) => {
  const { world, a, b } = await keptPair();
  for (const rpc of [a.rpc, b.rpc]) rpc.handle('echo', (args) => ({ value: args }));
  world.network.reset('n1', 'n2');
  await world.pass(25);
  t.same([a.events, b.events], [['up n2@1'], ['up n1@1']]);
  t.same((await world.until(a.rpc.call(N2, 'echo', [1], SECOND))).value, [1]);
});

t.test('a peer that restarts at once is down as new-epoch, then up', async (t) => {
  const { world, a } = await keptPair();
  world.network.crash('n2');
  const again = world.create('n2', { bootEpoch: 2 });
  void again.rpc.listen('127.0.0.1', world.address('n2').port);
  await world.pass(10);
  t.same(a.events, ['up n2@1', 'down n2@1 new-epoch', 'up n2@2']);
});

t.test('a peer that comes back later is up soon after', async (t) => {
  const { world, a } = await keptPair();
  world.network.crash('n2');
  await world.pass(5000);
  t.same(a.events.slice(1), ['down n2@1 refused']);
  await world.start('n2', { bootEpoch: 2 });
  await world.pass(260);
  t.same(a.events.slice(2), ['up n2@2']);
});

t.test('a peer that restarted unseen is told apart by its epoch', async (t) => {
  const { world, a } = await keptPair();
  world.network.crash('n2', true);
  const again = await world.start('n2', { bootEpoch: 2 });
  again.rpc.keepConnected([N1]);
  await world.pass(200);
  t.same(a.events, ['up n2@1', 'down n2@1 new-epoch', 'up n2@2']);
  t.same(a.rpc.counters.closed, { 'new-epoch': 2 }, 'what led to the former process is closed');
});

t.test(
  'nodes that dial each other at the same time keep one connection and lose no call',
  async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed);
      const a = await world.start('n1');
      const b = await world.start('n2');
      for (const { rpc } of [a, b]) {
        rpc.handle('echo', async (args) => {
          await world.clock.sleep(Number(args[0]) % 3);
          return { value: args };
        });
      }
      const calls = Array.from({ length: 40 }, (_, n) => {
        return n % 2 === 0
          ? a.rpc.call(N2, 'echo', [n], SECOND)
          : b.rpc.call(N1, 'echo', [n], SECOND);
      });
      const answers = await world.until(Promise.all(calls));
      t.same(
        answers.map(({ value }) => value),
        calls.map((_, n) => [n]),
      );
      await world.pass(100);
      const open = [a, b].map(({ rpc }) => {
        return (
          rpc.counters.connected - Object.values(rpc.counters.closed).reduce((x, y) => x + y, 0)
        );
      });
      t.same(open, [1, 1], `seed ${seed}`);
      t.same([a.events, b.events], [['up n2@1'], ['up n1@1']]);
    }
  },
);

t.test(
  'subscribers all hear; one that throws does not hide the event from the others',
  async (t) => {
    const world = new World();
    const a = await world.start('n1');
    await world.start('n2');
    const heard: string[] = [];
    a.rpc.onPeer({
      up: () => {
        throw new Error('oops');
      },
    });
    a.rpc.onPeer({ up: (peer) => heard.push(peer.name) });
    a.rpc.keepConnected([N2]);
    await world.pass(50);
    t.same(heard, ['n2']);
    t.same(
      a.logger.lines.map((line) => line.event),
      ['rpc.peer-event-failed'],
    );
  },
);

t.test('a peer that is kept no longer is not dialled again', async (t) => {
  const { world, a, b } = await keptPair();
  a.rpc.keepConnected([]);
  b.rpc.keepConnected([]);
  world.network.crash('n2');
  await world.start('n2', { bootEpoch: 2 });
  await world.pass(40);
  const before = a.rpc.counters.connected;
  world.network.crash('n2');
  await world.pass(2000);
  await world.start('n2', { bootEpoch: 3 });
  await world.pass(2000);
  t.equal(a.rpc.counters.connected, before);
});

const STRANGERS = [
  { options: { cluster: 'other' }, code: 'WRONG_CLUSTER', text: /cluster "other", n1 to "test"/ },
  { options: { fingerprint: 'f2' }, code: 'WRONG_CLUSTER', text: /name other coordinators/ },
  { options: { protocolVersion: 9 }, code: 'PROTOCOL', text: /n2 speaks protocol 9, n1 1/ },
];

for (const { options, code, text } of STRANGERS) {
  const what = Object.keys(options).join();
  t.test(`a node with another ${what} is refused, and both sides see why`, async (t) => {
    const world = new World();
    const a = await world.start('n1');
    const stranger = await world.start('n2', options);
    const error = await world.failure(stranger.rpc.call(N1, 'echo', [], SECOND));
    t.match(error, { code, message: text });
    const [line] = a.logger.lines;
    t.match(line, { event: 'net.refused', fields: { error: { code, message: text } } });
    t.same(a.rpc.counters.refused, { [code]: 1 });
    t.same(a.events, []);
  });
}

t.test('a node that answers under another name than was dialled is refused', async (t) => {
  const world = new World();
  const a = await world.start('n1');
  await world.start('n3');
  a.rpc.setAddress(N2, world.address('n3'));
  const error = await world.failure(a.rpc.call(N2, 'echo', [], SECOND));
  t.match(error, { code: 'WRONG_CLUSTER', message: /this is n3, not n2/ });
});

t.test('two processes under one name do not talk to each other', async (t) => {
  const world = new World();
  await world.start('n1');
  const twin = world.create('n1', { bootEpoch: 2 });
  const error = await world.failure(twin.rpc.call(world.address('n1'), 'echo', [], SECOND));
  t.match(error, { code: 'WRONG_CLUSTER', message: /another process runs as n1/ });
});

t.test('a client may leave the cluster open, but not name a wrong one', async (t) => {
  const world = new World();
  const a = await world.start('n1');
  a.rpc.handle('echo', (args) => ({ value: args }));
  const open = world.create('c1', { kind: 'client', cluster: '', fingerprint: '' });
  t.same((await world.until(open.rpc.call(world.address('n1'), 'echo', [1], SECOND))).value, [1]);
  const wrong = world.create('c2', { kind: 'client', cluster: 'other' });
  const error = await world.failure(wrong.rpc.call(world.address('n1'), 'echo', [1], SECOND));
  t.match(error, { code: 'WRONG_CLUSTER' });
});
