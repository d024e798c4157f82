/** Many files at once: groups, packs, numbers, failures. */
import t from 'tap';
import type { PutOptions, PutResult, PutSource } from '../../src/sdfs/index.js';
import { BLOBS, INTENTS, VERSIONS } from '../../src/sdfs/tables.js';
import { bytesOf, readAll, sourceOf, World } from './world.js';

async function* streamOf(sources: readonly PutSource[]): AsyncGenerator<PutSource> {
  yield* sources;
}

function putAll(
  world: World,
  sources: readonly PutSource[],
  options: PutOptions = {},
  from = 'n1',
): Promise<PutResult[]> {
  const put = async (): Promise<PutResult[]> => {
    const results: PutResult[] = [];
    for await (const result of world.client(from).putMany(streamOf(sources), options)) {
      results.push(result);
    }
    return results;
  };
  return world.run(put());
}

function smallSources(count: number, prefix = 's'): PutSource[] {
  return Array.from({ length: count }, (_, at) =>
    sourceOf(`${prefix}/${at}`, bytesOf(50 + at, at)),
  );
}

t.test('small files share packs of at most 100, large ones are blobs of their own', async (t) => {
  const world = await World.create({ nodes: 6 });
  const large = [
    sourceOf('large', bytesOf(700_000)),
    sourceOf('u', bytesOf(90), { isLengthUnknown: true }),
  ];
  const sources = [...smallSources(250), ...large];
  const results = await putAll(world, sources);
  t.same(new Set(results.map((result) => result.name)), new Set(sources.map((one) => one.name)));
  t.ok(results.every((result) => result.version === 1 && result.copies === 4));
  const packs = world.store.rows(BLOBS).filter(([, row]) => row.pack);
  t.same(packs.map(([, row]) => row.refs.length).sort(), [100, 100, 50]);
  t.equal(world.store.rows(BLOBS).length, 5);
  for (const at of [0, 99, 100, 249]) {
    const { chunks, file } = await world.run(world.client('n5').get(`s/${at}`));
    t.ok(Buffer.from(await world.run(readAll(chunks))).equals(bytesOf(50 + at, at)));
    t.equal(file.bytes, 50 + at);
  }
  world.end();
});

t.test('packs are cut at 8 MiB', async (t) => {
  const world = await World.create({ nodes: 4 });
  const sources = Array.from({ length: 40 }, (_, at) =>
    sourceOf(`k/${at}`, bytesOf(250 * 1024, at)),
  );
  await putAll(world, sources);
  const sizes = world.store.rows(BLOBS).map(([, row]) => row.bytes);
  t.ok(
    sizes.every((bytes) => bytes <= 8 * 1024 * 1024),
    sizes.join(),
  );
  t.equal(sizes.length, 2);
  world.end();
});

t.test('a slow source does not keep what is there waiting', async (t) => {
  const world = await World.create({ nodes: 5 });
  const sources = (async function* () {
    yield sourceOf('first', bytesOf(10));
    await world.clock.sleep(60_000);
    yield sourceOf('second', bytesOf(10));
  })();
  const results = world.client().putMany(sources)[Symbol.asyncIterator]();
  const startMs = world.clock.now();
  t.match(await world.run(results.next()), { value: { name: 'first', copies: 4 } });
  t.ok(world.clock.now() - startMs < 1_000);
  t.match(await world.run(results.next()), { value: { name: 'second' } });
  t.match(await world.run(results.next()), { done: true });
  world.end();
});

t.test('a name that comes twice gets two versions', async (t) => {
  const world = await World.create({ nodes: 4 });
  const twice = [sourceOf('x', bytesOf(1)), sourceOf('x', bytesOf(2)), sourceOf('', bytesOf(0))];
  const results = await putAll(world, twice.slice(0, 2));
  t.same(results.map((result) => result.version).sort(), [1, 2]);
  await t.rejects(putAll(world, twice), { code: 'BAD_NAME' });
  world.end();
});

t.test('a retry under the same number makes no second version of anything', async (t) => {
  const world = await World.create({ nodes: 6 });
  const request = { session: 9, seq: 4 };
  const sources = [...smallSources(130), sourceOf('large', bytesOf(400_000))];
  let commits = 0;
  world.onSubmit = (command) => {
    if (command === 'sdfs.commit') commits += 1;
    if (command === 'sdfs.commit' && commits === 2) throw new Error('the node died here');
  };
  await t.rejects(putAll(world, sources, { request }), /died/);
  world.onSubmit = undefined;
  const results = await putAll(world, sources, { request }, 'n3');
  t.equal(results.length, 131);
  t.ok(results.every((result) => result.version === 1));
  t.equal(world.store.rows(VERSIONS).length, 131);
  const again = await putAll(world, sources, { request }, 'n4');
  t.same(
    again.map((result) => result.version),
    results.map(() => 1),
  );
  t.equal(world.store.rows(VERSIONS).length, 131);
  await world.sleep(1_000);
  t.equal(world.store.rows(INTENTS).length, 0);
  world.end();
});

t.test('a failing source ends it with its error; whole groups before it are durable', async (t) => {
  const world = await World.create({ nodes: 5 });
  const broken: PutSource = {
    name: 'broken',
    bytes: 5,
    // biome-ignore lint/correctness/useYield: it fails before it gives anything
    async *open() {
      throw new Error('no such picture');
    },
  };
  const seen: string[] = [];
  const put = async (): Promise<void> => {
    const sources = streamOf([...smallSources(100), ...smallSources(30, 't'), broken]);
    for await (const result of world.client().putMany(sources)) seen.push(result.name);
  };
  await t.rejects(world.run(put()), /no such picture/);
  t.equal(seen.length, 100);
  t.equal(world.store.rows(VERSIONS).length, 100);
  world.end();
});

t.test('a node that dies under many puts costs none of them', async (t) => {
  const world = await World.create({ nodes: 7 });
  let commits = 0;
  world.onSubmit = (command) => {
    if (command !== 'sdfs.commit') return;
    commits += 1;
    if (commits === 2) world.kill('n3');
    if (commits === 4) world.kill('n5');
  };
  const results = await putAll(world, smallSources(600));
  t.equal(results.length, 600);
  t.equal(new Set(results.map((result) => result.name)).size, 600);
  t.ok(results.every((result) => result.version === 1 && result.copies === 4));
  world.end();
});
