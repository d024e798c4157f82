/** Reads under damage, silence and loss; many files at once. */
import t from 'tap';
import { isIdunnoError, must } from '../../src/base/index.js';
import { BLOBS } from '../../src/sdfs/tables.js';
import { bytesOf, readAll, sourceOf, World } from './world.js';

const KIB = 1024;

/** Puts a file and returns its blob's id and the path of its file on each node. */
async function putBlob(world: World, name: string, size: number) {
  const bytes = bytesOf(size, size);
  const result = await world.run(world.client('n1').put(sourceOf(name, bytes)));
  const blob = must(world.store.rows(BLOBS).at(-1), 'blob')[0][0] as number;
  return { bytes, blob, holders: result.holders, path: pathOf(blob) };
}

function pathOf(blob: number): string {
  return `/data/blobs/${(blob % 256).toString(16).padStart(2, '0')}/${blob}`;
}

async function get(world: World, name: string, from: string): Promise<Uint8Array> {
  const { chunks } = await world.run(world.client(from).get(name));
  return world.run(readAll(chunks));
}

t.test('a flipped bit anywhere is never served, and the copy is made good again', async (t) => {
  const world = await World.create({ nodes: 6 });
  for (const size of [700, 300 * KIB, 2_500_000]) {
    const { bytes, holders, path } = await putBlob(world, `f${size}`, size);
    for (const place of [0.1, 0.5, 0.9]) {
      const [victim, ...others] = holders;
      const disk = world.node(must(victim, 'holder')).disk;
      const info = must(await world.run(disk.stat(path)), 'blob file');
      disk.flipBit(path, Math.floor(info.bytes * place) * 8 + 3);
      const damaged = await world.run(disk.readFile(path, 10_000_000));
      const found = await get(world, `f${size}`, must(victim, 'holder'));
      t.ok(Buffer.from(found).equals(bytes), `${size} bytes, damaged at ${place}`);
      t.ok(others.length === 3);
      await world.until(async () => {
        const now = await disk.readFile(path, 10_000_000);
        return !Buffer.from(now).equals(damaged);
      });
      const again = await get(world, `f${size}`, must(victim, 'holder'));
      t.ok(Buffer.from(again).equals(bytes));
    }
  }
  world.end();
});

t.test('three damaged copies of four still serve, and all become good', async (t) => {
  const world = await World.create({ nodes: 4 });
  const { bytes, holders, path } = await putBlob(world, 'f', 500 * KIB);
  const good = new Map<string, Uint8Array>();
  for (const node of holders.slice(1)) {
    const { disk } = world.node(node);
    good.set(node, await world.run(disk.readFile(path, 10_000_000)));
    disk.flipBit(path, 8 * 1000 * 100);
  }
  for (const node of holders) t.ok(Buffer.from(await get(world, 'f', node)).equals(bytes));
  await world.until(async () => {
    for (const [node, whole] of good) {
      const now = await world.node(node).disk.readFile(path, 10_000_000);
      if (!Buffer.from(now).equals(whole)) return false;
    }
    return true;
  });
  world.end();
});

t.test('when every copy is damaged the reader is told, and gets no bad byte', async (t) => {
  const world = await World.create({ nodes: 4 });
  const { holders, path } = await putBlob(world, 'f', 100 * KIB);
  for (const node of holders) world.node(node).disk.flipBit(path, 8 * 5000);
  const { chunks } = await world.run(world.client().get('f'));
  await t.rejects(world.run(readAll(chunks)), { code: 'CORRUPT' });
  world.end();
});

t.test('a copy that vanished is made again', async (t) => {
  const world = await World.create({ nodes: 5 });
  const { bytes, holders, path } = await putBlob(world, 'f', 10_000);
  const { disk } = world.node(must(holders[1], 'holder'));
  await world.run(disk.remove(path));
  t.ok(Buffer.from(await get(world, 'f', must(holders[1], 'holder'))).equals(bytes));
  await world.until(async () => (await disk.stat(path)) !== undefined);
  world.end();
});

t.test('a read goes on at another holder when the one it reads from dies', async (t) => {
  const world = await World.create({ nodes: 8 });
  const { bytes, holders } = await putBlob(world, 'f', 6_000_000);
  const reader = [...world.nodes.keys()].find((node) => !holders.includes(node));
  const { chunks } = await world.run(world.client(must(reader, 'reader')).get('f'));
  let dead = 0;
  const read = async (): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    let count = 0;
    for await (const piece of chunks) {
      pieces.push(piece);
      count += piece.length;
      const due = Math.floor(count / 1_500_000);
      while (dead < Math.min(due, 3)) {
        world.kill(must(holders[dead], 'holder'), false);
        dead += 1;
      }
    }
    return Buffer.concat(pieces);
  };
  t.ok(Buffer.from(await world.run(read())).equals(bytes));
  t.equal(dead, 3);
  world.end();
});

t.test('a frozen holder costs a read 50 ms, not its patience', async (t) => {
  const world = await World.create({ nodes: 8 });
  const { bytes, holders } = await putBlob(world, 'f', 20_000);
  const reader = must(
    [...world.nodes.keys()].find((node) => !holders.includes(node)),
    'reader',
  );
  await get(world, 'f', reader);
  for (const node of holders.slice(0, 3)) world.network.pause(node);
  const startMs = world.clock.now();
  t.ok(Buffer.from(await get(world, 'f', reader)).equals(bytes));
  t.ok(world.clock.now() - startMs < 300, `${world.clock.now() - startMs} ms`);
  world.end();
});

t.test('a holder that freezes in the middle of a read is left behind', async (t) => {
  const world = await World.create({ nodes: 8 });
  const { bytes, holders } = await putBlob(world, 'f', 9_000_000);
  const reader = must(
    [...world.nodes.keys()].find((node) => !holders.includes(node)),
    'reader',
  );
  const { chunks } = await world.run(world.client(reader).get('f'));
  const read = async (): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of chunks) {
      if (pieces.length === 0) for (const node of holders.slice(0, 3)) world.network.pause(node);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  };
  t.ok(Buffer.from(await world.run(read(), 60_000)).equals(bytes));
  world.end();
});

t.test('many files are read at once, in the order asked, each verified', async (t) => {
  const world = await World.create({ nodes: 7 });
  const sources = Array.from({ length: 60 }, (_, at) => sourceOf(`d/${at}`, bytesOf(100 + at, at)));
  const put = async (): Promise<void> => {
    const stream = (async function* () {
      yield* sources;
    })();
    for await (const result of world.client().putMany(stream)) t.equal(result.copies, 4);
  };
  await world.run(put());
  const refs = Array.from({ length: 60 }, (_, at) => ({ name: `d/${(at * 7) % 60}`, version: 1 }));
  const wanted = refs.map(({ name }) =>
    bytesOf(100 + Number(name.slice(2)), Number(name.slice(2))),
  );
  for (const reader of ['n1', 'n3', 'n6']) {
    const found = await world.run(world.client(reader).readMany(refs));
    t.ok(found.every((one, at) => Buffer.from(one as Uint8Array).equals(wanted[at] as Uint8Array)));
  }
  const mixed = [
    { name: 'd/1', version: 1 },
    { name: 'd/1', version: 9 },
    { name: 'no', version: 1 },
  ];
  const found = await world.run(world.client('n2').readMany(mixed));
  t.ok(found[0] instanceof Uint8Array);
  t.ok(isIdunnoError(found[1], 'VERSION_NOT_FOUND'));
  t.ok(isIdunnoError(found[2], 'VERSION_NOT_FOUND'));
  world.end();
});

t.test('reading many files falls back file by file when holders die or copies rot', async (t) => {
  const world = await World.create({ nodes: 7 });
  const sources = Array.from({ length: 30 }, (_, at) => sourceOf(`d/${at}`, bytesOf(5_000, at)));
  const put = async (): Promise<void> => {
    for (const source of sources) await world.client().put(source);
  };
  await world.run(put());
  const refs = sources.map(({ name }) => ({ name, version: 1 }));
  await world.run(world.client('n5').readMany(refs));
  world.kill('n1', false);
  world.kill('n2', false);
  for (const [[blob], row] of world.store.rows(BLOBS)) {
    const node = row.holders.find((holder) => holder !== 'n1' && holder !== 'n2');
    world.node(must(node, 'holder')).disk.flipBit(pathOf(blob as number), 8 * 1000);
  }
  const found = await world.run(world.client('n5').readMany(refs));
  found.forEach((one, at) => {
    t.ok(one instanceof Uint8Array && Buffer.from(one).equals(bytesOf(5_000, at)), `d/${at}`);
  });
  world.end();
});
