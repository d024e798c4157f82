/** Memory of a transfer: a few chunks per hop, whatever the file's size and the pace. */
import t from 'tap';
import { MIB, must } from '../../src/base/index.js';
import { LightDisk } from './light-disk.js';
import { bytesOf, sourceOf, World } from './world.js';

const FILE_BYTES = 32 * MIB;
const BYTES = bytesOf(FILE_BYTES);
/** A hop: a pipe of at most 4 MiB, the network's window of as much, and what is being written. */
const HOP_BYTES_MAX = 8 * MIB;

interface Meter {
  readonly written: Map<string, number>;
  read: number;
}

/** A cluster whose disks count what passes; `msPerMib` makes some of them slow. */
function createMetered(msPerMib: (node: string) => number): Promise<[World, Meter]> {
  const meter: Meter = { written: new Map(), read: 0 };
  const world = World.create({
    nodes: 5,
    makeDisk: (node, world) =>
      new LightDisk({
        onBytes: async (operation, bytes) => {
          const ms = (msPerMib(node) * bytes) / MIB;
          if (ms > 0) await world.clock.sleep(ms);
          if (operation === 'read') meter.read += bytes;
          else meter.written.set(node, (meter.written.get(node) ?? 0) + bytes);
        },
      }),
  });
  return world.then((made) => [made, meter]);
}

t.test('a put is never further ahead of slow disks than the bounds of its hops', async (t) => {
  for (const slow of [['n1', 'n2', 'n3', 'n4', 'n5'], ['n3']]) {
    const [world, meter] = await createMetered((node) => (slow.includes(node) ? 20 : 0));
    let ahead = 0;
    const source = sourceOf('big', BYTES, {
      chunkBytes: 256 * 1024,
      onChunk: (at) => {
        const writers = [...meter.written.values()];
        if (writers.length === 4) ahead = Math.max(ahead, at - Math.min(...writers));
      },
    });
    const result = await world.run(world.client('n1').put(source));
    t.match(result, { bytes: FILE_BYTES, copies: 4 });
    t.ok(ahead > 0 && ahead <= 3 * HOP_BYTES_MAX, `${slow.join()}: ${ahead} bytes ahead`);
    if (slow.length === 5) t.ok(ahead <= 2 * HOP_BYTES_MAX, `equally slow: ${ahead} bytes ahead`);
    world.end();
  }
});

t.test('a slow reader holds up the holder it reads from', async (t) => {
  const [world, meter] = await createMetered(() => 0);
  const put = await world.run(world.client('n1').put(sourceOf('big', BYTES)));
  const reader = must(
    [...world.nodes.keys()].find((node) => !put.holders.includes(node)),
    'reader',
  );
  const { chunks } = await world.run(world.client(reader).get('big'));
  const before = meter.read;
  let consumed = 0;
  let ahead = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of chunks) {
      consumed += chunk.length;
      await world.clock.sleep(20);
      ahead = Math.max(ahead, meter.read - before - consumed);
    }
  };
  await world.run(read());
  t.equal(consumed, FILE_BYTES);
  t.ok(ahead <= HOP_BYTES_MAX, `${ahead} bytes ahead`);
  world.end();
});

t.test('a reader that leaves stops the transfer', async (t) => {
  const [world, meter] = await createMetered(() => 0);
  const put = await world.run(world.client('n1').put(sourceOf('big', BYTES)));
  const reader = must(
    [...world.nodes.keys()].find((node) => !put.holders.includes(node)),
    'reader',
  );
  const { chunks } = await world.run(world.client(reader).get('big'));
  const before = meter.read;
  const readSome = async (): Promise<void> => {
    for await (const chunk of chunks) if (chunk.length > 0) return;
  };
  await world.run(readSome());
  await world.sleep(1_000);
  t.ok(meter.read - before <= HOP_BYTES_MAX, `${meter.read - before} bytes were read`);
  world.end();
});
