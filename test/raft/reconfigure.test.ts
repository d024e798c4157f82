/**
 * Nobody is removed where those who stay behind do not answer: the group would wait for them for
 * ever. The traces of changes that go through are in scripts/confchange-*.txt.
 */
import t from 'tap';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import type { Effect } from '../../src/raft/index.js';
import { majority } from '../../src/raft/quorum.js';
import { Harness, TIMING } from './harness.js';

/** What became of a change: `accepted`, or the reason and the words. */
function answerOf(effects: readonly Effect[]): { answer: string; why: string } {
  for (const effect of effects) {
    if (effect.kind === 'reconfigure-accepted') return { answer: 'accepted', why: '' };
    if (effect.kind === 'reconfigure-rejected') return { answer: effect.reason, why: effect.why };
  }
  throw new Error('a change was not answered');
}

function change(cluster: Harness, voters: readonly number[]): string {
  return answerOf(cluster.reconfigure(1, voters)).answer;
}

/** Heartbeats of n1 and all answers, for so long, while it leads. Those in `cut` hear nothing. */
function pass(cluster: Harness, ms: number, cut: readonly number[] = []): void {
  const isCut = (id: string) => cut.some((number) => cluster.node(number).id === id);
  const end = cluster.now + ms;
  while (cluster.now < end && cluster.status(1).role === 'leader') {
    cluster.tick(1);
    while (cluster.packets.length > 0) {
      cluster.take(({ from, to }) => isCut(from) || isCut(to));
      cluster.deliver();
    }
  }
}

const LONG_MS = 2 * TIMING.electionMaxMs;

t.test('a voter is not removed while those who stay do not answer', (t) => {
  const cluster = new Harness(4, { strangers: 1 });
  cluster.elect(1);
  cluster.crash(3);
  pass(cluster, LONG_MS);
  const { answer, why } = answerOf(cluster.reconfigure(1, [1, 3]));
  t.equal(answer, 'would-lose-quorum');
  t.match(why, /^n3 do not answer.* n1, n3 have no majority: start them, or replace them first/);
  t.equal(change(cluster, [3]), 'would-lose-quorum', 'nor may the leader leave it alone');
  t.equal(cluster.status(1).last, 2, 'nothing was begun');
  t.equal(change(cluster, [1, 2, 4]), 'accepted', 'the silent one itself may be replaced');
  pass(cluster, LONG_MS);
  t.match(cluster.status(1), { voters: ['n1', 'n2', 'n4'], outgoing: [], isConfCommitted: true });
  t.equal(change(cluster, [1, 4]), 'accepted', 'then the other may go');
  t.end();
});

t.test('the silent one may be removed, and one that is back may stay behind', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  pass(cluster, LONG_MS, [3]);
  t.equal(change(cluster, [1, 3]), 'would-lose-quorum');
  pass(cluster, TIMING.heartbeatMs);
  t.equal(change(cluster, [1, 3]), 'accepted', 'it has answered');
  const other = new Harness(3);
  other.elect(1);
  pass(other, LONG_MS, [3]);
  t.equal(change(other, [1, 2]), 'accepted');
  t.end();
});

t.test('a new leader does not take for heard who had no time to answer', (t) => {
  const cluster = new Harness(3);
  cluster.crash(3);
  cluster.elect(1);
  t.equal(cluster.status(1).commit, 2, 'it has committed in its term, with n2');
  t.equal(change(cluster, [1, 3]), 'not-ready');
  t.equal(cluster.status(1).progress.find(({ peer }) => peer === 'n3')?.isActive, true);
  pass(cluster, LONG_MS);
  t.equal(change(cluster, [1, 3]), 'would-lose-quorum');
  t.equal(change(cluster, [1, 2]), 'accepted');
  t.end();
});

t.test('nor does a leader that was held up itself', (t) => {
  const cluster = new Harness(3);
  cluster.elect(1);
  pass(cluster, LONG_MS);
  cluster.now = cluster.core(1).nextDeadline() + LONG_MS;
  cluster.step(1, { kind: 'tick' });
  t.equal(cluster.status(1).role, 'leader', 'its timers begin anew');
  t.equal(change(cluster, [1, 3]), 'not-ready');
  cluster.deliverAll();
  t.equal(change(cluster, [1, 3]), 'accepted', 'all have answered what it sent then');
  t.end();
});

t.test('a voter whose process is gone, or that is suspect, does not carry the group', (t) => {
  const cluster = new Harness(3, { logs: { 1: [1], 2: [1], 3: [1] }, suspects: [3] });
  cluster.elect(1);
  cluster.tick(1);
  // It answers, and has not heard yet what the leader has.
  cluster.take(({ message }) => message.type === 'catch-up');
  cluster.deliver();
  cluster.take(({ message }) => message.type === 'catch-up');
  cluster.deliver();
  t.equal(cluster.status(1).progress.find(({ peer }) => peer === 'n3')?.isSuspect, true);
  t.equal(change(cluster, [1, 3]), 'would-lose-quorum');
  pass(cluster, LONG_MS);
  t.equal(cluster.status(3).isSuspect, false, 'it is trusted again');
  cluster.step(1, { kind: 'peer-down', peer: cluster.node(3).id });
  t.equal(change(cluster, [1, 3]), 'would-lose-quorum', 'it answered just before it fell');
  pass(cluster, TIMING.heartbeatMs);
  t.equal(change(cluster, [1, 3]), 'accepted', 'it is back');
  t.end();
});

t.test('when the newcomers have caught up, those who stay must still be there', (t) => {
  const cluster = new Harness(4, { strangers: 1 });
  cluster.elect(1);
  pass(cluster, LONG_MS, [4]);
  // n1 and n3 go, n2 stays.
  t.equal(change(cluster, [2, 4]), 'accepted', 'n4 is waited for');
  pass(cluster, LONG_MS, [2, 4]);
  pass(cluster, LONG_MS, [2]);
  t.equal(cluster.status(4).last, cluster.status(1).last, 'n4 has everything');
  const waiting = { voters: ['n1', 'n2', 'n3'], outgoing: [], next: ['n2', 'n4'] };
  t.match(cluster.status(1), { role: 'leader', ...waiting });
  t.equal(change(cluster, [1, 2, 3]), 'accepted', 'it may be called off');
  pass(cluster, LONG_MS);
  t.equal(change(cluster, [2, 4]), 'accepted');
  pass(cluster, LONG_MS);
  const { voters, outgoing } = cluster.status(2);
  t.same({ voters, outgoing }, { voters: ['n2', 'n4'], outgoing: [] }, 'n2 is back: it goes on');
  t.end();
});

t.test('the only coordinator can be replaced: it waits for the newcomer', (t) => {
  const cluster = new Harness(2, { strangers: 1 });
  cluster.elect(1);
  t.equal(change(cluster, [2]), 'accepted');
  pass(cluster, LONG_MS, [2]);
  t.match(cluster.status(1), { role: 'leader', voters: ['n1'], outgoing: [] });
  t.end();
});

t.test('whatever is removed, it is begun if and only if a majority of the rest answers', (t) => {
  const rng = createSeededRng('who stays');
  const seen = { accepted: 0, 'would-lose-quorum': 0 };
  for (let round = 0; round < 200; round += 1) {
    const size = 3 + rng.int(5);
    const cluster = new Harness(size);
    cluster.elect(1);
    const others = shuffled(size, rng);
    const silent = others.slice(0, rng.int(size - majority(size) + 1));
    pass(cluster, LONG_MS, silent);
    const kept = shuffled(size, rng).slice(0, 1 + rng.int(size - 2));
    const voters = rng.float() < 0.7 ? [1, ...kept] : kept;
    if (voters.length === size) continue;
    const there = voters.filter((number) => !silent.includes(number));
    const expected = there.length >= majority(voters.length) ? 'accepted' : 'would-lose-quorum';
    t.equal(change(cluster, voters), expected, `${voters} of ${size}, ${silent} silent`);
    seen[expected] += 1;
  }
  t.ok(seen.accepted > 30 && seen['would-lose-quorum'] > 30, 'both occur');
  t.end();
});

/** The nodes but n1, in any order. */
function shuffled(size: number, rng: Rng): number[] {
  const left = Array.from({ length: size - 1 }, (_, at) => at + 2);
  return Array.from({ length: size - 1 }, () => left.splice(rng.int(left.length), 1)).flat();
}
