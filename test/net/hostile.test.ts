/** Peers that do not keep the rules: their connection is closed and counted, the node goes on. */
import tap from 'tap';
import { type Connection, createSeededRng, nodeId } from '../../src/base/index.js';
import { encodeFrame, FRAME_KIND, type FrameKind } from '../../src/net/frame.js';
import { PROTOCOL_VERSION, type Wire } from '../../src/net/index.js';
import { type Process, World } from './world.js';

const SECOND = { timeoutMs: 1000 };
const MIB = 2 ** 20;

function frame(kind: FrameKind, header: readonly Wire[], body = new Uint8Array(0)): Uint8Array {
  return Buffer.concat(encodeFrame(kind, header, body));
}

const HELLO = ['idunno', PROTOCOL_VERSION, 'test', 'f1', 'client', 'evil', 1, 'control', ''];

/** The node still answers an honest client. */
async function assertServes(t: Pick<typeof tap, 'same'>, world: World): Promise<void> {
  const client = world.create('honest', { kind: 'client' });
  const { value } = await world.until(client.rpc.call(nodeId('n1'), 'echo', [1], SECOND));
  t.same(value, [1]);
  await world.until(client.rpc.close());
}

async function victim(): Promise<{ world: World; node: Process }> {
  const world = new World();
  const node = await world.start('n1');
  node.rpc.handle('echo', (args) => ({ value: args }));
  node.rpc.handle('hang', () => new Promise(() => undefined));
  return { world, node };
}

async function greeted(world: World): Promise<{ connection: Connection; closed: Promise<void> }> {
  const stranger = await world.connect('n1');
  stranger.connection.write(frame(FRAME_KIND.hello, HELLO));
  await world.pass(5);
  return stranger;
}

tap.test('noise instead of a greeting closes the connection', async (t) => {
  const rng = createSeededRng('hostile/noise');
  const { world, node } = await victim();
  for (let i = 0; i < 300; i++) {
    const { connection, closed } = await world.connect('n1');
    connection.write(Uint8Array.from({ length: 9 + rng.int(100) }, () => rng.int(256)));
    if (rng.int(2) === 0) connection.end();
    await world.until(closed);
  }
  t.ok((node.rpc.counters.refused['PROTOCOL'] ?? 0) > 200, 'counted');
  await assertServes(t, world);
});

tap.test('a greeting that never comes is waited for 5 seconds', async (t) => {
  const { world } = await victim();
  const { connection, closed } = await world.connect('n1');
  connection.write(Uint8Array.of(0));
  const start = world.clock.now();
  await world.until(closed);
  t.ok(world.clock.now() - start >= 4990 && world.clock.now() - start < 5100);
});

tap.test('a greeting is bounded', async (t) => {
  const { world } = await victim();
  const { connection, closed } = await world.connect('n1');
  connection.write(Uint8Array.from([0, 1, 0, 0]));
  const start = world.clock.now();
  await world.until(closed);
  t.ok(world.clock.now() - start < 10, 'closed as soon as the length is known');
});

tap.test('malformed greetings are refused', async (t) => {
  const { world, node } = await victim();
  const broken: Wire[][] = [[], ['idunno']];
  HELLO.forEach((_, i) => {
    for (const value of [null, -1.5, 'x'.repeat(200), [], { a: 1 }]) {
      broken.push(HELLO.map((field, at) => (at === i ? value : field)));
    }
  });
  for (const hello of broken) {
    const { connection, closed } = await world.connect('n1');
    connection.write(frame(FRAME_KIND.hello, hello));
    await world.until(closed);
  }
  const refused = Object.values(node.rpc.counters.refused).reduce((sum, n) => sum + n, 0);
  // A fractional boot epoch or an unknown protocol is refused too; only -1.5 as a name is a text.
  t.equal(refused, broken.length);
  await assertServes(t, world);
});

const BREACHES: Readonly<Record<string, Uint8Array>> = {
  'a second greeting': frame(FRAME_KIND.hello, HELLO),
  'a call without a number': frame(FRAME_KIND.call, [null, 'echo', [], 1000, 0]),
  'a call without a method': frame(FRAME_KIND.call, [1, 5, [], 1000, 0]),
  'a call without arguments': frame(FRAME_KIND.call, [1, 'echo', null, 1000, 0]),
  'a call with a negative timeout': frame(FRAME_KIND.call, [1, 'echo', [], -1, 0]),
  'a number used twice': Buffer.concat([
    frame(FRAME_KIND.call, [1, 'hang', [], 1000, 0]),
    frame(FRAME_KIND.call, [1, 'hang', [], 1000, 0]),
  ]),
  'a piece of a body that was not announced': Buffer.concat([
    frame(FRAME_KIND.call, [1, 'hang', [], 1000, 0]),
    frame(FRAME_KIND.requestChunk, [1, 0], new Uint8Array(10)),
  ]),
  'more of a body than was allowed': Buffer.concat([
    frame(FRAME_KIND.call, [1, 'hang', [], 1000, 2]),
    ...Array.from({ length: 9 }, () => frame(FRAME_KIND.requestChunk, [1, 0], new Uint8Array(MIB))),
  ]),
  'a credit that is none': Buffer.concat([
    frame(FRAME_KIND.call, [1, 'hang', [], 1000, 0]),
    frame(FRAME_KIND.replyCredit, [1, -5]),
  ]),
  'a notice without a method': frame(FRAME_KIND.notice, [null, []]),
  'a broken checksum': frame(FRAME_KIND.ping, [0]).map((byte, i) => (i === 6 ? byte ^ 1 : byte)),
};

for (const [what, bytes] of Object.entries(BREACHES)) {
  tap.test(`${what} closes the connection, is counted, and harms nobody`, async (t) => {
    const { world, node } = await victim();
    const { connection, closed } = await greeted(world);
    connection.write(bytes);
    await world.until(closed);
    const reason = what === 'a broken checksum' ? 'checksum' : 'rules';
    t.same(node.rpc.counters.closed, { [reason]: 1 });
    t.same(
      node.logger.lines.map((line) => line.event),
      ['net.bad-frame'],
    );
    await assertServes(t, world);
  });
}

tap.test('frames about calls that do not exist are ignored: they may be late', async (t) => {
  const { world, node } = await victim();
  const { connection } = await greeted(world);
  for (const kind of [
    FRAME_KIND.answer,
    FRAME_KIND.error,
    FRAME_KIND.requestChunk,
    FRAME_KIND.replyChunk,
    FRAME_KIND.cancel,
  ]) {
    connection.write(frame(kind, [77, null]));
  }
  await world.pass(10);
  t.same(node.rpc.counters.closed, {});
});

tap.test('mutated frames of a peer never harm the node', async (t) => {
  const rng = createSeededRng('hostile/mutations');
  const { world, node } = await victim();
  const honest = [
    frame(FRAME_KIND.call, [1, 'echo', [1, 'a'], 1000, 0]),
    frame(FRAME_KIND.call, [2, 'hang', [], 1000, 2]),
    frame(FRAME_KIND.requestChunk, [2, 0], new Uint8Array(30)),
    frame(FRAME_KIND.notice, ['note', []]),
    frame(FRAME_KIND.cancel, [2]),
  ];
  for (let i = 0; i < 400; i++) {
    const { connection } = await greeted(world);
    for (let n = 0; n < 5; n++) {
      // Half of them with a right checksum: what is inside is wrong then.
      if (rng.int(2) === 0) {
        const header = [rng.int(3), rng.int(2) === 0 ? 'echo' : null, [], rng.int(5), rng.int(4)];
        const kind = (1 + rng.int(14)) as FrameKind;
        connection.write(frame(kind, header.slice(0, rng.int(6)), new Uint8Array(rng.int(20))));
        continue;
      }
      const bytes = (honest[rng.int(honest.length)] ?? new Uint8Array(9)).slice();
      if (rng.int(3) > 0) bytes[rng.int(bytes.length)] = rng.int(256);
      connection.write(bytes);
    }
    await world.pass(2);
    connection.destroy();
  }
  await world.pass(6000);
  t.equal(node.logger.lines.filter((line) => line.level === 'error').length, 0);
  await assertServes(t, world);
});

tap.test('a peer that reads nothing is cut off before it fills the memory', async (t) => {
  const { world, node } = await victim();
  node.rpc.handle('big', () => ({ value: new Uint8Array(4 * MIB) }));
  const { connection, closed } = await greeted(world);
  connection.pause();
  const start = world.clock.now();
  for (let n = 1; n <= 40; n++) connection.write(frame(FRAME_KIND.call, [n, 'big', [], 90_000, 0]));
  await world.pass(1000);
  t.ok(connection.bufferedBytes < 1000, 'its calls were read');
  t.ok(node.rpc.counters.bytesSent < 16 * MIB, 'answers wait their turn');
  await world.until(closed);
  t.ok(world.clock.now() - start < 31_000);
  t.same(node.rpc.counters.closed, { 'slow-reader': 1 });
  await assertServes(t, world);
});

tap.test('too many strangers at the door are turned away, and the door stays open', async (t) => {
  const { world, node } = await victim();
  const strangers = [];
  for (let i = 0; i < 300; i++) strangers.push(await world.connect('n1'));
  await world.pass(10);
  t.equal(node.rpc.counters.closed['too-many'], 44);
  for (const { connection } of strangers) connection.destroy();
  await world.pass(10);
  await assertServes(t, world);
});
