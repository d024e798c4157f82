import t from 'tap';
import type { IdunnoError } from '../../src/base/index.js';
import { DriverWorld, ledWorld } from './driver-world.js';

t.test('a new cluster', async (t) => {
  t.test('has a leader within a second of its last coordinator', async (t) => {
    const world = new DriverWorld('fresh');
    await world.node('n1').start();
    await world.node('n2').start();
    await world.clock.advanceSettled(5_000);
    t.equal(world.node('n1').driver.status().phase, 'waiting', 'two of three do not found it');
    await world.node('n3').start();
    const startedMs = world.clock.now();
    await world.leader();
    t.ok(world.clock.now() - startedMs < 1_000, `${world.clock.now() - startedMs} ms`);
    await world.stopAll();
  });

  t.test('applies the same commands in the same order on every node', async (t) => {
    const { world, leader } = await ledWorld('same');
    const texts = Array.from({ length: 100 }, (_, at) => `c${at}`);
    const done = Promise.all(texts.map((text) => world.propose(leader, text)));
    const results = await world.clock.runUntil(done);
    t.same(
      results.map(({ result }) => result),
      texts.map((text) => `done ${text}`),
    );
    await world.converge();
    for (const node of world.nodes) t.same(node.machine.texts, texts, node.name);
    await world.stopAll();
  });

  t.test('is founded by one node alone when an operator forces it', async (t) => {
    const world = new DriverWorld('forced');
    await world.node('n1').start({ forceBootstrap: true });
    t.equal(world.node('n1').driver.status().phase, 'waiting');
    await world.until('founding', 2_000, () =>
      world.node('n1').driver.status().phase === 'running' ? true : undefined,
    );
    await world.stopAll();
  });
});

t.test('a wiped coordinator neither votes nor leads, and says why', async (t) => {
  const { world, leader } = await ledWorld('wiped');
  await world.commit(leader, 'a');
  const [victim, other] = world.followers(leader);
  if (victim === undefined || other === undefined) throw new Error('two followers');
  await victim.kill();
  victim.wipe();
  await victim.start();
  await other.kill();
  const asked = world.propose(leader, 'b', 3_000);
  asked.catch(() => undefined);
  await world.clock.advanceSettled(12_000);
  t.equal(victim.driver.status().phase, 'waiting');
  await t.rejects(asked, { code: 'UNKNOWN_OUTCOME' }, 'no quorum without it');
  t.ok(
    victim.log.lines.some(
      ({ event, fields }) =>
        event === 'raft.waiting-to-found' && String(fields['reason']).includes('was it wiped?'),
    ),
  );
  await other.start();
  await world.clock.runUntil(world.leader());
  await world.stopAll();
});

t.test('a slow founder joins as itself, since the others noted its incarnation', async (t) => {
  const world = new DriverWorld('slow founder');
  // It answers the others, but its own questions do not get through.
  world.hub.callFilter = (from, _to, method) => from !== 'n3' || method !== 'raft.hello';
  await world.startAll();
  const slow = world.node('n3');
  const leader = await world.leader();
  await world.commit(leader, 'a');
  t.equal(slow.driver.status().phase, 'waiting');
  world.hub.callFilter = () => true;
  await world.clock.advanceSettled(1_000);
  t.equal(slow.driver.status().phase, 'running');
  await world.converge();
  t.same(slow.machine.texts, ['a']);
  await world.stopAll();
});

t.test('a founder that came late vouches for one that comes later still', async (t) => {
  const world = new DriverWorld('vouch');
  const mute = new Set(['n2', 'n3']);
  world.hub.callFilter = (from, _to, method) => !mute.has(from) || method !== 'raft.hello';
  await world.startAll();
  await world.clock.advanceSettled(1_000);
  t.equal(world.node('n1').driver.status().phase, 'running');
  mute.delete('n2');
  await world.leader();
  await world.node('n1').kill();
  mute.delete('n3');
  await world.commit(await world.leader(), 'a');
  await world.converge();
  t.same(world.node('n3').machine.texts, ['a']);
  await world.stopAll();
});

t.test('a node that lost its log but not its boot file counts as wiped', async (t) => {
  const { world, leader } = await ledWorld('half wiped');
  await world.commit(leader, 'a');
  const [victim] = world.followers(leader);
  if (victim === undefined) throw new Error('a follower');
  await world.converge();
  await victim.kill();
  victim.databases.wipe();
  await victim.disk.remove('/raft/watermark');
  await victim.start();
  await world.clock.advanceSettled(3_000);
  t.equal(victim.driver.status().phase, 'waiting');
  await world.stopAll();
});

t.test('when the leader is killed', async (t) => {
  t.test('another takes over fast and nothing acknowledged is lost', async (t) => {
    const world = new DriverWorld('kill');
    await world.startAll();
    const texts: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      const leader = await world.leader();
      for (let at = 0; at < 5; at += 1) {
        texts.push(`r${round}-${at}`);
        await world.commit(leader, `r${round}-${at}`);
      }
      const killedMs = world.clock.now();
      await leader.kill();
      await world.leader();
      t.ok(world.clock.now() - killedMs < 150, `${world.clock.now() - killedMs} ms`);
      await leader.start();
    }
    await world.converge();
    for (const node of world.nodes) t.same(node.machine.texts, texts, node.name);
    await world.stopAll();
  });

  t.test('every proposal of it settles, as unknown where it may still commit', async (t) => {
    const { world, leader } = await ledWorld('settle');
    world.hub.cut('n1', 'n2');
    world.hub.cut('n1', 'n3');
    world.hub.cut('n2', 'n3');
    const errors: IdunnoError[] = [];
    const waiting = ['a', 'b', 'c'].map((text) =>
      world.propose(leader, text, 60_000).catch((error: IdunnoError) => errors.push(error)),
    );
    await world.clock.runUntil(Promise.all(waiting));
    t.same(
      errors.map(({ code }) => code),
      ['UNKNOWN_OUTCOME', 'UNKNOWN_OUTCOME', 'UNKNOWN_OUTCOME'],
    );
    t.ok(world.clock.now() < 10_000, 'check-quorum ends the leadership, not the timeout');
    await t.rejects(world.propose(leader, 'd'), { code: 'NO_LEADER' });
    world.hub.heal();
    const next = await world.leader();
    await world.commit(next, 'e');
    await world.converge();
    const [first] = world.nodes;
    t.equal(new Set(first?.machine.texts).size, first?.machine.texts.length, 'each at most once');
    await world.stopAll();
  });
});

t.test('a follower refuses a proposal and names the leader', async (t) => {
  const { world, leader } = await ledWorld('hint');
  await world.converge();
  for (const follower of world.followers(leader)) {
    await t.rejects(world.propose(follower, 'x'), {
      code: 'NOT_LEADER',
      data: { leader: leader.name },
    });
  }
  await world.stopAll();
});

t.test('waits end by their timeout and by their signal', async (t) => {
  const { world, leader } = await ledWorld('waits');
  for (const follower of world.followers(leader)) world.hub.cut(leader.name, follower.name);
  const proposed = world.propose(leader, 'x', 100);
  proposed.catch(() => undefined);
  const abort = new AbortController();
  const aborted = leader.driver.propose(Buffer.from('y'), {
    timeoutMs: 10_000,
    signal: abort.signal,
  });
  aborted.catch(() => undefined);
  const read = leader.driver.readIndex({ timeoutMs: 100 });
  read.catch(() => undefined);
  const barrier = leader.driver.waitApplied(1_000_000, { timeoutMs: 100 });
  barrier.catch(() => undefined);
  await world.clock.advanceSettled(50);
  abort.abort();
  await t.rejects(aborted, { code: 'ABORTED' });
  await world.clock.advanceSettled(60);
  await t.rejects(proposed, { code: 'UNKNOWN_OUTCOME' });
  await t.rejects(read, { code: 'UNAVAILABLE' });
  await t.rejects(barrier, { code: 'UNAVAILABLE' });
  const late = world.propose(leader, 'z', 60_000);
  late.catch(() => undefined);
  await world.stopAll();
  await t.rejects(late, 'stopping settles what waits');
});

t.test('reads are linearizable on every node', async (t) => {
  const { world, leader } = await ledWorld('reads');
  await world.converge();
  for (let round = 0; round < 20; round += 1) {
    const index = await world.commit(leader, `c${round}`);
    for (const node of world.nodes) {
      const read = await world.clock.runUntil(node.driver.readIndex({ timeoutMs: 1_000 }));
      t.ok(read >= index, `${node.name} reads at ${read}, written at ${index}`);
      await world.clock.runUntil(node.driver.waitApplied(read, { timeoutMs: 1_000 }));
      t.ok(node.machine.texts.includes(`c${round}`));
    }
  }
  await world.stopAll();
});

t.test('a cut-off leader answers no read', async (t) => {
  const world = new DriverWorld('stale read');
  await world.startAll();
  const old = await world.leader();
  const others = world.followers(old);
  for (const other of others) world.hub.cut(old.name, other.name);
  const read = old.driver.readIndex({ timeoutMs: 60_000 });
  read.catch(() => undefined);
  const next = await world.until('a new leader', 10_000, () =>
    others.find((node) => node.driver.role.isReady),
  );
  await world.commit(next, 'new');
  await world.clock.advanceSettled(2_000);
  await t.rejects(read, { code: 'NO_LEADER' });
  world.hub.heal();
  await world.stopAll();
});

t.test('a node that was away beyond the trailing entries gets a snapshot', async (t) => {
  const world = new DriverWorld('snapshot');
  const limits = { trailingEntries: 20, compactStep: 10 };
  await world.startAll({ limits });
  const leader = await world.leader();
  await world.commit(leader, 'first');
  const [away] = world.followers(leader);
  if (away === undefined) throw new Error('a follower');
  await away.kill();
  for (let at = 0; at < 200; at += 1) await world.commit(leader, `c${at}`);
  t.ok((leader.driver.status().raft?.snapshot ?? 0) > 150, 'the log was compacted');
  await away.start({ limits });
  await world.converge();
  t.same(away.machine.texts, leader.machine.texts);
  t.ok(leader.machine.snapshots >= 1 && leader.machine.snapshots < 5, 'sent once or so');
  await world.commit(leader, 'after');
  await world.converge();
  t.equal(away.machine.texts.at(-1), 'after');
  t.same(away.fatals, []);
  // The installed state and the log meet again after a restart.
  await away.kill();
  await away.start({ limits });
  await world.converge();
  t.same(away.machine.texts, leader.machine.texts);
  await world.stopAll();
});

t.test('a cluster that loses power comes back with everything acknowledged', async (t) => {
  const world = new DriverWorld('power');
  await world.startAll();
  const texts: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const leader = await world.leader();
    for (let at = 0; at < 10; at += 1) {
      texts.push(`${round}.${at}`);
      await world.commit(leader, `${round}.${at}`);
    }
    await Promise.all(world.nodes.map((node) => node.kill()));
    await world.startAll();
  }
  await world.leader();
  await world.converge();
  for (const node of world.nodes) t.same(node.machine.texts, texts, node.name);
  await world.stopAll();
});

t.test('leadership is handed over on request, without losing a command', async (t) => {
  const { world, leader } = await ledWorld('transfer');
  await world.commit(leader, 'a');
  const startedMs = world.clock.now();
  const next = await world.clock.runUntil(leader.driver.transferLeadership());
  t.ok(next !== undefined && next !== leader.name, `${next} took over`);
  t.ok(world.clock.now() - startedMs < 100, 'in much less than an election timeout');
  const now = await world.leader();
  t.equal(now.name, next);
  await world.commit(now, 'b');
  await world.converge();
  t.same(leader.machine.texts, ['a', 'b']);
  await world.stopAll();
});

t.test('a log that cannot be written ends the node, and the others go on', async (t) => {
  const { world, leader } = await ledWorld('disk');
  await world.commit(leader, 'a');
  leader.databases.failWrites('DISK_FULL');
  const write = world.propose(leader, 'b');
  write.catch(() => undefined);
  await world.clock.advanceSettled(10);
  t.equal(leader.fatals.length, 1);
  t.match(leader.fatals[0], { code: 'DISK_FULL' });
  t.equal(leader.driver.status().phase, 'failed');
  await t.rejects(write);
  await leader.kill();
  const next = await world.leader();
  await world.commit(next, 'c');
  await world.stopAll();
});
