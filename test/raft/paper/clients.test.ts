/**
 * Clients, reads, transfer and compaction as the papers state them: Raft §7, §8; dissertation
 * §3.10, §6.2, §6.4.
 */
import t from 'tap';
import type { Effect } from '../../../src/raft/index.js';
import { Harness, TIMING } from '../harness.js';

function kinds(effects: readonly Effect[]): string[] {
  return effects.map((effect) => effect.kind);
}

// "If the client's first choice is not the leader, that server will reject the client's request and
// supply information about the most recent leader it has heard from." (§8)
t.test('a follower refuses proposals and reads, and names the leader', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  t.same(cluster.propose(2, 'x', 7), [
    { kind: 'proposal-rejected', id: 7, reason: 'not-leader', leader: 'n1' },
  ]);
  t.same(cluster.step(2, { kind: 'read-index', id: 8 }), [
    { kind: 'read-rejected', id: 8, leader: 'n1' },
  ]);
  t.end();
});

// "a leader must have the latest information on which entries are committed. [...] at the start of
// its term, it may not know which those are." (§8; dissertation §6.4 step 1)
t.test('a read waits for the first commit of the leader term', (t) => {
  const cluster = new Harness(3);
  cluster.tick(1);
  for (const type of ['pre-vote', 'pre-vote-reply', 'vote', 'vote-reply']) {
    cluster.deliver(({ message }) => message.type === type);
  }
  t.same(cluster.step(1, { kind: 'read-index', id: 1 }), []);
  t.equal(cluster.status(1).pendingReads, 1);
  const answers: Effect[] = [];
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'read-ready') answers.push(effect);
  };
  cluster.deliverAll();
  t.same(answers, [{ kind: 'read-ready', id: 1, index: 2 }]);
  t.end();
});

// "a leader must check whether it has been deposed before processing a read-only request [...] by
// having the leader exchange heartbeat messages with a majority of the cluster before responding."
t.test('a read waits for a majority that answers a heartbeat sent after it', (t) => {
  const cluster = new Harness(5);
  cluster.elect(1);
  cluster.step(1, { kind: 'read-index', id: 1 });
  const number = 1;
  const answer = (from: number, read: number): string[] =>
    kinds(
      cluster.send(from, 1, {
        type: 'heartbeat-reply',
        term: 2,
        read,
        verified: 2,
        suspect: false,
      }),
    );
  t.same(answer(2, number - 1), [], 'an answer to an older heartbeat');
  t.same(answer(3, number - 1), []);
  t.same(answer(2, number), []);
  t.same(answer(3, number), ['read-ready']);
  t.end();
});

t.test('an answer for a later read confirms all earlier ones, once', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.step(1, { kind: 'read-index', id: 1 });
  cluster.packets = [];
  cluster.step(1, { kind: 'read-index', id: 2 });
  cluster.tick(1);
  const reply = { type: 'heartbeat-reply', term: 2, read: 2, verified: 2, suspect: false } as const;
  t.same(kinds(cluster.send(2, 1, reply)), ['read-ready', 'read-ready']);
  t.same(kinds(cluster.send(3, 1, reply)), []);
  t.end();
});

t.test('reads that come while a round is on its way share the next one', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  t.equal(cluster.step(1, { kind: 'read-index', id: 1 }).length, 2);
  for (let id = 2; id < 100; id += 1) t.same(cluster.step(1, { kind: 'read-index', id }), []);
  const reply = { type: 'heartbeat-reply', term: 2, read: 1, verified: 2, suspect: false } as const;
  t.same(kinds(cluster.send(2, 1, reply)), ['read-ready', 'send', 'send']);
  t.end();
});

t.test('a lone voter answers reads at once', (t) => {
  const cluster = new Harness(1);
  cluster.elect(1);
  t.same(cluster.step(1, { kind: 'read-index', id: 1 }), [{ kind: 'read-ready', id: 1, index: 2 }]);
  t.end();
});

t.test('when leadership ends every waiting read is refused', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  for (const id of [1, 2, 3]) cluster.step(1, { kind: 'read-index', id });
  const effects = cluster.send(2, 1, { type: 'heartbeat', term: 9, commit: 0, read: 0 });
  const rejected = effects.filter((effect) => effect.kind === 'read-rejected');
  t.same(
    rejected.map((effect) => effect.id),
    [1, 2, 3],
  );
  t.end();
});

// Dissertation §6.2: "a leader in Raft steps down if an election timeout elapses without a
// successful round of heartbeats to a majority of its cluster".
t.test('a leader without a majority steps down, one with a majority stays', (t) => {
  const cluster = new Harness(5);
  cluster.elect(1);
  cluster.crash(4);
  cluster.crash(5);
  for (let beat = 0; beat < 20; beat += 1) {
    cluster.tick(1);
    cluster.deliverAll();
  }
  t.equal(cluster.status(1).role, 'leader');
  cluster.crash(3);
  const alone = cluster.now;
  while (cluster.status(1).role === 'leader') cluster.tick(1);
  t.ok(cluster.now - alone <= TIMING.electionMaxMs + TIMING.heartbeatMs + 1);
  t.equal(cluster.status(1).term, 2, 'the term stays');
  t.end();
});

// Dissertation §3.10: "The prior leader stops accepting new client requests. The prior leader fully
// updates the target server's log to match its own [...] sends a TimeoutNow request".
t.test('leadership moves to a target with the whole log', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.step(1, { kind: 'transfer', to: cluster.node(2).id });
  t.match(cluster.propose(1, 'x'), [{ kind: 'proposal-rejected', reason: 'transferring' }]);
  const done: Effect[] = [];
  cluster.onEffect = (_node, effect) => {
    if (effect.kind === 'transfer-done') done.push(effect);
  };
  cluster.deliverAll();
  t.equal(cluster.status(2).role, 'leader');
  t.same(done, [{ kind: 'transfer-done', to: 'n2' }]);
  t.end();
});

t.test('without a target the most caught-up follower is chosen', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.propose(1, 'x');
  cluster.take(({ to }) => to === 'n2');
  cluster.deliverAll();
  cluster.step(1, { kind: 'transfer' });
  t.equal(cluster.status(1).transferTo, 'n3');
  t.end();
});

t.test('TimeoutNow of a stranger, or of an earlier term, starts nothing', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.send(3, 2, { type: 'timeout-now', term: 2 });
  cluster.send(1, 2, { type: 'timeout-now', term: 1 });
  t.equal(cluster.status(2).role, 'follower');
  t.end();
});

// "Each server takes snapshots independently, covering just the committed entries in its log. [...]
// it may delete all log entries up through the last included index" (§7)
t.test('the log is compacted up to what is durably applied, less the trailing entries', (t) => {
  const cluster = new Harness(1, { limits: { trailingEntries: 3, compactStep: 2 } });
  cluster.elect(1);
  for (let count = 0; count < 8; count += 1) cluster.propose(1, 'x');
  const { snapshot, last, applied } = cluster.status(1);
  t.same([last, applied], [10, 10]);
  t.ok(applied - snapshot >= 3 && applied - snapshot < 3 + 2, `snapshot at ${snapshot}`);
  t.equal(cluster.node(1).snapshot.term, 2, 'the effect names the term of the last one');
  t.end();
});

t.test('what is applied and not yet durable stays in the log', (t) => {
  const limits = { trailingEntries: 0, compactStep: 1 };
  const cluster = new Harness(1, { limits, durableLag: 5 });
  cluster.elect(1);
  for (let count = 0; count < 8; count += 1) cluster.propose(1, 'x');
  t.match(cluster.status(1), { last: 10, applied: 10, snapshot: 5 });
  t.end();
});

// "If the follower receives a snapshot that describes a prefix of its log [...] entries following
// the snapshot are still valid and must be retained." (§7)
t.test('a snapshot of what a follower has keeps the log behind it', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2, 2, 2] } });
  const { conf } = cluster.node(1).snapshot;
  const meta = { index: 3, term: 2, conf };
  const effects = cluster.step(1, {
    kind: 'snapshot-received',
    from: cluster.node(2).id,
    term: 3,
    meta,
  });
  t.notOk(kinds(effects).includes('install-snapshot'));
  t.same(cluster.logTerms(1), [1, 2, 2, 2]);
  t.equal(cluster.status(1).commit, 3);
  t.end();
});

t.test(
  'a snapshot of another history replaces the log, and is acknowledged when it is in place',
  (t) => {
    const cluster = new Harness(3, { logs: { 1: [2, 2, 2] } });
    const { conf } = cluster.node(1).snapshot;
    const meta = { index: 3, term: 3, conf };
    cluster.step(1, { kind: 'snapshot-received', from: cluster.node(2).id, term: 3, meta });
    const { last, lastTerm, commit, applied, stable } = cluster.status(1);
    t.same([last, lastTerm, commit, applied, stable], [3, 3, 3, 3, 3]);
    t.match(cluster.packets, [{ to: 'n2', message: { type: 'append-reply', ok: true, index: 3 } }]);
    t.end();
  },
);

t.test('an old snapshot is not installed; the follower says how far it is', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.propose(1, 'x');
  cluster.deliverAll();
  const { conf } = cluster.node(2).snapshot;
  const meta = { index: 2, term: 2, conf };
  cluster.step(2, { kind: 'snapshot-received', from: cluster.node(1).id, term: 2, meta });
  t.match(cluster.packets, [{ message: { type: 'append-reply', ok: true, index: 3 } }]);
  t.end();
});
