/** Elections: the first part of the laboratory list (see lab-world.ts). */
import t from 'tap';
import { LabWorld } from './lab-world.js';

t.test('a first election: one leader, one term, and no change without a failure', async (t) => {
  const world = new LabWorld('first election', 3);
  await world.bootAll();
  const leader = await world.oneLeader();
  const terms = (): number[] => world.nodes.map(({ driver }) => driver.role.term);
  const before = terms();
  t.equal(new Set(before).size, 1, `terms ${before}`);
  await world.pass(2_000);
  t.same(terms(), before, 'nobody campaigned');
  t.equal(world.leaderNow(), leader);
  await world.stopAll();
});

t.test('re-election: each time a majority is left, and never without one', async (t) => {
  const world = new LabWorld('re-election', 3);
  await world.bootAll();
  const first = await world.oneLeader();
  world.disconnect(first);
  const second = await world.oneLeader();
  t.not(second, first, 'a new one while the first is away');
  world.connect(first);
  await world.pass(1_000);
  t.equal(world.leaderNow(), second, 'the old one comes back as a follower');
  t.equal(first.driver.role.role, 'follower');

  const [third] = world.nodes.filter((node) => node !== first && node !== second);
  if (third === undefined) throw new Error('three nodes');
  world.disconnect(second, third);
  await world.pass(1_500);
  await world.noLeader();
  t.pass('one of three leads nothing');
  world.connect(third);
  await world.oneLeader();
  world.connect(second);
  await world.oneLeader();
  await world.stopAll();
});

t.test('many elections: any four of seven have a leader, ten times', async (t) => {
  const world = new LabWorld('many elections', 7);
  await world.bootAll();
  for (let round = 0; round < 10; round += 1) {
    const away = [...world.nodes].sort(() => world.rng.float() - 0.5).slice(0, 3);
    world.disconnect(...away);
    const leader = await world.oneLeader();
    t.notOk(away.includes(leader), `round ${round}: ${leader.name}`);
    world.connect(...away);
    await world.oneLeader();
  }
  await world.stopAll();
});
