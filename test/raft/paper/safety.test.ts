/**
 * Safety as the Raft paper states it: the election restriction (§5.4.1), committing entries of
 * previous terms (§5.4.2), persistent state (figure 2), and what of it depends on the disk.
 */
import t from 'tap';
import type { Message } from '../../../src/raft/index.js';
import { Harness, sent } from '../harness.js';

function vote(term: number, lastIndex: number, lastTerm: number): Message {
  return { type: 'vote', term, lastIndex, lastTerm, transfer: false };
}

function ok(term: number, index: number): Message {
  return { type: 'append-reply', term, ok: true, index, hintIndex: 0, hintTerm: 0 };
}

// "If the logs have last entries with different terms, then the log with the later term is more
// up-to-date. If the logs end with the same term, then whichever log is longer is more up-to-date."
// (§5.4.1)
for (const [log, lastIndex, lastTerm, granted] of [
  [[2], 2, 2, true],
  [[2], 3, 2, true],
  [[2], 2, 3, true],
  [[2, 2], 2, 3, true],
  [[2, 2], 2, 2, false],
  [[2, 2], 9, 1, false],
  [[3], 9, 2, false],
] as const) {
  const mine = `${log.length + 1}.${log.at(-1)}`;
  t.test(
    `a log that ends at ${lastIndex}.${lastTerm} ${granted ? 'gets' : 'does not get'} the vote of ${mine}`,
    (t) => {
      const cluster = new Harness(3, { logs: { 1: log } });
      const [reply] = sent(cluster.send(2, 1, vote(9, lastIndex, lastTerm)));
      t.match(reply?.message, { type: 'vote-reply', granted });
      t.end();
    },
  );
}

// "the RequestVote RPC [...] includes information about the candidate's log" (§5.4.1)
t.test('requests for votes and pre-votes carry the end of the log', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2, 3] } });
  const end = { lastIndex: 3, lastTerm: 3 };
  t.match(sent(cluster.tick(1))[0]?.message, { type: 'pre-vote', ...end });
  const effects = cluster.send(2, 1, { type: 'pre-vote-reply', term: 4, granted: true });
  t.match(sent(effects)[0]?.message, { type: 'vote', ...end });
  t.end();
});

// "Raft never commits log entries from previous terms by counting replicas. Only log entries from
// the leader's current term are committed by counting replicas." (§5.4.2)
t.test('an entry of an earlier term on a majority is not committed by that', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2, 2], 2: [2, 2] }, terms: { 3: 2 } });
  cluster.tick(1);
  cluster.deliver(({ message }) => message.type === 'pre-vote');
  cluster.deliver(({ message }) => message.type === 'pre-vote-reply');
  cluster.deliver(({ message }) => message.type === 'vote');
  cluster.deliver(({ message }) => message.type === 'vote-reply');
  t.equal(cluster.status(1).role, 'leader');
  cluster.packets = [];
  cluster.send(2, 1, ok(3, 3));
  t.equal(cluster.status(1).commit, 0, 'entry 3 of term 2 is on two of three');
  cluster.send(2, 1, ok(3, 4));
  t.equal(cluster.status(1).commit, 4, 'with its own no-op all before is committed (Log Matching)');
  t.end();
});

// "the leader must [...] at the start of its term: [...] each leader commit a blank no-op entry into
// the log at the start of its term" (§8)
t.test('a new leader writes a no-op of its term, which commits what was left behind', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2], 2: [2] }, terms: { 3: 2 } });
  cluster.elect(1);
  t.same(cluster.logTerms(1), [1, 2, 3]);
  t.equal(cluster.node(1).entries.at(-1)?.kind, 'noop');
  t.equal(cluster.status(1).commit, 3);
  t.end();
});

// "Persistent state on all servers (Updated on stable storage before responding to RPCs)" (figure 2)
t.test('a granted vote leaves only when the disk has it', (t) => {
  const cluster = new Harness(3);
  cluster.node(1).isDiskHeld = true;
  cluster.send(2, 1, vote(2, 1, 1));
  t.same(cluster.packets, []);
  cluster.sync(1);
  t.match(cluster.packets, [{ to: 'n2', message: { type: 'vote-reply', granted: true } }]);
  t.end();
});

t.test('so does one in a term that was on disk before the vote', (t) => {
  const cluster = new Harness(3);
  cluster.send(2, 1, vote(2, 0, 0));
  t.match(cluster.packets, [{ to: 'n2', message: { type: 'vote-reply', granted: false } }]);
  cluster.packets = [];
  cluster.node(1).isDiskHeld = true;
  cluster.send(3, 1, vote(2, 1, 1));
  t.same(cluster.packets, []);
  cluster.sync(1);
  t.match(cluster.packets, [{ to: 'n3', message: { type: 'vote-reply', granted: true } }]);
  t.end();
});

t.test('an acknowledgement of entries leaves only when the disk has them', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.node(2).isDiskHeld = true;
  cluster.propose(1, 'x');
  cluster.deliver(({ to }) => to === 'n2');
  t.notOk(cluster.packets.some(({ from }) => from === 'n2'));
  cluster.sync(2);
  t.match(
    cluster.packets.filter(({ from }) => from === 'n2'),
    [{ message: { type: 'append-reply', ok: true, index: 3 } }],
  );
  t.end();
});

t.test('acknowledging again what is on its way to the disk waits for the disk too', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.node(2).isDiskHeld = true;
  cluster.propose(1, 'x');
  const [append] = cluster.take(({ to }) => to === 'n2');
  for (let copy = 0; copy < 2; copy += 1) {
    if (append !== undefined) cluster.send(1, 2, append.message);
  }
  t.notOk(cluster.packets.some(({ from }) => from === 'n2'));
  t.end();
});

t.test('a larger term is on disk before anything reveals it', (t) => {
  const cluster = new Harness(3);
  cluster.node(1).isDiskHeld = true;
  cluster.send(2, 1, { type: 'heartbeat', term: 5, commit: 0, read: 0 });
  cluster.send(3, 1, { type: 'pre-vote', term: 3, lastIndex: 1, lastTerm: 1 });
  t.same(cluster.packets, [], 'neither the answer to the leader nor the refusal');
  cluster.sync(1);
  t.equal(cluster.packets.length, 2);
  t.end();
});

t.test('a candidate asks for votes only when its own vote is on disk', (t) => {
  const cluster = new Harness(3);
  cluster.tick(1);
  cluster.packets = [];
  cluster.node(1).isDiskHeld = true;
  cluster.send(2, 1, { type: 'pre-vote-reply', term: 2, granted: true });
  t.same(cluster.packets, []);
  cluster.sync(1);
  t.equal(cluster.packets.length, 2);
  t.end();
});

// Dissertation §10.2.1: the leader may write in parallel, "as long as it has been written to stable
// storage on a majority, even if not the leader's".
t.test('the leader counts itself only when its own disk is done', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.node(1).isDiskHeld = true;
  cluster.propose(1, 'x');
  cluster.packets = [];
  cluster.send(2, 1, ok(2, 3));
  t.equal(cluster.status(1).commit, 2, 'one follower and an unfinished write are no majority');
  cluster.send(3, 1, ok(2, 3));
  t.equal(cluster.status(1).commit, 3, 'two followers are, without the leader');
  t.end();
});

t.test('a lone voter commits when its disk is done, not before', (t) => {
  const cluster = new Harness(1);
  cluster.elect(1);
  cluster.node(1).isDiskHeld = true;
  cluster.propose(1, 'x');
  t.equal(cluster.status(1).commit, 2);
  cluster.sync(1);
  t.equal(cluster.status(1).commit, 3);
  t.end();
});

t.test('acknowledgements of an earlier term, or beyond the log, count for nothing', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.propose(1, 'x');
  cluster.packets = [];
  cluster.send(2, 1, ok(1, 3));
  cluster.send(2, 1, ok(2, 99));
  t.equal(cluster.status(1).commit, 2);
  t.end();
});

// "Leader Append-Only: a leader never overwrites or deletes entries in its log" (figure 3)
t.test('a leader ignores appends of its own term', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  const before = cluster.logTerms(1);
  const stray: Message = {
    type: 'append',
    term: 2,
    prevIndex: 0,
    prevTerm: 0,
    commit: 9,
    entries: [],
  };
  t.same(cluster.send(2, 1, stray), []);
  t.same(cluster.logTerms(1), before);
  t.end();
});

t.test('what a follower has committed no leader takes back', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  cluster.propose(1, 'x');
  cluster.deliverAll();
  const late: Message = {
    type: 'append',
    term: 2,
    prevIndex: 0,
    prevTerm: 0,
    commit: 0,
    entries: [],
  };
  const [reply] = sent(cluster.send(1, 2, late));
  t.match(reply?.message, { type: 'append-reply', ok: true, index: 3 }, 'it says what it has');
  t.equal(cluster.status(2).commit, 3);
  t.end();
});

t.test(
  'a restarted node knows its log again, and commits again only what a leader vouches for',
  (t) => {
    const cluster = new Harness(3);
    cluster.elect(1);
    cluster.propose(1, 'x');
    cluster.deliverAll();
    cluster.crash(3);
    cluster.restart(3);
    t.equal(cluster.status(3).commit, 0, 'nothing durable was applied');
    cluster.tick(1);
    cluster.deliverAll();
    t.equal(cluster.status(3).commit, 3, 'also when the leader has nothing new to say');
    t.end();
  },
);
