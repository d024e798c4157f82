/** Garbage collection, inventories and housekeeping on a cluster in memory. */
import t from 'tap';
import { HOLDERS } from '../../src/sdfs/holder-index.js';
import { BLOBS, INTENTS, TOMBS, VERSIONS } from '../../src/sdfs/tables.js';
import { bytesOf, filesOn, isWhole, putFiles, putGroup, sourceOf, World } from './world.js';

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
