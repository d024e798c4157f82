/**
 * A coordinator whose log or state was damaged comes back by itself: suspect, without a vote, until
 * the leader has given it everything again; also when it crashes on the way.
 */
import t from 'tap';
import { SUMMARY_KEY } from '../../src/raft/log-record.js';
import { DriverWorld, type TestNode } from './driver-world.js';

async function worldWith(texts: readonly string[]): Promise<{
  world: DriverWorld;
  leader: TestNode;
  victim: TestNode;
  other: TestNode;
}> {
  const world = new DriverWorld(`recovery ${texts.length}`);
  await world.startAll();
  const leader = await world.leader();
  for (const text of texts) await world.commit(leader, text);
  await world.converge();
  const [victim, other] = world.followers(leader);
  if (victim === undefined || other === undefined) throw new Error('two followers');
  return { world, leader, victim, other };
}

async function dropRow(node: TestNode, nth: number | 'summary'): Promise<void> {
  const db = await node.databases.open('/raft/log');
  const keys: Uint8Array[] = [];
  for await (const [key] of db.scan({})) keys.push(key);
  const key = nth === 'summary' ? SUMMARY_KEY : keys[nth];
  if (key === undefined) throw new Error('no such row');
  await db.batch([{ type: 'del', key }], { sync: true });
  await db.close();
}

function isTrusted(node: TestNode): boolean {
  return node.driver.status().doubt === undefined;
}

async function healed(world: DriverWorld, node: TestNode): Promise<void> {
  await world.until('the node to be trusted', 20_000, () => isTrusted(node) || undefined);
  await world.converge();
  await world.until('its note to be gone', 1_000, () =>
    node.log.lines.some(({ event }) => event === 'raft.trusted') ? true : undefined,
  );
}

for (const nth of [1, 'summary'] as const) {
  t.test(`a log without its row ${nth} is caught up by the leader, and then trusted`, async (t) => {
    const { world, leader, victim } = await worldWith(['a', 'b', 'c']);
    await victim.stop();
    await dropRow(victim, nth);
    await victim.start();
    t.equal(isTrusted(victim), false);
    t.ok(victim.log.lines.some(({ event }) => event === 'raft.log-damaged'));
    await world.commit(leader, 'd');
    await healed(world, victim);
    t.same(victim.machine.texts, ['a', 'b', 'c', 'd']);
    await victim.stop();
    await victim.start();
    t.equal(isTrusted(victim), true, 'and it stays so');
    await world.stopAll();
  });
}

t.test(
  'a suspect node gives no vote, also after a crash in the middle of its recovery',
  async (t) => {
    const { world, leader, victim, other } = await worldWith(['a', 'b']);
    await victim.stop();
    await dropRow(victim, 1);
    await leader.kill();
    await victim.start();
    await world.clock.advanceSettled(3_000);
    t.equal(isTrusted(victim), false);
    t.equal(other.driver.leader, undefined, 'one trusted voter of three elects nobody');
    await victim.kill();
    await victim.start();
    await world.clock.advanceSettled(3_000);
    t.equal(isTrusted(victim), false, 'the note has survived the crash');
    t.equal(victim.driver.leader, undefined);
    await leader.start();
    const next = await world.leader();
    t.not(next, victim);
    await world.commit(next, 'c');
    await healed(world, victim);
    t.same(victim.machine.texts, ['a', 'b', 'c']);
    await world.stopAll();
  },
);

t.test('a state that is behind its log is sent by the leader', async (t) => {
  const { world, victim } = await worldWith(['a', 'b']);
  await victim.stop();
  victim.kept = { commands: [], index: 0, term: 0, installed: undefined };
  await victim.start();
  t.equal(isTrusted(victim), true, 'the log is whole from its beginning: it is applied again');
  await world.converge();
  t.same(victim.machine.texts, ['a', 'b']);
  await victim.stop();
  victim.kept = { commands: [], index: 99, term: 9, installed: undefined };
  await victim.start();
  t.equal(
    isTrusted(victim),
    false,
    'a state ahead of the log proves that the log has lost something',
  );
  await healed(world, victim);
  t.same(victim.machine.texts, ['a', 'b']);
  await world.stopAll();
});

t.test('damage that is found while it runs is repaired while it runs', async (t) => {
  const { world, leader, victim } = await worldWith(['a', 'b']);
  await world.clock.runUntil(victim.driver.resync('its rows do not add up'));
  t.equal(isTrusted(victim), false);
  await world.commit(leader, 'c');
  await healed(world, victim);
  t.same(victim.machine.texts, ['a', 'b', 'c']);
  await world.clock.runUntil(leader.driver.resync('its rows do not add up'));
  const next = await world.leader();
  t.not(next, leader, 'a leader lets another lead first');
  await world.commit(next, 'd');
  await healed(world, leader);
  t.same(leader.machine.texts, ['a', 'b', 'c', 'd']);
  t.same(
    world.nodes.flatMap(({ fatals }) => fatals),
    [],
  );
  await world.stopAll();
});

t.test('where a majority is suspect nothing is guessed: it is said', async (t) => {
  const { world, leader, victim, other } = await worldWith(['a']);
  for (const node of world.nodes) await node.stop();
  for (const node of [victim, other]) await dropRow(node, 1);
  await world.startAll();
  await world.clock.advanceSettled(5_000);
  const stuck = victim.driver.status().stuck ?? '';
  t.match(stuck, new RegExp(`${[victim.name, other.name].sort().join(', ')} of the coordinators`));
  t.match(stuck, /restore a data folder|raft doctor/);
  t.equal(leader.driver.leader, undefined);
  t.ok(victim.log.lines.some(({ event }) => event === 'raft.majority-suspect'));
  await world.stopAll();
});

t.test('a log that is lost beside a state that came from a snapshot and went on', async (t) => {
  const { world, leader, victim } = await worldWith(['a', 'b']);
  await victim.stop();
  const { index, term } = victim.kept;
  const conf = { voters: world.nodes.map(({ name }) => name), outgoing: [], learners: [] };
  victim.kept.installed = { index: index - 1, term, conf };
  await dropRow(victim, 'summary');
  await victim.start();
  t.equal(isTrusted(victim), false);
  await world.commit(leader, 'c');
  await healed(world, victim);
  t.same(victim.machine.texts, ['a', 'b', 'c']);
  await world.stopAll();
});
