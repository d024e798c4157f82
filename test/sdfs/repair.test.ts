/** Repair on a cluster in memory. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { BLOBS } from '../../src/sdfs/tables.js';
import {
  bytesOf,
  copiesUp,
  filesOn,
  isWhole,
  putFiles,
  putGroup,
  readAll,
  sourceOf,
  World,
} from './world.js';

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
