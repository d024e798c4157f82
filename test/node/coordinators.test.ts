/**
 * Coordinators come, go and come back, on whole nodes in memory: by command, after the loss of a
 * disk, and by themselves.
 */
import t from 'tap';
import { MemoryWorld } from './memory-world.js';

async function worldOf(t: { teardown(end: () => Promise<void>): void }): Promise<MemoryWorld> {
  const world = new MemoryWorld();
  t.teardown(() => world.stopAll());
  await world.startAll();
  return world;
}

t.test('a node becomes a coordinator, another one goes, and no write is lost', async (t) => {
  const world = await worldOf(t);
  const { client } = world;
  await world.run(client.settingsPut('before', '1'));
  t.match(await world.run(client.raftChange('add', ['n4'])), {
    before: ['n1', 'n2', 'n3'],
    voters: ['n1', 'n2', 'n3', 'n4'],
  });
  const n4 = await world.run(client.raftStatus({ node: 'n4' }));
  t.equal(n4.isCoordinator, true);
  t.same(n4.voters, ['n1', 'n2', 'n3', 'n4']);

  const { leader = '' } = n4;
  const removed = await world.run(client.raftChange('remove', [leader]));
  t.notOk(removed.voters.includes(leader), 'a leader can remove itself');
  await world.run(client.settingsPut('after', '2'));
  t.equal(await world.run(client.settingsGet('before')), '1');
  t.equal(await world.run(client.settingsGet('after')), '2');
  const observer = await world.run(client.raftStatus({ node: leader }));
  t.equal(observer.isCoordinator, false);
  t.not(observer.leader, leader);
});

t.test('what cannot be is refused with a reason', async (t) => {
  const world = await worldOf(t);
  const { client } = world;
  const change = (kind: 'add' | 'remove' | 'replace', ...names: [string, string?]) =>
    world.run(client.raftChange(kind, names));
  await t.rejects(change('add', 'n9'), { code: 'NODE_NOT_FOUND' });
  await t.rejects(change('add', 'n1'), { code: 'CONFLICT', message: /already/ });
  await t.rejects(change('remove', 'n4'), { code: 'CONFLICT', message: /no coordinator/ });
  await t.rejects(change('replace', 'n1', 'n2'), { code: 'CONFLICT' });
  await world.kill(await world.aFollower());
  await t.rejects(change('remove', await world.aFollower()), { code: 'WOULD_LOSE_QUORUM' });
});

t.test('a replaced set of coordinators is found again after a restart of all', async (t) => {
  const world = await worldOf(t);
  const { client } = world;
  await world.run(client.raftChange('replace', ['n1', 'n4']));
  await world.run(client.raftChange('remove', ['n2']));
  await world.run(client.settingsPut('key', 'kept'));
  await world.restartAll();
  const status = await world.run(client.status({ node: 'n1' }));
  const coordinators = status.nodes.filter(({ isCoordinator }) => isCoordinator);
  t.same(coordinators.map(({ name }) => name).sort(), ['n3', 'n4'], 'the file names n1 to n3');
  t.equal(await world.run(client.settingsGet('key')), 'kept');
});

t.test('a coordinator that lost its folder comes back as a learner and gets a vote', async (t) => {
  const world = await worldOf(t);
  const { client } = world;
  await world.run(client.settingsPut('key', 'kept'));
  const victim = await world.aFollower();
  await world.kill(victim);
  world.wipe(victim);
  await world.startOne(victim);
  await world.untilVoters(['n1', 'n2', 'n3'], victim);
  const renewed = world.log.lines.find(({ event }) => event === 'raft.repair');
  t.match(renewed?.fields, { kind: 'renew', node: victim });
  t.equal(await world.run(client.settingsGet('key', { node: victim })), 'kept');
});

t.test('a coordinator that stays away is replaced by a node that runs', async (t) => {
  const world = await worldOf(t);
  const { client } = world;
  await world.run(client.settingsPut('raft.auto-replace-after-seconds', '3'));
  const victim = await world.aFollower();
  await world.kill(victim);
  const voters = ['n1', 'n2', 'n3', 'n4'].filter((name) => name !== victim);
  await world.untilVoters(voters, 'n4');
  await world.kill(await world.aFollower());
  t.ok(await world.run(client.settingsPut('one', 'more')), 'the next failure is survived, too');
  await world.startOne(victim);
  await world.run(world.untilObserver(victim));
});
