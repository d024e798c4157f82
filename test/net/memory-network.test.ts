/** The faults of the network in memory, and that a seed repeats them. */
import t from 'tap';
import { type Connection, createSeededRng, VirtualClock } from '../../src/base/index.js';
import { MemoryNetwork, type MemoryNetworkOptions } from '../../src/net/index.js';

const HOST = '127.0.0.1';

function create(seed: number, options: Partial<MemoryNetworkOptions> = {}) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, rng: createSeededRng(seed), ...options });
  return { clock, network };
}

/** A stream from a to b; what arrives at b, as text with its time. */
async function stream(seed: number) {
  const { clock, network } = create(seed);
  const arrived: string[] = [];
  await network.node('b').listen(HOST, 1, (far) => {
    far.onData((bytes) => arrived.push(Buffer.from(bytes).toString()));
    far.onClose((reason) => arrived.push(`closed ${reason}`));
  });
  const near = await clock.runUntil(network.node('a').connect(HOST, 1, 100));
  near.onData(() => undefined);
  return { clock, network, near, arrived };
}

const write = (to: Connection, text: string) => to.write(new TextEncoder().encode(text));

t.test('bytes on a cut link wait, and arrive in order when it heals', async (t) => {
  const { clock, network, near, arrived } = await stream(1);
  write(near, '1');
  network.cut('a', 'b');
  write(near, '2');
  write(near, '3');
  await clock.advanceSettled(10_000);
  t.same(arrived, []);
  network.heal('a', 'b');
  write(near, '4');
  await clock.advanceSettled(10);
  t.same(arrived, ['1', '2', '3', '4']);
  t.ok(network.struck.held >= 3);
});

t.test('a cut may be one-way', async (t) => {
  const { clock, network, near, arrived } = await stream(1);
  network.cut('b', 'a', true);
  write(near, '1');
  await clock.advanceSettled(10);
  t.same(arrived, ['1']);
  t.equal(near.bufferedBytes, 0);
  const attempt = network.node('a').connect(HOST, 1, 50);
  await t.rejects(clock.runUntil(attempt), { message: /timeout/ });
});

t.test('a frozen node carries nothing, and goes on where it was', async (t) => {
  const { clock, network, near, arrived } = await stream(1);
  network.pause('b');
  write(near, '1');
  await clock.advanceSettled(1000);
  t.same(arrived, []);
  network.resume('b');
  await clock.advanceSettled(10);
  t.same(arrived, ['1']);
});

t.test('a crash is heard by the peers as a reset; the loss of power is not', async (t) => {
  const loud = await stream(1);
  loud.network.crash('a');
  await loud.clock.advanceSettled(10);
  t.same(loud.arrived, ['closed reset']);
  const silent = await stream(1);
  silent.network.crash('a', true);
  await silent.clock.advanceSettled(10_000);
  t.same(silent.arrived, []);
});

t.test('datagrams are lost, doubled and reordered as told', async (t) => {
  const { clock, network } = create(1, {
    latencyMs: [1, 20],
    lossRate: 0.2,
    duplicateRate: 0.1,
  });
  const a = await network.node('a').openDatagram(HOST, 1);
  const b = await network.node('b').openDatagram(HOST, 2);
  const got: number[] = [];
  b.onPacket((bytes) => got.push(bytes[0] ?? -1));
  for (let n = 0; n < 200; n++) {
    a.send(HOST, 2, Uint8Array.of(n));
    clock.advance(1);
  }
  clock.advance(100);
  const distinct = new Set(got).size;
  t.equal(distinct, 200 - network.struck.lost);
  t.equal(got.length - distinct, network.struck.duplicated);
  t.ok(network.struck.lost > 20 && network.struck.duplicated > 5);
  t.notSame(
    got,
    [...got].sort((x, y) => x - y),
    'some overtake others',
  );
  network.cut('a', 'b');
  got.length = 0;
  a.send(HOST, 2, Uint8Array.of(1));
  clock.advance(100);
  t.same(got, [], 'a cut link loses them');
});

t.test('one seed gives one run', async (t) => {
  const run = async (seed: number) => {
    const { clock, near, arrived, network } = await stream(seed);
    const trace: number[] = [];
    network.node('c');
    for (let n = 0; n < 50; n++) {
      write(near, `${n},`);
      const due = clock.nextDueMs;
      if (due !== undefined) trace.push(due);
      clock.advance(0.05);
    }
    await clock.advanceSettled(10);
    return [trace, arrived];
  };
  t.same(await run(5), await run(5));
  t.notSame((await run(5))[0], (await run(6))[0]);
});
