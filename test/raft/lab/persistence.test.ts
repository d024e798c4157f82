/**
 * Persistence: the third part of the laboratory list (see lab-world.ts). A crash loses what was not
 * synced; a started node has its disk and nothing else.
 */
import t from 'tap';
import type { TestNode } from '../driver-world.js';
import { LabWorld } from './lab-world.js';

async function restart(world: LabWorld, ...nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) await world.crash(node);
  for (const node of nodes) await world.boot(node);
}

t.test(
  'a log survives crashes of all, of the leader, and of a follower that was away',
  async (t) => {
    const world = new LabWorld('persist 1', 3);
    await world.bootAll();
    await world.agree('a');
    await restart(world, ...world.nodes);
    await world.agree('b');
    await restart(world, await world.oneLeader());
    await world.agree('c');
    const leader = await world.oneLeader();
    await world.crash(leader);
    await world.agree('d', 2);
    await world.boot(leader);
    await world.agree('e', 3);
    const [follower] = world.followers(await world.oneLeader());
    if (follower === undefined) throw new Error('two followers');
    await world.crash(follower);
    await world.agree('f', 2);
    await world.boot(follower);
    await world.agree('g', 3);
    for (const { machine } of world.nodes) {
      t.same(machine.texts, ['first', 'a', 'b', 'c', 'd', 'e', 'f', 'g']);
    }
    await world.stopAll();
  },
);

t.test('five nodes: majorities that change from round to round, over crashes', async (t) => {
  const world = new LabWorld('persist 2', 5);
  await world.bootAll();
  for (let round = 1; round <= 5; round += 1) {
    await world.agree(`${round} all`, 5);
    const leader = world.nodes.indexOf(await world.oneLeader()) + 1;
    const [a, b] = [world.at(leader + 1), world.at(leader + 2)];
    world.disconnect(a, b);
    await world.agree(`${round} three`, 3);
    const rest = [world.at(leader), world.at(leader + 3), world.at(leader + 4)];
    world.disconnect(...rest);
    await restart(world, a, b);
    world.connect(a, b);
    await world.pass(500);
    const [third, ...others] = rest;
    if (third === undefined) throw new Error('three nodes');
    await restart(world, third);
    world.connect(third);
    await world.agree(`${round} again`, 3);
    world.connect(...others);
  }
  await world.agree('end', 5);
  t.equal(world.at(1).machine.texts.length, 17);
  await world.stopAll();
});

t.test('a leader cut off with one follower: both crash, one at a time comes back', async (t) => {
  const world = new LabWorld('persist 3', 3);
  await world.bootAll();
  await world.agree('a');
  const leader = await world.oneLeader();
  const [kept, away] = world.followers(leader);
  if (kept === undefined || away === undefined) throw new Error('two followers');
  world.disconnect(away);
  await world.agree('b', 2);
  await world.crash(leader);
  await world.crash(kept);
  world.connect(away);
  await world.boot(leader);
  await world.agree('c', 2);
  await world.boot(kept);
  await world.agree('d', 3);
  for (const { machine } of world.nodes) t.same(machine.texts, ['first', 'a', 'b', 'c', 'd']);
  await world.stopAll();
});

/**
 * Figure 8 by chance: leaders that append a command and fall, mostly before it is on a majority.
 * The check is the world's own: no index ever has two commands.
 */
t.test('figure 8: leaders crash with commands that are half replicated', async (t) => {
  const world = new LabWorld('figure 8', 5);
  await world.bootAll();
  let crashes = 0;
  for (let round = 0; round < 600; round += 1) {
    const leader = world.leaderNow();
    if (leader !== undefined) world.fire(leader, `r${round}`);
    await world.pass(world.rng.float() < 0.1 ? world.rng.int(250) : world.rng.int(13));
    if (leader?.isRunning === true) {
      await world.crash(leader);
      crashes += 1;
    }
    const down = world.nodes.filter((node) => !node.isRunning);
    if (world.size - down.length < world.majority) await world.boot(world.pick(down));
  }
  for (const node of world.nodes) if (!node.isRunning) await world.boot(node);
  await world.agree('end', 5);
  const [first, ...others] = world.nodes.map(({ machine }) => machine.texts);
  for (const texts of others) t.same(texts, first);
  t.ok(crashes >= 30, `${crashes} leaders crashed`);
  await world.stopAll();
});

t.test('agreement on a network that loses and delays', async (t) => {
  const world = new LabWorld('unreliable', 5, { isUnreliable: true });
  await world.bootAll();
  const texts: string[] = [];
  for (let round = 0; round < 20; round += 1) {
    const batch = Array.from({ length: 5 }, (_, at) => `u${round}.${at}`);
    texts.push(...batch);
    // Four at once at whoever leads, and one that is followed to its end.
    const leader = await world.oneLeader();
    for (const text of batch.slice(1)) world.fire(leader, text);
    await world.agree(batch[0] ?? '', 1);
  }
  await world.agree('end', 5);
  const { texts: applied } = world.at(1).machine;
  t.ok(applied.length >= 21, `${applied.length} of ${texts.length} commands`);
  for (const { machine } of world.nodes) t.same(machine.texts, applied);
  await world.stopAll();
});

t.test('figure 8 on a network that loses, delays and reorders for long', async (t) => {
  const world = new LabWorld('figure 8 unreliable', 5, { isUnreliable: true });
  await world.bootAll();
  let cuts = 0;
  for (let round = 0; round < 200; round += 1) {
    if (round === 100) world.isReorderingLong = true;
    const leader = world.leaderNow() ?? world.pick(world.nodes);
    for (const node of world.nodes) world.fire(node, `r${round}-${node.name}`);
    await world.pass(world.rng.float() < 0.1 ? world.rng.int(250) : world.rng.int(13));
    if (world.isConnected(leader) && world.rng.float() < 0.5) {
      world.disconnect(leader);
      cuts += 1;
    }
    if (world.connected.length < world.majority) {
      world.connect(world.pick(world.nodes.filter((node) => !world.isConnected(node))));
    }
  }
  world.isReorderingLong = false;
  world.connect(...world.nodes);
  await world.agree('end', 5);
  await world.pass(2_500);
  const [first, ...others] = world.nodes.map(({ machine }) => machine.texts);
  for (const texts of others) t.same(texts, first);
  t.ok(cuts >= 20, `${cuts} leaders were cut off`);
  await world.stopAll();
});
