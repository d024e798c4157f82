/** What a driver does with what it should never get, and with calls at the wrong moment. */
import t from 'tap';
import { encodeMessage, type Message, RAFT_NOTICE } from '../../src/raft/index.js';
import { DriverWorld } from './driver-world.js';

const WAIT = { timeoutMs: 2_000 };

t.test('notices that are no messages are logged and dropped', async (t) => {
  const world = new DriverWorld('notices');
  await world.startAll();
  const leader = await world.leader();
  const [follower] = world.followers(leader);
  if (follower === undefined) throw new Error('a follower');
  for (const args of [[], ['x'], [99, 1], [7, 1, -1, 0], [5, 2, 1, 1, 0, 1]]) {
    follower.rpc.notify(leader.name, RAFT_NOTICE, args);
  }
  await world.clock.advanceSettled(10);
  const bad = leader.log.lines.filter(({ event }) => event === 'raft.bad-message');
  t.equal(bad.length, 5);
  t.match(bad[0], { fields: { from: follower.name, error: { code: 'PROTOCOL' } } });
  await world.commit(leader, 'all is well');
  await world.stopAll();
});

t.test('heartbeats and votes leave on a lane of their own, appends do not', async (t) => {
  const codeOf = (message: Message) => encodeMessage(message).args[0];
  const heartbeat = codeOf({ type: 'heartbeat', term: 1, commit: 0, read: 0 });
  const vote = codeOf({ type: 'vote', term: 1, lastIndex: 0, lastTerm: 0, transfer: false });
  const entries = { prevIndex: 0, prevTerm: 0, commit: 0, entries: [] };
  const append = codeOf({ type: 'append', term: 1, ...entries });
  const world = new DriverWorld('lanes');
  const lanes = new Map<unknown, Set<string | undefined>>();
  world.hub.filter = (_from, _to, [code], _bytes, lane) => {
    lanes.set(code, (lanes.get(code) ?? new Set()).add(lane));
    return true;
  };
  await world.startAll();
  await world.commit(await world.leader(), 'a');
  await world.clock.advanceSettled(200);
  t.same(lanes.get(heartbeat), new Set(['heartbeat']));
  t.same(lanes.get(vote), new Set(['heartbeat']));
  t.same(lanes.get(append), new Set(['control']));
  await world.stopAll();
});

t.test('a connection that closes, and is opened again at once, is no evidence', async (t) => {
  const world = new DriverWorld('closed');
  await world.startAll();
  const leader = await world.leader();
  const { term } = leader.driver.role;
  for (const follower of world.followers(leader)) {
    follower.rpc.tell('down', leader.rpc.peer, 'closed');
  }
  await world.clock.advanceSettled(1_000);
  t.equal(leader.driver.role.term, term, 'nobody campaigned');
  t.ok(leader.driver.role.isReady);
  await world.stopAll();
});

t.test('who does not lead changes no members, hands nothing over, and says who does', async (t) => {
  const world = new DriverWorld('follower');
  const [n1, n2, n3] = world.nodes.map(({ name }) => name);
  if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error('three nodes');
  const early = world.node('n1');
  await early.start();
  await t.rejects(early.driver.readIndex(WAIT), { code: 'NO_LEADER' }, 'not in a cluster yet');
  await t.rejects(early.driver.reconfigure({ voters: [n1], learners: [] }), { code: 'NO_LEADER' });
  await world.node('n2').start();
  await world.node('n3').start();
  const leader = await world.leader();
  const [follower] = world.followers(leader);
  if (follower === undefined) throw new Error('a follower');
  await t.rejects(follower.driver.reconfigure({ voters: [n1], learners: [] }), {
    code: 'NOT_LEADER',
    data: { leader: leader.name },
  });
  t.equal(await follower.driver.transferLeadership(), undefined);
  await world.stopAll();
});

t.test('members are changed through the driver, one change at a time', async (t) => {
  const world = new DriverWorld('members');
  await world.startAll();
  const leader = await world.leader();
  await world.commit(leader, 'a');
  const all = world.nodes.map(({ name }) => name);
  const [out] = world.followers(leader);
  if (out === undefined) throw new Error('a follower');
  const { driver } = leader;
  t.equal(await driver.reconfigure({ voters: all, learners: [] }), undefined, 'as it is already');
  await t.rejects(driver.reconfigure({ voters: [], learners: [] }), { code: 'BAD_ARGUMENT' });
  const kept = all.filter((name) => name !== out.name);
  const index = await driver.reconfigure({ voters: kept, learners: [] });
  t.ok(index !== undefined && index > 1, 'the entry that begins it');
  await t.rejects(driver.reconfigure({ voters: all, learners: [] }), { code: 'CHANGE_PENDING' });
  await world.until('the change', 5_000, () => {
    const raft = driver.status().raft;
    return (raft?.voters.length === 2 && raft.outgoing.length === 0) || undefined;
  });
  await out.kill();
  await world.commit(leader, 'b');
  await world.stopAll();
});

t.test('through the driver nobody is removed while who stays does not answer', async (t) => {
  const world = new DriverWorld('who stays');
  await world.startAll();
  const leader = await world.leader();
  await world.commit(leader, 'a');
  const [silent, answering] = world.followers(leader).map(({ name }) => name);
  if (silent === undefined || answering === undefined) throw new Error('two followers');
  world.hub.cut(leader.name, silent);
  world.hub.cut(answering, silent);
  await world.clock.advanceSettled(2_000);
  const without = (out: string) => ({
    voters: world.nodes.map(({ name }) => name).filter((name) => name !== out),
    learners: [],
  });
  await t.rejects(leader.driver.reconfigure(without(answering)), {
    code: 'WOULD_LOSE_QUORUM',
    message: new RegExp(`${silent} do not answer.*start them, or replace them first`),
  });
  t.ok(await leader.driver.reconfigure(without(silent)), 'the silent one itself may go');
  await world.commit(leader, 'b');
  await world.stopAll();
});

t.test('while leadership is handed over commands and changes are refused as that', async (t) => {
  const world = new DriverWorld('handing over');
  await world.startAll();
  const leader = await world.leader();
  await world.commit(leader, 'a');
  const [target] = world.followers(leader);
  if (target === undefined) throw new Error('a follower');
  // The target hears nothing, so the transfer lasts until it is given up.
  world.hub.cut(leader.name, target.name);
  const handing = leader.driver.transferLeadership(target.name);
  const proposed = world.propose(leader, 'b');
  const changed = leader.driver.reconfigure({ voters: [leader.name], learners: [] });
  const outcomes = Promise.allSettled([proposed, changed]);
  await world.clock.advanceSettled(5);
  t.match(await outcomes, [{ reason: { code: 'NO_LEADER' } }, { reason: { code: 'BUSY' } }]);
  t.equal(await world.clock.runUntil(handing), undefined);
  world.hub.heal();
  await world.commit(await world.leader(), 'c');
  await world.stopAll();
});

t.test('a state machine that breaks ends its node, and the others go on', async (t) => {
  const world = new DriverWorld('breaks');
  await world.startAll();
  const leader = await world.leader();
  await world.commit(leader, 'a');
  leader.machine.apply = () => {
    throw new Error('a bug');
  };
  const waiting = world.propose(leader, 'b');
  const outcome = Promise.allSettled([waiting]);
  await world.clock.advanceSettled(20);
  t.match(leader.fatals, [{ message: 'a bug' }]);
  t.equal(leader.driver.status().phase, 'failed');
  t.match(await outcome, [{ reason: { code: 'UNKNOWN_OUTCOME' } }]);
  await leader.kill();
  await world.commit(await world.leader(), 'c');
  await world.stopAll();
});

t.test('an answer to a read that is no index is not believed', async (t) => {
  const world = new DriverWorld('no index');
  await world.startAll();
  const leader = await world.leader();
  const [follower] = world.followers(leader);
  if (follower === undefined) throw new Error('a follower');
  leader.rpc.handle('raft.read-index', () => ({ value: 'soon' }));
  const read = follower.driver.readIndex(WAIT);
  const outcome = Promise.allSettled([read]);
  await world.clock.advanceSettled(10);
  t.match(await outcome, [{ reason: { code: 'PROTOCOL' } }]);
  await world.stopAll();
});

t.test('a driver stops once, and starts once', async (t) => {
  const world = new DriverWorld('once');
  await world.startAll();
  const leader = await world.leader();
  const { driver } = leader;
  await t.rejects(driver.start(), /starts once/);
  await leader.stop();
  await driver.stop();
  t.equal(driver.status().phase, 'stopped');
  t.equal(driver.role.role, 'follower', 'nobody is told that it still leads');
  await t.rejects(driver.propose(new Uint8Array(1), WAIT), { code: 'NO_LEADER' });
  await world.stopAll();
});
