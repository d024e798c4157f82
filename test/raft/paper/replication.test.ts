/**
 * Log replication as the Raft paper states it: §5.3, §5.5 and "AppendEntries RPC" of figure 2.
 */
import t from 'tap';
import type { Entry, Message } from '../../../src/raft/index.js';
import { entryOf, Harness, sent } from '../harness.js';

function append(
  term: number,
  [prevIndex, prevTerm]: readonly [number, number],
  entries: readonly Entry[] = [],
  commit = 0,
): Message {
  return { type: 'append', term, prevIndex, prevTerm, commit, entries };
}

function leaderOf(size: number): Harness {
  const cluster = new Harness(size);
  cluster.elect(1);
  return cluster;
}

// "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in
// parallel to each of the other servers to replicate the entry." (§5.3)
t.test('a proposal enters the log and leaves to all others before the own disk is done', (t) => {
  const cluster = leaderOf(3);
  cluster.node(1).isDiskHeld = true;
  const effects = cluster.propose(1, 'x');
  const appends = effects.filter((e) => e.kind === 'send' && e.message.type === 'append');
  t.equal(appends.length, 2);
  t.equal(cluster.status(1).last, 3);
  t.equal(cluster.status(1).stable, 2);
  t.end();
});

// "When sending an AppendEntries RPC, the leader includes the index and term of the entry in its log
// that immediately precedes the new entries." (§5.3)
t.test('an append names the entry before its first one', (t) => {
  const cluster = leaderOf(3);
  const [first] = sent(cluster.propose(1, 'x'));
  t.match(first?.message, { type: 'append', prevIndex: 2, prevTerm: 2, entries: [{ index: 3 }] });
  t.end();
});

// "If the follower does not find an entry in its log with the same index and term, then it refuses
// the new entries." (§5.3) Figure 2, AppendEntries 2.
t.test('a follower refuses what does not continue its log, and keeps the log', (t) => {
  const cluster = new Harness(3, { logs: { 1: [1, 2] } });
  for (const prev of [
    [4, 2],
    [3, 3],
    [9, 2],
  ] as const) {
    const [reply] = sent(cluster.send(2, 1, append(3, prev, [entryOf(prev[0] + 1, 3)])));
    t.match(reply?.message, { type: 'append-reply', ok: false, index: prev[0] });
  }
  t.same(cluster.logTerms(1), [1, 1, 2]);
  t.end();
});

// Figure 7: "(a-b) missing entries, (c-d) extra uncommitted entries, or both (e-f)". "The leader
// handles inconsistencies by forcing the followers' logs to duplicate its own." (§5.3)
const FIGURE_7 = {
  a: [1, 1, 4, 4, 5, 5, 6, 6],
  b: [1, 1, 4],
  c: [1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
  d: [1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
  e: [1, 1, 4, 4, 4, 4],
  f: [1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
};
for (const [name, log] of Object.entries(FIGURE_7)) {
  t.test(`the log of follower (${name}) in figure 7 becomes the leader's`, (t) => {
    const leaders = [1, 1, 4, 4, 5, 5, 6, 6, 6];
    const terms = { 1: 7, 2: 7, 3: 7 };
    const cluster = new Harness(3, { logs: { 1: leaders, 2: log, 3: leaders }, terms });
    cluster.crash(2);
    cluster.elect(1);
    t.equal(cluster.status(1).role, 'leader');
    cluster.restart(2);
    cluster.tick(1);
    cluster.deliverAll();
    t.same(cluster.logTerms(2), [1, ...leaders, 8]);
    t.equal(cluster.status(2).commit, cluster.status(1).commit);
    t.end();
  });
}

// "If an existing entry conflicts with a new one (same index but different terms), delete the
// existing entry and all that follow it" (figure 2, AppendEntries 3)
t.test('a conflict removes the entry and everything behind it', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2, 2, 2] } });
  cluster.send(2, 1, append(3, [2, 2], [entryOf(3, 3)]));
  t.same(cluster.logTerms(1), [1, 2, 3]);
  t.end();
});

// "... append any new entries not already in the log" (figure 2, AppendEntries 4)
t.test(
  'entries that are there already are neither written again nor cause a loss behind them',
  (t) => {
    const cluster = new Harness(3, { logs: { 1: [2, 2, 2] } });
    const effects = cluster.send(2, 1, append(2, [1, 1], [entryOf(2, 2)]));
    t.notOk(effects.some((effect) => effect.kind === 'persist' && effect.append.length > 0));
    t.same(cluster.logTerms(1), [1, 2, 2, 2]);
    t.end();
  },
);

// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)"
// (figure 2, AppendEntries 5)
t.test('a follower commits no further than the last entry that the leader vouched for', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2, 2, 2] } });
  cluster.send(2, 1, append(3, [1, 1], [entryOf(2, 2)], 4));
  t.equal(cluster.status(1).commit, 2);
  cluster.send(2, 1, { type: 'heartbeat', term: 3, commit: 4, read: 0 });
  t.equal(cluster.status(1).commit, 2, 'a heartbeat vouches for nothing');
  t.end();
});

// "A log entry is committed once the leader that created the entry has replicated it on a majority
// of the servers." (§5.3)
t.test('an entry is committed with the acknowledgement that makes a majority', (t) => {
  for (const size of [1, 2, 3, 4, 5, 7]) {
    const cluster = leaderOf(size);
    cluster.propose(1, 'x');
    cluster.packets = [];
    let acks = 1;
    for (; acks < Math.floor(size / 2) + 1; acks += 1) {
      t.equal(cluster.status(1).commit, 2, `${acks} of ${size}`);
      const ok = { type: 'append-reply', term: 2, ok: true, index: 3, hintIndex: 0, hintTerm: 0 };
      cluster.send(acks + 1, 1, ok as Message);
    }
    t.equal(cluster.status(1).commit, 3, `${acks} of ${size}`);
  }
  t.end();
});

// "The leader keeps track of the highest index it knows to be committed, and it includes that index
// in future AppendEntries RPCs (including heartbeats) so that the other servers eventually find
// out." (§5.3)
t.test('followers learn the commit index and apply in log order', (t) => {
  const cluster = leaderOf(3);
  for (const text of ['a', 'b', 'c']) cluster.propose(1, text);
  cluster.deliverAll();
  for (const node of [1, 2, 3]) {
    t.same(
      cluster.node(node).applied.map((entry) => entry.index),
      [1, 2, 3, 4, 5],
    );
  }
  t.end();
});

// "Once a follower learns that a log entry is committed, it applies the entry to its local state
// machine (in log order)." (§5.3) Ours: not before its own disk has it.
t.test('nothing is applied before it is durable on the node itself', (t) => {
  const cluster = leaderOf(3);
  cluster.node(1).isDiskHeld = true;
  cluster.propose(1, 'x');
  cluster.deliverAll();
  t.equal(cluster.status(1).commit, 3, 'the others are a majority');
  t.equal(cluster.status(1).applied, 2);
  t.equal(cluster.status(2).applied, 3);
  cluster.node(1).isDiskHeld = false;
  cluster.sync(1);
  t.equal(cluster.status(1).applied, 3);
  t.end();
});

// "If followers crash or run slowly, or if network packets are lost, the leader retries
// AppendEntries RPCs indefinitely." (§5.3, §5.5)
t.test('a follower that comes back gets what it missed', (t) => {
  const cluster = leaderOf(3);
  cluster.crash(3);
  for (let round = 0; round < 10; round += 1) {
    cluster.propose(1, 'x');
    cluster.deliverAll();
    cluster.tick(1);
    cluster.deliverAll();
  }
  cluster.restart(3);
  for (let beat = 0; beat < 2; beat += 1) {
    cluster.tick(1);
    cluster.deliverAll();
  }
  t.same(cluster.logTerms(3), cluster.logTerms(1));
  t.equal(cluster.status(3).applied, cluster.status(1).applied);
  t.end();
});

// "With this optimization [...] one AppendEntries RPC will be required for each term with
// conflicting entries, rather than one RPC per entry." (§5.3, end)
t.test('backing up takes one round trip per term in conflict, not one per entry', (t) => {
  const mine = [...Array(50).fill(2), ...Array(50).fill(5)];
  const theirs = [...Array(20).fill(2), ...Array(60).fill(3), ...Array(60).fill(4)];
  const terms = { 1: 5, 2: 5, 3: 5 };
  const cluster = new Harness(3, { logs: { 1: mine, 2: theirs, 3: mine }, terms });
  cluster.crash(2);
  cluster.elect(1);
  cluster.restart(2);
  cluster.tick(1);
  let refusals = 0;
  while (cluster.packets.length > 0) {
    const delivered = cluster.deliver();
    refusals += delivered.filter(
      ({ message }) => message.type === 'append-reply' && !message.ok,
    ).length;
  }
  t.ok(refusals <= 3, `${refusals} refusals`);
  t.same(cluster.logTerms(2), cluster.logTerms(1));
  t.end();
});

// "Raft RPCs are idempotent, so this causes no harm." (§5.5)
t.test('every message may come twice', (t) => {
  const once = leaderOf(3);
  const twice = new Harness(3);
  twice.tick(1);
  const deliverTwice = (): void => {
    while (twice.packets.length > 0) {
      const batch = twice.take(() => true);
      for (const { from, to, message } of [...batch, ...batch]) {
        const number = twice.numberOf(to);
        const before = twice.packets.length;
        twice.step(number, { kind: 'message', from, message });
        t.ok(twice.packets.length - before < 10);
      }
      if (twice.packets.length > 200) break;
      // Copies of copies would never end: one copy of each kind is enough.
      twice.packets = [...new Map(twice.packets.map((p) => [JSON.stringify(p), p])).values()];
    }
  };
  deliverTwice();
  once.propose(1, 'x');
  once.deliverAll();
  twice.propose(1, 'x');
  deliverTwice();
  for (const node of [1, 2, 3]) t.same(twice.logTerms(node), once.logTerms(node));
  t.equal(twice.status(1).commit, once.status(1).commit);
  t.end();
});

// "If the logs have the same index and term, [...] all preceding entries are identical": a message
// that breaks this is no log at all.
t.test('a malformed append is dropped', (t) => {
  const cluster = new Harness(3);
  t.same(
    cluster.send(2, 1, append(2, [1, 1], [entryOf(3, 2)])).filter((e) => e.kind === 'send'),
    [],
  );
  cluster.send(2, 1, append(2, [1, 1], [entryOf(2, 9)]));
  t.same(cluster.logTerms(1), [1]);
  t.end();
});
