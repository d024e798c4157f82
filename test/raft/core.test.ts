/**
 * What the core adds to the papers: bounds, flow control, fast failover, oversleeping, suspicion,
 * stuck disks, recovery of lost messages; and that it refuses what would break it.
 */
import t from 'tap';
import { createSeededRng } from '../../src/base/index.js';
import { type Effect, RaftCore, validateTiming } from '../../src/raft/index.js';
import { entryOf, Harness, NO_CHANCE, sent, TIMING } from './harness.js';

function leaderOf(size: number, limits = {}): Harness {
  const cluster = new Harness(size, { limits });
  cluster.elect(1);
  return cluster;
}

function appendsTo(effects: readonly Effect[], peer: string): number {
  return sent(effects).filter(({ to, message }) => to === peer && message.type === 'append').length;
}

t.test(
  'proposals beyond the bound of uncommitted entries are refused as busy, and only those',
  (t) => {
    const cluster = leaderOf(3, { uncommittedEntriesMax: 3 });
    const proposals = [1, 2, 3, 4, 5].map((id) => ({ id, timeMs: 0, data: new Uint8Array(1) }));
    const effects = cluster.step(1, { kind: 'propose', proposals });
    t.same(
      effects.filter((effect) => effect.kind === 'proposal-rejected').map((effect) => effect.id),
      [4, 5],
    );
    cluster.deliverAll();
    t.equal(cluster.propose(1, 'x')[0]?.kind, 'proposed', 'room again');
    t.end();
  },
);

t.test('proposals beyond the bound of uncommitted bytes are refused as busy', (t) => {
  const cluster = leaderOf(3, { uncommittedBytesMax: 1_000 });
  t.match(cluster.propose(1, 'x'.repeat(2_000)), [{ kind: 'proposed' }]);
  t.match(cluster.propose(1, 'x'), [{ kind: 'proposal-rejected', reason: 'busy' }]);
  cluster.deliverAll();
  t.match(cluster.propose(1, 'x'), [{ kind: 'proposed' }]);
  t.end();
});

t.test('reads beyond their bound are refused', (t) => {
  const cluster = leaderOf(3, { readsMax: 2 });
  const effects = [1, 2, 3].flatMap((id) => cluster.step(1, { kind: 'read-index', id }));
  t.match(
    effects.filter((effect) => effect.kind === 'read-rejected'),
    [{ id: 3 }],
  );
  t.end();
});

t.test('at most two appends are on the way to a follower; the rest shares the next one', (t) => {
  const cluster = leaderOf(3);
  let sentCount = 0;
  for (let count = 0; count < 20; count += 1) {
    sentCount += appendsTo(cluster.propose(1, 'x'), 'n2');
  }
  t.equal(sentCount, 2);
  cluster.deliver(({ to }) => to === 'n2');
  cluster.deliver(({ from }) => from === 'n2');
  const next = cluster.packets.filter(
    ({ to, message }) => to === 'n2' && message.type === 'append',
  );
  t.match(next[0]?.message, { entries: { length: 18 } });
  t.end();
});

t.test('an append carries at most so many entries and bytes', (t) => {
  const cluster = leaderOf(2, { messageEntriesMax: 3 });
  const many = Array.from({ length: 10 }, (_, id) => ({ id, timeMs: 0, data: new Uint8Array(1) }));
  const effects = cluster.step(1, { kind: 'propose', proposals: many });
  const sizes = sent(effects).map(({ message }) =>
    message.type === 'append' ? message.entries.length : 0,
  );
  t.same(sizes, [3, 3]);
  t.end();
});

t.test('a probe is one message, until it is answered or a heartbeat is', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.step(1, { kind: 'peer-down', peer: cluster.node(3).id });
  t.equal(appendsTo(cluster.propose(1, 'x'), 'n3'), 0, 'it is gone');
  const up = cluster.step(1, { kind: 'peer-up', peer: cluster.node(3).id });
  t.equal(appendsTo(up, 'n3'), 1);
  t.equal(appendsTo(cluster.propose(1, 'y'), 'n3'), 0);
  cluster.packets = [];
  cluster.tick(1);
  cluster.deliver();
  cluster.deliver();
  t.ok(cluster.packets.some(({ to, message }) => to === 'n3' && message.type === 'append'));
  t.end();
});

t.test('what is lost on the way is sent again within two heartbeats', (t) => {
  for (const lost of ['append', 'append-reply']) {
    const cluster = leaderOf(3);
    cluster.propose(1, 'x');
    const start = cluster.now;
    const touches = (from: string, to: string, type: string): boolean =>
      (from === 'n2' || to === 'n2') && type === lost;
    cluster.take(({ from, to, message }) => touches(from, to, message.type));
    cluster.deliver();
    cluster.take(({ from, to, message }) => touches(from, to, message.type));
    cluster.deliverAll();
    while (cluster.status(1).progress[0]?.match !== 3 && cluster.now < start + 1_000) {
      cluster.tick(1);
      cluster.deliverAll();
    }
    t.ok(cluster.now - start <= 2 * TIMING.heartbeatMs + 1, `${lost}: ${cluster.now - start} ms`);
  }
  t.end();
});

t.test('a slow disk of a follower is no loss: nothing is sent twice', (t) => {
  const cluster = leaderOf(3);
  cluster.node(2).isDiskHeld = true;
  cluster.propose(1, 'x');
  cluster.deliverAll();
  let resent = 0;
  cluster.onEffect = (_node, effect) => {
    if (effect.kind !== 'send' || effect.to !== 'n2' || effect.message.type !== 'append') return;
    resent += effect.message.entries.length;
  };
  for (let beat = 0; beat < 5; beat += 1) {
    cluster.tick(1);
    cluster.deliverAll();
  }
  t.equal(resent, 0);
  t.end();
});

t.test('a heartbeat does not wait for the disk', (t) => {
  const cluster = leaderOf(3);
  for (const node of [1, 2, 3]) cluster.node(node).isDiskHeld = true;
  cluster.propose(1, 'x');
  cluster.deliverAll();
  cluster.tick(1);
  t.equal(cluster.packets.length, 2);
  cluster.deliver();
  t.equal(cluster.packets.length, 2, 'nor does its answer');
  t.end();
});

t.test('a leader whose disk makes no progress steps down', (t) => {
  const cluster = leaderOf(3);
  cluster.node(1).isDiskHeld = true;
  cluster.propose(1, 'x');
  const start = cluster.now;
  while (cluster.status(1).role === 'leader' && cluster.now < start + 5_000) {
    cluster.tick(1);
    cluster.deliverAll();
  }
  t.ok(cluster.now - start > 1_000 && cluster.now - start < 1_200, `${cluster.now - start} ms`);
  t.end();
});

t.test('a slow disk that does make progress keeps the leader', (t) => {
  const cluster = leaderOf(3);
  cluster.node(1).isDiskHeld = true;
  for (let beat = 0; beat < 60; beat += 1) {
    cluster.propose(1, 'x');
    if (beat % 10 === 9) cluster.sync(1, 5);
    cluster.tick(1);
    cluster.deliverAll();
  }
  t.equal(cluster.status(1).role, 'leader');
  t.end();
});

t.test('the first late tick restarts the timers, the second in a row is believed', (t) => {
  const late = (cluster: Harness, number: number): void => {
    cluster.now = cluster.core(number).nextDeadline() + TIMING.electionMinMs;
    cluster.step(number, { kind: 'tick' });
  };
  const cluster = new Harness(3);
  late(cluster, 1);
  t.equal(cluster.status(1).role, 'follower');
  late(cluster, 1);
  t.equal(cluster.status(1).role, 'pre-candidate');
  const led = leaderOf(3);
  late(led, 1);
  t.equal(led.status(1).role, 'leader');
  t.end();
});

t.test('a tick before its time does nothing', (t) => {
  const cluster = leaderOf(3);
  t.same(cluster.step(1, { kind: 'tick' }), []);
  t.end();
});

t.test('when the leader dies the voters ask one after another, by rank', (t) => {
  const cluster = leaderOf(5);
  cluster.crash(1);
  const leader = cluster.node(1).id;
  const waits = [2, 3, 4, 5].map((number) => {
    cluster.step(number, { kind: 'peer-down', peer: leader });
    return cluster.core(number).nextDeadline() - cluster.now;
  });
  t.same(waits, [0, 12, 24, 36]);
  t.end();
});

t.test('who grants a pre-vote in a fast failover holds its own back', (t) => {
  const cluster = leaderOf(3);
  cluster.crash(1);
  for (const number of [2, 3]) {
    cluster.step(number, { kind: 'peer-down', peer: cluster.node(1).id });
  }
  cluster.tick(2);
  cluster.deliver();
  t.equal(cluster.core(3).nextDeadline() - cluster.now, 25);
  t.end();
});

t.test('a fast round that failed is repeated soon', (t) => {
  const cluster = leaderOf(3);
  cluster.crash(1);
  cluster.step(2, { kind: 'peer-down', peer: cluster.node(1).id });
  cluster.tick(2);
  cluster.deliverAll();
  t.equal(cluster.status(2).leader, undefined, 'n3 still sticks to the leader');
  t.equal(cluster.core(2).nextDeadline() - cluster.now, 10);
  t.end();
});

t.test('who asked a voter too early is granted its pre-vote when that one notices, too', (t) => {
  const cluster = leaderOf(3);
  const leader = cluster.node(1).id;
  cluster.crash(1);
  cluster.step(2, { kind: 'peer-down', peer: leader });
  cluster.tick(2);
  cluster.deliverAll();
  const askedAt = cluster.now;
  t.equal(cluster.status(2).role, 'pre-candidate', 'n3 still sticks to the leader');
  cluster.step(3, { kind: 'peer-down', peer: leader });
  cluster.deliverAll();
  t.equal(cluster.status(2).role, 'leader');
  t.equal(cluster.now, askedAt, 'without another timer');
  t.end();
});

t.test('a pre-vote that was refused long ago is not granted any more', (t) => {
  const cluster = leaderOf(3);
  const leader = cluster.node(1).id;
  cluster.step(2, { kind: 'peer-down', peer: leader });
  cluster.tick(2);
  cluster.deliverAll();
  t.equal(cluster.status(2).role, 'pre-candidate', 'the leader lives');
  cluster.tick(1);
  cluster.deliverAll();
  cluster.tick(1);
  cluster.deliverAll();
  t.same(sent(cluster.step(3, { kind: 'peer-down', peer: leader })), []);
  t.equal(cluster.core(3).nextDeadline() - cluster.now, 12);
  t.end();
});

t.test('who refuses because its own log is better does not wait for its turn', (t) => {
  const cluster = leaderOf(3);
  const leader = cluster.node(1).id;
  cluster.propose(1, 'x');
  cluster.deliver(({ to }) => to === 'n3');
  cluster.crash(1);
  cluster.take(({ from }) => from === leader);
  for (const number of [2, 3]) cluster.step(number, { kind: 'peer-down', peer: leader });
  cluster.tick(2);
  cluster.deliver(({ to }) => to === 'n3');
  t.equal(cluster.core(3).nextDeadline(), cluster.now);
  cluster.tick(3);
  cluster.deliverAll();
  t.equal(cluster.status(3).role, 'leader');
  t.end();
});

t.test('fast failover is over when a leader is heard, and ends by itself', (t) => {
  const heard = leaderOf(3);
  heard.step(2, { kind: 'peer-down', peer: heard.node(1).id });
  heard.tick(1);
  heard.deliverAll();
  t.equal(heard.core(2).nextDeadline() - heard.now, TIMING.electionMinMs);
  const alone = leaderOf(3);
  alone.crash(1);
  alone.crash(3);
  alone.step(2, { kind: 'peer-down', peer: alone.node(1).id });
  const start = alone.now;
  let rounds = 0;
  for (; alone.now < start + TIMING.electionMaxMs; rounds += 1) alone.tick(2);
  t.ok(rounds <= 1 + TIMING.electionMaxMs / 10, `${rounds} rounds`);
  t.equal(alone.core(2).nextDeadline() - alone.now, TIMING.electionMinMs);
  t.end();
});

t.test('peer-down of anybody but the leader starts nothing', (t) => {
  const cluster = leaderOf(3);
  cluster.step(2, { kind: 'peer-down', peer: cluster.node(3).id });
  t.equal(cluster.status(2).leader, 'n1');
  t.end();
});

t.test('with evidence a dead leader is replaced within 20 ms in 200 of 200 runs', (t) => {
  const times: number[] = [];
  for (let seed = 0; seed < 200; seed += 1) times.push(failoverMs(seed));
  t.ok(Math.max(...times) <= 20, `${Math.max(...times).toFixed(1)} ms at most`);
  t.end();
});

/** Delays of 0.2 to 1 ms for messages and disks, evidence within 5 ms. */
function failoverMs(seed: number): number {
  const rng = createSeededRng(`failover-${seed}`);
  const cluster = new Harness(3, { rng });
  cluster.elect(1);
  cluster.crash(1);
  const start = cluster.now;
  const due: { at: number; run: () => void }[] = [2, 3].map((number) => ({
    at: start + 0.5 + rng.float() * 4.5,
    run: () => cluster.step(number, { kind: 'peer-down', peer: cluster.node(1).id }),
  }));
  for (;;) {
    for (const { from, to, message } of cluster.take(() => true)) {
      const number = cluster.numberOf(to);
      due.push({
        at: cluster.now + 0.4 + rng.float() * 1.6,
        run: () => cluster.step(number, { kind: 'message', from, message }),
      });
    }
    const ticks = [2, 3].map((number) => ({
      at: cluster.core(number).nextDeadline(),
      run: () => cluster.step(number, { kind: 'tick' }),
    }));
    const [next] = [...due, ...ticks].sort((a, b) => a.at - b.at);
    if (next === undefined) throw new Error('nothing happens');
    due.splice(due.indexOf(next), due.includes(next) ? 1 : 0);
    cluster.now = Math.max(cluster.now, next.at);
    next.run();
    const leader = [2, 3].find((number) => cluster.status(number).role === 'leader');
    if (leader !== undefined && cluster.status(leader).commit > 2) return cluster.now - start;
  }
}

t.test('a suspect node has no vote and does not campaign until it has caught up', (t) => {
  const cluster = new Harness(3, { suspects: [3] });
  t.equal(cluster.core(3).nextDeadline(), Number.POSITIVE_INFINITY);
  const request = { type: 'pre-vote', term: 2, lastIndex: 9, lastTerm: 1 } as const;
  t.match(sent(cluster.send(2, 3, request)), [{ message: { granted: false } }]);
  cluster.packets = [];
  cluster.elect(1);
  t.equal(cluster.status(3).isSuspect, true, 'the leader has not yet said where its log ends');
  cluster.tick(1);
  cluster.deliverAll();
  t.equal(cluster.status(3).isSuspect, false);
  t.end();
});

t.test('a suspect node is not trusted before it has all that it may have acknowledged', (t) => {
  const cluster = leaderOf(5);
  for (let count = 0; count < 2; count += 1) cluster.propose(1, 'x');
  cluster.deliver(({ to }) => to === 'n5');
  cluster.deliver(({ from }) => from === 'n5');
  const acknowledged = cluster.node(5).entries.length;
  t.equal(acknowledged, 4, 'node 5 has acknowledged all, and nothing of it is committed yet');
  // Its disk gives back less than that, though all that the leader calls committed.
  cluster.packets = [];
  cluster.crash(5);
  const { commit } = cluster.status(1);
  cluster.node(5).entries.splice(commit);
  cluster.node(5).isSuspect = true;
  cluster.restart(5);
  cluster.tick(1);
  cluster.deliver(({ to }) => to === 'n5');
  cluster.deliver(({ from }) => from === 'n5');
  const answer = cluster.take(({ message }) => message.type === 'catch-up-reply')[0];
  t.match(answer, { to: 'n5', message: { index: acknowledged } });
  if (answer !== undefined) cluster.send(1, 5, answer.message);
  t.equal(cluster.status(5).isSuspect, true, 'it has what is committed, and not the rest');
  const grant = { type: 'pre-vote', term: 9, lastIndex: commit, lastTerm: 2 } as const;
  t.match(sent(cluster.send(4, 5, grant)), [{ message: { granted: false } }]);
  cluster.deliverAll();
  cluster.tick(1);
  cluster.deliverAll();
  t.ok(cluster.node(5).entries.length >= acknowledged);
  t.equal(cluster.status(5).isSuspect, false);
  t.end();
});

t.test('a suspect node takes no answer to the question of an earlier boot', (t) => {
  const cluster = new Harness(3, { suspects: [3], rng: createSeededRng('ids') });
  cluster.elect(1);
  cluster.send(1, 3, { type: 'catch-up-reply', term: 2, id: 0, index: 0 });
  t.equal(cluster.status(3).isSuspect, true);
  t.end();
});

t.test('a follower that lost entries is brought up again, and the leader lives', (t) => {
  const cluster = leaderOf(3);
  for (let count = 0; count < 5; count += 1) cluster.propose(1, 'x');
  cluster.deliverAll();
  cluster.crash(3);
  cluster.node(3).entries = cluster.node(3).entries.slice(0, 2);
  cluster.restart(3);
  cluster.propose(1, 'y');
  cluster.deliverAll();
  t.same(cluster.logTerms(3), cluster.logTerms(1));
  t.end();
});

t.test('a failed snapshot is asked for again when the follower answers', (t) => {
  const cluster = leaderOf(3, { trailingEntries: 0, compactStep: 1 });
  cluster.crash(3);
  for (let count = 0; count < 5; count += 1) {
    cluster.propose(1, 'x');
    cluster.deliverAll();
  }
  cluster.restart(3);
  let asked = 0;
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'send-snapshot') asked += 1;
  };
  const beat = (): void => {
    cluster.tick(1);
    cluster.deliverAll();
  };
  beat();
  beat();
  t.equal(asked, 1, 'once, however many heartbeats are answered');
  const to = cluster.node(3).id;
  cluster.step(1, { kind: 'snapshot-sent', to, index: 0, ok: false });
  t.equal(asked, 1);
  beat();
  t.equal(asked, 2);
  t.end();
});

t.test('while a snapshot is being installed a node neither appends nor campaigns', (t) => {
  const { conf } = new Harness(3).node(1).snapshot;
  const stored = {
    hardState: { term: 1, vote: undefined },
    snapshot: { index: 0, term: 0, conf },
    entries: [entryOf(1, 1)],
    applied: 0,
  };
  const [self, leader] = conf.voters;
  if (self === undefined || leader === undefined) throw new Error('no voters');
  const core = new RaftCore({ self, timing: TIMING, rng: NO_CHANCE }, stored, 0);
  const meta = { index: 9, term: 1, conf };
  core.step({ kind: 'snapshot-received', now: 1, from: leader, term: 1, meta });
  t.equal(core.nextDeadline(), Number.POSITIVE_INFINITY);
  const append = { type: 'append', term: 1, prevIndex: 1, prevTerm: 1, commit: 1 } as const;
  const message = { ...append, entries: [entryOf(2, 1)] };
  t.same(
    core.step({ kind: 'message', now: 2, from: leader, message }).filter((e) => e.kind !== 'role'),
    [],
  );
  core.step({ kind: 'snapshot-installed', now: 3, meta });
  t.same([core.status().last, core.commit], [9, 9]);
  t.ok(Number.isFinite(core.nextDeadline()));
  t.end();
});

t.test('memory pressure gives up the trailing entries', (t) => {
  const cluster = leaderOf(1, { logBytesMax: 10_000 });
  for (let count = 0; count < 50; count += 1) cluster.propose(1, 'x'.repeat(1_000));
  t.ok(cluster.status(1).logBytes <= 11_000, `${cluster.status(1).logBytes} bytes`);
  t.end();
});

t.test('not more than the window is handed out to be applied', (t) => {
  const conf = new Harness(1).node(1).snapshot.conf;
  const [self] = conf.voters;
  if (self === undefined) throw new Error('no voter');
  const stored = {
    hardState: { term: 1, vote: undefined },
    snapshot: { index: 0, term: 0, conf },
    entries: Array.from({ length: 3_000 }, (_, at) => entryOf(at + 1, 1)),
    applied: 0,
  };
  const core = new RaftCore({ self, timing: TIMING, rng: NO_CHANCE }, stored, 0);
  const effects: Effect[] = [];
  let now = 0;
  const step = (input: Parameters<RaftCore['step']>[0]): void => {
    for (const effect of core.step(input)) {
      effects.push(effect);
      if (effect.kind !== 'persist') continue;
      const { index, term, hardTerm } = effect;
      step({ kind: 'persisted', now, index, term, hardTerm });
    }
  };
  now = core.nextDeadline();
  step({ kind: 'tick', now });
  const applied = (): number =>
    effects.reduce((sum, effect) => sum + (effect.kind === 'apply' ? effect.entries.length : 0), 0);
  t.equal(applied(), 2_048);
  step({ kind: 'applied', now, index: 2_048, durable: 0 });
  t.equal(applied(), 3_001);
  t.end();
});

t.test('inputs that can only come from a bug are refused', (t) => {
  const core = new Harness(3).core(1);
  t.throws(() => core.step({ kind: 'persisted', now: 0, index: 1, term: 1, hardTerm: 9 }), /bug/);
  t.throws(() => core.step({ kind: 'applied', now: 0, index: 9, durable: 0 }), /bug/);
  t.end();
});

t.test('a stored state that cannot be is refused at boot', (t) => {
  const { conf } = new Harness(1).node(1).snapshot;
  const [self] = conf.voters;
  if (self === undefined) throw new Error('no voter');
  const boot = (applied: number, term: number, snapshot = 0): RaftCore =>
    new RaftCore(
      { self, timing: TIMING, rng: NO_CHANCE },
      {
        hardState: { term, vote: undefined },
        snapshot: { index: snapshot, term: 0, conf },
        entries: snapshot === 0 ? [entryOf(1, 3)] : [],
        applied,
      },
      0,
    );
  t.throws(() => boot(2, 3), /ahead of the log/);
  t.throws(() => boot(0, 2), /later term/);
  t.throws(() => boot(4, 3, 5), /never applied/);
  t.end();
});

t.test('timings that cannot work are named, all at once', (t) => {
  t.same(validateTiming(TIMING), []);
  t.equal(validateTiming({ heartbeatMs: 0, electionMinMs: -1, electionMaxMs: -2 }).length, 3);
  t.end();
});

t.test('the log is kept for a follower that gets a snapshot, and catches up after it', (t) => {
  const cluster = leaderOf(3, { trailingEntries: 2, compactStep: 1 });
  const commit = (count: number) => {
    for (let nth = 0; nth < count; nth += 1) {
      cluster.propose(1, 'x');
      cluster.deliver(({ to }) => to === 'n2');
      cluster.deliver(({ from, to }) => from === 'n2' && to === 'n1');
      cluster.deliver(({ to }) => to === 'n2');
    }
  };
  cluster.crash(3);
  commit(20);
  const trimmedTo = cluster.status(1).snapshot;
  t.ok(trimmedTo >= 15, 'nobody is held up by one that is gone');
  cluster.packets = [];
  cluster.restart(3);
  cluster.tick(1);
  cluster.deliver();
  cluster.deliver();
  cluster.deliver();
  cluster.deliver();
  t.equal(cluster.status(1).progress.find(({ peer }) => peer === 'n3')?.state, 'snapshot');
  commit(20);
  t.equal(cluster.status(1).snapshot, trimmedTo, 'what it needs after the snapshot is kept');
  cluster.now += 10_000;
  commit(20);
  t.ok(cluster.status(1).snapshot > trimmedTo, 'until it is silent for long');
  t.end();
});
