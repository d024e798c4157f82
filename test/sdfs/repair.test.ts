/** Repair, garbage collection and housekeeping on a cluster in memory. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { HOLDERS } from '../../src/sdfs/holder-index.js';
import { BLOBS, INTENTS, TOMBS, VERSIONS } from '../../src/sdfs/tables.js';
import { bytesOf, readAll, sourceOf, World } from './world.js';

async function putFiles(world: World, count: number, size = 2_000): Promise<void> {
  const put = async (): Promise<void> => {
    for (let at = 0; at < count; at += 1) {
      await world
        .client(`n${(at % world.nodes.size) + 1}`)
        .put(sourceOf(`f${at}`, bytesOf(size, at)));
    }
  };
  await world.run(put());
}

async function putGroup(world: World, count: number, prefix = 'g'): Promise<void> {
  const put = async (): Promise<void> => {
    const sources = (async function* () {
      for (let at = 0; at < count; at += 1) yield sourceOf(`${prefix}/${at}`, bytesOf(300, at));
    })();
    for await (const result of world.client().putMany(sources)) void result;
  };
  await world.run(put());
}

/** Blobs on nodes that run, by what the record says. */
function copiesUp(world: World): number[] {
  return world.store
    .rows(BLOBS)
    .map(([, row]) => row.holders.filter((node) => world.node(node).isRunning).length);
}

function isWhole(world: World): boolean {
  return copiesUp(world).every((copies) => copies >= 4);
}

async function filesOn(world: World, name: string): Promise<number[]> {
  const { disk } = world.node(name);
  const ids: number[] = [];
  for (const folder of await world.run(disk.list('/data/blobs'))) {
    ids.push(...(await world.run(disk.list(`/data/blobs/${folder}`))).map(Number));
  }
  return ids.sort((a, b) => a - b);
}

t.test(
  'after 3 of 10 nodes die, hundreds of small files are at four copies within seconds',
  async (t) => {
    const world = await World.create({ nodes: 10 });
    await putFiles(world, 120);
    await putGroup(world, 200);
    const startMs = world.clock.now();
    for (const victim of ['n2', 'n5', 'n9']) world.kill(victim);
    const atRisk = (): boolean => copiesUp(world).some((copies) => copies < 3);
    t.ok(atRisk(), 'some files have two copies or fewer');
    await world.until(() => !atRisk());
    t.ok(world.clock.now() - startMs < 5_000, `${world.clock.now() - startMs} ms to three copies`);
    await world.until(() => isWhole(world));
    t.ok(world.clock.now() - startMs < 15_000, `${world.clock.now() - startMs} ms to four copies`);
    for (let at = 0; at < 120; at += 17) {
      const { chunks } = await world.run(world.client('n1').get(`f${at}`));
      t.ok(Buffer.from(await world.run(readAll(chunks))).equals(bytesOf(2_000, at)));
    }
    const report = await world.run(world.client().report());
    t.match(report, { files: 320, underReplicated: 0, lost: 0 });
    world.end();
  },
);

t.test('one missing copy is waited for, and costs nothing when the node returns', async (t) => {
  const world = await World.create({ nodes: 6 });
  await putFiles(world, 30);
  const before = world.store.rows(BLOBS).map(([, row]) => row.holders);
  world.kill('n3');
  await world.sleep(5_000);
  t.same(
    world.store.rows(BLOBS).map(([, row]) => row.holders),
    before,
  );
  const report = await world.run(world.client().report());
  t.ok(report.underReplicated > 0);
  t.match(report.reasons.join('\n'), /waits for n3 to return/);
  await world.restart('n3');
  await world.sleep(30_000);
  t.same(
    world.store.rows(BLOBS).map(([, row]) => row.holders),
    before,
  );
  world.end();
});

t.test('one missing copy is made anew after the delay, and the extra one goes later', async (t) => {
  const world = await World.create({ nodes: 6 });
  await putFiles(world, 30);
  world.kill('n3');
  await world.until(() => isWhole(world), 30_000);
  await world.restart('n3');
  await world.until(
    () => world.store.rows(BLOBS).every(([, row]) => row.holders.length === 4),
    180_000,
  );
  await world.sleep(5_000);
  for (const name of world.nodes.keys()) {
    const recorded = world.store.index(HOLDERS).blobsOf(name, 0, 1_000);
    t.same(await filesOn(world, name), recorded, `${name} has what the record says, and no more`);
  }
  world.end();
});

t.test('copies of a node that left are made at once', async (t) => {
  const world = await World.create({ nodes: 7 });
  await putFiles(world, 40);
  world.kill('n4', false);
  world.mark('n4', 'left');
  const startMs = world.clock.now();
  await world.until(() => isWhole(world));
  t.ok(world.clock.now() - startMs < 5_000, `${world.clock.now() - startMs} ms`);
  world.end();
});

t.test(
  'files written while too few nodes were there get their copies when nodes come',
  async (t) => {
    const world = await World.create({ nodes: 5 });
    for (const name of ['n3', 'n4', 'n5']) world.kill(name);
    const result = await world.run(world.client().put(sourceOf('few', bytesOf(10_000))));
    t.equal(result.copies, 2);
    await world.sleep(100);
    const report = await world.run(world.client().report());
    t.match(report.reasons.join('\n'), /2 nodes are up, 4 copies are wanted/);
    const startMs = world.clock.now();
    for (const name of ['n3', 'n4']) await world.restart(name);
    await world.until(() => isWhole(world));
    t.ok(world.clock.now() - startMs < 10_000, `${world.clock.now() - startMs} ms`);
    world.end();
  },
);

t.test('a draining node is emptied of its duties while it still serves', async (t) => {
  const world = await World.create({ nodes: 6 });
  await putFiles(world, 20);
  world.mark('n2', 'draining');
  const elsewhere = (): boolean =>
    world.store
      .rows(BLOBS)
      .every(([, row]) => row.holders.filter((node) => node !== 'n2').length >= 4);
  await world.until(elsewhere);
  const result = await world.run(world.client().put(sourceOf('new', bytesOf(100))));
  t.notOk(result.holders.includes(world.node('n2').name));
  world.end();
});

t.test(
  'a node whose disk was replaced loses its copies from the record, and they are made anew',
  async (t) => {
    const world = await World.create({ nodes: 6 });
    await putFiles(world, 25);
    world.kill('n2', false);
    world.node('n2').disk.wipe();
    await world.restart('n2');
    await world.sleep(10_000);
    await world.until(() => isWhole(world));
    const recorded = world.store.index(HOLDERS).blobsOf('n2', 0, 1_000);
    t.same(await filesOn(world, 'n2'), recorded);
    world.end();
  },
);

t.test('bytes of a put that was given up are deleted everywhere', async (t) => {
  const world = await World.create({ nodes: 5 });
  world.onSubmit = (command) => {
    if (command === 'sdfs.commit') throw new Error('the client died here');
  };
  await t.rejects(world.run(world.client().put(sourceOf('x', bytesOf(5_000)))), /died/);
  t.ok((await filesOn(world, 'n1')).length + (await filesOn(world, 'n2')).length > 0);
  world.onSubmit = undefined;
  await world.sleep(10_000);
  for (const name of world.nodes.keys()) t.same(await filesOn(world, name), [], name);
  world.end();
});

t.test('an intent that nobody ends expires, and its bytes go', async (t) => {
  const world = await World.create({ nodes: 5 });
  world.onSubmit = (command) => {
    if (command.startsWith('sdfs.')) throw new Error('the client died here');
  };
  await t.rejects(world.run(world.client().put(sourceOf('x', bytesOf(5_000)))), /died/);
  t.equal(world.store.rows(INTENTS).length, 1);
  await world.sleep(5 * 60_000);
  t.equal(world.store.rows(INTENTS).length, 1, 'it may still be written to');
  t.ok((await filesOn(world, 'n1')).length + (await filesOn(world, 'n2')).length > 0);
  await world.sleep(6 * 60_000);
  t.equal(world.store.rows(INTENTS).length, 0);
  for (const name of world.nodes.keys()) t.same(await filesOn(world, name), [], name);
  world.end();
});

t.test('deleted files stay readable to those who pinned them, then their bytes go', async (t) => {
  const world = await World.create({ nodes: 5, pruneAfterMs: 60_000 });
  await putFiles(world, 3);
  await putGroup(world, 4);
  await world.run(world.client().delete('f1'));
  for (let at = 0; at < 3; at += 1) await world.run(world.client().delete(`g/${at}`));
  const [pinned] = await world.run(world.client('n4').readMany([{ name: 'f1', version: 1 }]));
  t.ok(pinned instanceof Uint8Array);
  await world.sleep(120_000);
  t.equal(world.store.rows(TOMBS).length, 0);
  t.same(
    world.store.rows(VERSIONS).map(([key]) => key[0]),
    ['f0', 'f2', 'g/3'],
  );
  for (const name of world.nodes.keys()) {
    t.same(await filesOn(world, name), world.store.index(HOLDERS).blobsOf(name, 0, 100), name);
  }
  const [file] = await world.run(world.client('n3').readMany([{ name: 'g/3', version: 1 }]));
  t.ok(Buffer.from(file as Uint8Array).equals(bytesOf(300, 3)), 'the pack lives for its last file');
  t.equal((await world.run(world.client().put(sourceOf('f1', bytesOf(10))))).version, 2);
  world.end();
});

t.test('a new leadership goes on with repair', async (t) => {
  const world = await World.create({ nodes: 8 });
  await putFiles(world, 60);
  world.kill('n1');
  world.kill('n2');
  await world.sleep(60);
  world.lead();
  await world.until(() => isWhole(world), 60_000);
  t.ok(isWhole(world));
  world.end();
});

t.test('every single fault of a copy at a time leaves all files readable and whole', async (t) => {
  const world = await World.create({ nodes: 7 });
  await putFiles(world, 12, 70_000);
  const faults = ['kill', 'wipe', 'flip', 'freeze'] as const;
  for (const [turn, fault] of faults.entries()) {
    const victim = `n${turn + 2}`;
    const { disk } = world.node(victim);
    if (fault === 'kill') world.kill(victim);
    if (fault === 'freeze') world.network.pause(victim);
    if (fault === 'freeze') world.mark(victim, 'down');
    if (fault === 'wipe') {
      world.kill(victim, false);
      disk.wipe();
      await world.restart(victim);
    }
    if (fault === 'flip') {
      for (const id of await filesOn(world, victim)) {
        disk.flipBit(`/data/blobs/${(id % 256).toString(16).padStart(2, '0')}/${id}`, 8 * 40_000);
      }
    }
    for (let at = 0; at < 12; at += 1) {
      const { chunks } = await world.run(world.client('n1').get(`f${at}`));
      const found = await world.run(readAll(chunks));
      t.ok(Buffer.from(found).equals(bytesOf(70_000, at)), `f${at} after ${fault}`);
    }
    await world.until(() => isWhole(world), 60_000);
    if (fault === 'kill') await world.restart(victim);
    if (fault === 'freeze') world.network.resume(victim);
    if (fault === 'freeze') world.mark(victim, 'up');
    await world.sleep(1_000);
  }
  t.ok(must(world.store.rows(BLOBS)[0], 'row'));
  world.end();
});
