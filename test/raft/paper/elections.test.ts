/**
 * Leader election as the Raft paper states it, rule by rule: §5.1, §5.2 and figure 2. Each title
 * is the rule; the quotation is the sentence it comes from.
 */
import t from 'tap';
import { createSeededRng } from '../../../src/base/index.js';
import type { Message } from '../../../src/raft/index.js';
import { Harness, sent, TIMING } from '../harness.js';

const at = (prevIndex: number, prevTerm: number, term: number, commit = 0): Message => ({
  type: 'append',
  term,
  prevIndex,
  prevTerm,
  commit,
  entries: [],
});
const vote = (term: number, lastIndex = 1, lastTerm = 1): Message => ({
  type: 'vote',
  term,
  lastIndex,
  lastTerm,
  transfer: false,
});

// "When servers start up, they begin as followers." (§5.2)
t.test('a node starts as a follower that knows no leader', (t) => {
  const { role, leader } = new Harness(3).status(1);
  t.same([role, leader], ['follower', undefined]);
  t.end();
});

// "If one server's current term is smaller than the other's, then it updates its current term to
// the larger value. If a candidate or leader discovers that its term is out of date, it immediately
// reverts to follower state." (§5.1)
for (const role of ['follower', 'pre-candidate', 'candidate', 'leader'] as const) {
  t.test(`a ${role} that sees a larger term adopts it and follows`, (t) => {
    const cluster = new Harness(3);
    if (role !== 'follower') cluster.tick(1);
    if (role === 'candidate' || role === 'leader') {
      cluster.send(2, 1, { type: 'pre-vote-reply', term: 2, granted: true });
    }
    if (role === 'leader') cluster.send(2, 1, { type: 'vote-reply', term: 2, granted: true });
    t.equal(cluster.status(1).role, role, 'the start');
    cluster.send(3, 1, at(1, 1, 7));
    const { role: now, term, leader } = cluster.status(1);
    t.same([now, term, leader], ['follower', 7, 'n3']);
    t.end();
  });
}

// "If a server receives a request with a stale term number, it rejects the request." (§5.1)
t.test('a request of an earlier term is refused, with the current term', (t) => {
  const cluster = new Harness(3, { terms: { 1: 5 } });
  for (const message of [at(1, 1, 4), vote(4)]) {
    const [reply] = sent(cluster.send(2, 1, message));
    t.equal(reply?.message.term, 5);
    t.notOk(reply?.message.type === 'vote-reply' && reply.message.granted);
    t.notOk(reply?.message.type === 'append-reply' && reply.message.ok);
  }
  t.equal(cluster.status(1).leader, undefined, 'the sender is not followed');
  t.end();
});

// "If a follower receives no communication over a period of time called the election timeout, then
// it assumes there is no viable leader and begins an election." (§5.2)
t.test('a follower campaigns when its election timeout passes in silence, and not before', (t) => {
  const cluster = new Harness(3);
  const deadline = cluster.core(1).nextDeadline();
  cluster.now = deadline - 0.5;
  t.same(cluster.step(1, { kind: 'tick' }), []);
  cluster.now = deadline;
  cluster.step(1, { kind: 'tick' });
  t.equal(cluster.status(1).role, 'pre-candidate');
  t.end();
});

// "A server remains in follower state as long as it receives valid RPCs from a leader or candidate."
t.test('a message of the leader, and a granted vote, restart the election timeout', (t) => {
  const cluster = new Harness(3);
  cluster.now = 100;
  cluster.send(2, 1, at(1, 1, 1));
  t.equal(cluster.core(1).nextDeadline(), 100 + TIMING.electionMinMs);
  cluster.now = 260;
  cluster.send(3, 1, vote(2));
  t.equal(cluster.core(1).nextDeadline(), 260 + TIMING.electionMinMs);
  t.end();
});

// "A server remains in follower state as long as it receives valid RPCs": a refused one is none.
t.test('a refused vote does not restart the election timeout', (t) => {
  const cluster = new Harness(3, { logs: { 1: [2] } });
  const before = cluster.core(1).nextDeadline();
  cluster.now = 50;
  cluster.send(3, 1, vote(3));
  t.equal(cluster.core(1).nextDeadline(), before);
  t.end();
});

// "To begin an election, a follower increments its current term and transitions to candidate state.
// It then votes for itself and issues RequestVote RPCs in parallel to each of the other servers."
t.test('a candidate raises its term, votes for itself and asks everybody else', (t) => {
  const cluster = new Harness(3);
  cluster.tick(1);
  const effects = cluster.send(2, 1, { type: 'pre-vote-reply', term: 2, granted: true });
  t.same(cluster.node(1).hardState, { term: 2, vote: 'n1' }, 'on disk');
  t.same(
    sent(effects).map(({ to, message }) => [to, message.type, message.term]),
    [
      ['n2', 'vote', 2],
      ['n3', 'vote', 2],
    ],
  );
  t.end();
});

// "A candidate wins an election if it receives votes from a majority of the servers in the full
// cluster for the same term." (§5.2)
t.test('a candidate leads from the vote that makes a majority on, with 1 to 7 servers', (t) => {
  for (let size = 2; size <= 7; size += 1) {
    const cluster = new Harness(size);
    cluster.tick(1);
    for (let other = 2; cluster.status(1).role === 'pre-candidate'; other += 1) {
      cluster.send(other, 1, { type: 'pre-vote-reply', term: 2, granted: true });
    }
    const needed = Math.floor(size / 2) + 1;
    for (let votes = 1; votes < needed; votes += 1) {
      t.equal(cluster.status(1).role, 'candidate', `${votes} of ${size} votes`);
      cluster.send(votes + 1, 1, { type: 'vote-reply', term: 2, granted: true });
    }
    t.equal(cluster.status(1).role, 'leader', `${needed} of ${size} votes`);
  }
  const alone = new Harness(1);
  alone.tick(1);
  t.equal(alone.status(1).role, 'leader', '1 of 1');
  t.end();
});

t.test('the same vote twice counts once', (t) => {
  const cluster = new Harness(5);
  cluster.tick(1);
  for (const other of [2, 3]) {
    cluster.send(other, 1, { type: 'pre-vote-reply', term: 2, granted: true });
  }
  cluster.send(2, 1, { type: 'vote-reply', term: 2, granted: true });
  cluster.send(2, 1, { type: 'vote-reply', term: 2, granted: true });
  t.equal(cluster.status(1).role, 'candidate');
  t.end();
});

// "Each server will vote for at most one candidate in a given term, on a first-come-first-served
// basis." (§5.2)
t.test(
  'the first candidate of a term gets the vote, the second does not, the first again does',
  (t) => {
    const cluster = new Harness(3);
    const answer = (from: number): boolean | undefined => {
      const [reply] = sent(cluster.send(from, 1, vote(2)));
      return reply?.message.type === 'vote-reply' ? reply.message.granted : undefined;
    };
    t.same([answer(2), answer(3), answer(2)], [true, false, true]);
    t.end();
  },
);

// "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to all of
// the other servers to establish its authority and prevent new elections." (§5.2)
t.test('a new leader announces itself at once, and again every heartbeat interval', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  const start = cluster.now;
  for (let beat = 1; beat <= 3; beat += 1) {
    const effects = cluster.tick(1);
    t.equal(cluster.now, start + beat * TIMING.heartbeatMs);
    t.same(
      sent(effects).map(({ to, message }) => [to, message.type]),
      [
        ['n2', 'heartbeat'],
        ['n3', 'heartbeat'],
      ],
    );
    cluster.deliverAll();
  }
  t.end();
});

// "While waiting for votes, a candidate may receive an AppendEntries RPC from another server
// claiming to be leader. If the leader's term is at least as large as the candidate's current term,
// then the candidate recognizes the leader as legitimate and returns to follower state." (§5.2)
t.test('a candidate follows a leader of its own term, and not one of an earlier term', (t) => {
  const cluster = new Harness(3);
  cluster.tick(1);
  cluster.send(2, 1, { type: 'pre-vote-reply', term: 2, granted: true });
  cluster.send(3, 1, at(1, 1, 1));
  t.equal(cluster.status(1).role, 'candidate');
  cluster.send(3, 1, at(1, 1, 2));
  t.same([cluster.status(1).role, cluster.status(1).leader], ['follower', 'n3']);
  t.end();
});

// "When this happens [a split vote], each candidate will time out and start a new election by
// incrementing its term." (§5.2) With pre-vote a new round asks first.
t.test('a candidate that gets no majority starts over in a later term', (t) => {
  const cluster = new Harness(3);
  cluster.tick(1);
  cluster.send(2, 1, { type: 'pre-vote-reply', term: 2, granted: true });
  cluster.packets = [];
  cluster.tick(1);
  t.equal(cluster.status(1).role, 'pre-candidate');
  cluster.send(2, 1, { type: 'pre-vote-reply', term: 3, granted: true });
  t.same([cluster.status(1).role, cluster.status(1).term], ['candidate', 3]);
  t.end();
});

// "Raft uses randomized election timeouts to ensure that split votes are rare and that they are
// resolved quickly. [...] chosen randomly from a fixed interval (e.g., 150-300ms)." (§5.2)
t.test('election timeouts are spread over the whole interval and differ between nodes', (t) => {
  const seen: number[] = [];
  for (let seed = 0; seed < 200; seed += 1) {
    const cluster = new Harness(1, { rng: createSeededRng(seed) });
    seen.push(cluster.core(1).nextDeadline());
  }
  const { electionMinMs: min, electionMaxMs: max } = TIMING;
  t.ok(seen.every((timeout) => timeout >= min && timeout < max));
  t.ok(Math.min(...seen) < min + 0.1 * (max - min) && Math.max(...seen) > max - 0.1 * (max - min));
  t.ok(new Set(seen).size > 190);
  t.end();
});

// "This spreads out the servers so that in most cases only a single server will time out; it wins the
// election and sends heartbeats before any other servers time out." (§5.2)
t.test('of five nodes one times out well before the others, most of the time', (t) => {
  const rounds = 1_000;
  // A local round trip and the disks: time enough to be elected.
  const roundMs = 2;
  let conflicts = 0;
  for (let seed = 0; seed < rounds; seed += 1) {
    const timeouts = Array.from({ length: 5 }, (_, at) =>
      new Harness(1, { rng: createSeededRng(`${seed} ${at}`) }).core(1).nextDeadline(),
    ).sort((a, b) => a - b);
    if ((timeouts[1] ?? 0) - (timeouts[0] ?? 0) < roundMs) conflicts += 1;
  }
  // 1 - (1 - 2/150)^5 = 6.5 % by chance alone.
  t.ok(conflicts > 0.03 * rounds && conflicts < 0.1 * rounds, `${conflicts} of ${rounds}`);
  t.end();
});

// "The restrictions ensure that at most one candidate can win a particular term": over crashes too.
t.test('a vote is remembered over a crash', (t) => {
  const cluster = new Harness(3);
  cluster.send(2, 1, vote(2));
  cluster.crash(1);
  cluster.restart(1);
  const [reply] = sent(cluster.send(3, 1, vote(2)));
  t.match(reply?.message, { type: 'vote-reply', granted: false });
  t.end();
});

t.test('a vote in a term that was on disk already is remembered too', (t) => {
  const cluster = new Harness(3, { terms: { 1: 2 } });
  cluster.send(2, 1, vote(2));
  t.same(cluster.node(1).hardState, { term: 2, vote: 'n2' });
  cluster.crash(1);
  cluster.restart(1);
  const [reply] = sent(cluster.send(3, 1, vote(2)));
  t.match(reply?.message, { type: 'vote-reply', granted: false });
  t.end();
});

// Dissertation §4.2.3: "if a server receives a RequestVote request within the minimum election
// timeout of hearing from a current leader, it does not update its term or grant its vote."
t.test('a follower of a live leader neither grants a vote nor adopts its term', (t) => {
  const cluster = new Harness(3);
  cluster.send(2, 1, at(1, 1, 1));
  cluster.now = TIMING.electionMinMs - 1;
  const [reply] = sent(cluster.send(3, 1, vote(9)));
  t.match(reply?.message, { type: 'vote-reply', granted: false, term: 1 });
  t.equal(cluster.status(1).term, 1);
  cluster.now += 1;
  const [later] = sent(cluster.send(3, 1, vote(9)));
  t.match(later?.message, { type: 'vote-reply', granted: true, term: 9 });
  t.end();
});

// Dissertation §9.6: "a candidate only increments its term if it first learns from a majority of the
// cluster that they would be willing to grant the candidate their votes."
t.test('a node that nobody would elect keeps its term, however often it tries', (t) => {
  const cluster = new Harness(3);
  for (let round = 0; round < 5; round += 1) {
    cluster.tick(1);
    cluster.packets = [];
  }
  t.equal(cluster.status(1).term, 1);
  t.end();
});

t.test('a pre-vote changes nothing at the node that is asked', (t) => {
  const cluster = new Harness(3);
  const before = cluster.status(1);
  const deadline = cluster.core(1).nextDeadline();
  cluster.send(2, 1, { type: 'pre-vote', term: 2, lastIndex: 1, lastTerm: 1 });
  t.same(cluster.status(1), before);
  t.equal(cluster.core(1).nextDeadline(), deadline);
  t.end();
});

t.test(
  'a learner does not campaign, and no majority counts its vote, which it gives when asked',
  (t) => {
    const cluster = new Harness(3, { learners: 1 });
    t.equal(cluster.core(3).nextDeadline(), Number.POSITIVE_INFINITY);
    const [reply] = sent(cluster.send(1, 3, vote(2)));
    t.match(reply?.message, { type: 'vote-reply', granted: true });
    cluster.packets = [];
    cluster.tick(1);
    t.notOk(
      cluster.packets.some(({ to }) => to === 'n3'),
      'it is not asked',
    );
    cluster.send(3, 1, { type: 'pre-vote-reply', term: 2, granted: true });
    t.equal(cluster.status(1).role, 'pre-candidate', 'its word does not help');
    t.end();
  },
);
