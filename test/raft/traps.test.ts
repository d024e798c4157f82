/**
 * Mistakes of other systems that no rule of the paper names: the rows of "Sixty ways to get it
 * wrong" (docs/raft.md) that have no test elsewhere.
 */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import type { Effect, Message } from '../../src/raft/index.js';
import { encodeConf } from '../../src/raft/conf.js';
import { DriverWorld } from './driver-world.js';
import { entryOf, Harness } from './harness.js';

// openraft #1808: a configuration of the node's own log survived a snapshot.
t.test('a snapshot replaces an uncommitted configuration', (t) => {
  const cluster = new Harness(3);
  const [n1, n2, n3] = cluster.nodes.map(({ id }) => id);
  if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error('three nodes');
  const joint = { voters: [n1, n2], outgoing: [n1, n2, n3], learners: [] };
  const entry = { ...entryOf(2, 2, 'config'), data: encodeConf(joint) };
  const append: Message = {
    type: 'append',
    term: 2,
    prevIndex: 1,
    prevTerm: 1,
    commit: 0,
    entries: [entry],
  };
  cluster.send(2, 1, append);
  t.same(cluster.status(1).outgoing, ['n1', 'n2', 'n3'], 'in force as soon as it is in the log');
  const conf = { voters: [n1, n2, n3], outgoing: [], learners: [] };
  cluster.step(1, {
    kind: 'snapshot-received',
    from: n3,
    term: 3,
    meta: { index: 5, term: 3, conf },
  });
  const { voters, outgoing, last } = cluster.status(1);
  t.same({ voters, outgoing, last }, { voters: conf.voters, outgoing: [], last: 5 });
  t.end();
});

// hashicorp/raft #581, openraft #1805: a transfer to a lagging node, a non-voter, the leader itself.
t.test('a transfer to whoever cannot lead ends at once', (t) => {
  const cluster = new Harness(4, { learners: 1 });
  cluster.elect(1);
  const ended: readonly Effect[] = [{ kind: 'transfer-done', to: undefined }];
  const to = (name: string) => cluster.step(1, { kind: 'transfer', to: nodeId(name) });
  t.same(to('n4'), ended, 'a learner');
  t.same(to('n1'), ended, 'itself');
  t.same(to('n9'), ended, 'a stranger');
  cluster.step(1, { kind: 'peer-down', peer: nodeId('n2') });
  t.same(to('n2'), ended, 'one whose process is gone');
  t.same(cluster.step(3, { kind: 'transfer' }), ended, 'asked of a follower');
  t.equal(cluster.propose(1, 'x')[0]?.kind, 'proposed', 'and proposals are taken all the while');
  t.end();
});

// etcd's MaxUncommittedEntriesSize: a leader that is cut off with its clients.
t.test('a leader without a quorum takes a bounded number of entries', (t) => {
  const cluster = new Harness(3, { limits: { uncommittedEntriesMax: 10 } });
  cluster.elect(1);
  const kinds: string[] = [];
  for (let at = 0; at < 12; at += 1) kinds.push(cluster.propose(1, 'x')[0]?.kind ?? '');
  t.same(kinds.slice(0, 10), Array(10).fill('proposed'));
  t.same(kinds.slice(10), ['proposal-rejected', 'proposal-rejected']);
  cluster.deliverAll();
  t.equal(cluster.propose(1, 'x')[0]?.kind, 'proposed', 'again, when they are committed');
  t.end();
});

// openraft #1747: reads around a transfer.
t.test('a read that waits through a transfer is refused, not answered', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  const answers: Effect[] = [];
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'read-ready' || effect.kind === 'read-rejected') answers.push(effect);
  };
  cluster.step(1, { kind: 'transfer', to: nodeId('n2') });
  cluster.step(1, { kind: 'read-index', id: 7 });
  // Its heartbeats are lost; the target is elected meanwhile.
  cluster.take(({ message }) => message.type === 'heartbeat');
  cluster.deliverAll();
  t.equal(cluster.status(2).role, 'leader');
  t.match(answers, [{ kind: 'read-rejected', id: 7 }]);
  t.end();
});

// openraft #1810: one call that never ends froze the whole loop.
t.test('a follower that hangs in the middle of a snapshot holds nobody up', async (t) => {
  const world = new DriverWorld('hang');
  const limits = { trailingEntries: 5, compactStep: 5 };
  await world.startAll({ limits });
  const leader = await world.leader();
  const [away] = world.followers(leader);
  if (away === undefined) throw new Error('two followers');
  await world.commit(leader, 'first');
  await away.kill();
  for (let at = 0; at < 20; at += 1) await world.commit(leader, `while away ${at}`);
  let calls = 0;
  world.hub.callFilter = (_from, to, method) => {
    if (to === away.name && method.startsWith('raft.snapshot')) {
      calls += 1;
      // From here on it answers heartbeats, but no call.
      away.rpc.serve = () => new Promise(() => undefined);
    }
    return true;
  };
  await away.start({ limits });
  await world.until('a call that hangs', 10_000, () => calls > 0 || undefined);
  for (let at = 0; at < 20; at += 1) await world.commit(leader, `while it hangs ${at}`);
  t.equal(world.nodes.filter(({ driver }) => driver.role.role === 'leader').length, 1);
  t.ok(leader.driver.role.isReady, 'the same leader');
  const applied = leader.machine.texts.length;
  t.equal(applied, 41);
  await world.stopAll();
});
