/** Whoever waits for consensus is told how it came out, once, and there are never too many. */
import t from 'tap';
import { VirtualClock } from '../../src/base/index.js';
import { PendingChanges } from '../../src/raft/pending-changes.js';
import { AppliedBarriers, Proposals, Reads } from '../../src/raft/pending.js';

const WAIT = { timeoutMs: 1_000 };
const byte = new Uint8Array(1);

t.test('proposals beyond the bound of the queue are BUSY, by number and by bytes', async (t) => {
  const clock = new VirtualClock();
  const many = new Proposals(clock);
  for (let at = 0; at < 10_000; at += 1) many.add(byte, WAIT).catch(() => undefined);
  await t.rejects(many.add(byte, WAIT), { code: 'BUSY' });
  many.rejectAll('the end');
  const big = new Proposals(clock);
  big.add(new Uint8Array(32 * 1024 * 1024), WAIT).catch(() => undefined);
  await t.rejects(big.add(byte, WAIT), { code: 'BUSY' });
  t.equal(big.takeQueued(0).length, 1);
  big.rejectAll('the end');
});

t.test('a proposal whose place another entry took was never done', async (t) => {
  const proposals = new Proposals(new VirtualClock());
  const waiting = proposals.add(byte, WAIT);
  const [taken] = proposals.takeQueued(0);
  proposals.onProposed(taken?.id ?? 0, 5, 2);
  proposals.onApplied(4, 2, 'not this one');
  proposals.onApplied(5, 3, 'of a later leader');
  await t.rejects(waiting, { code: 'NO_LEADER', message: /another entry took its place/ });
});

t.test('a proposal that the log never took is BUSY; in the log it is unknown', async (t) => {
  const clock = new VirtualClock();
  const proposals = new Proposals(clock);
  const queued = proposals.add(byte, { timeoutMs: 10 });
  const inLog = proposals.add(byte, { timeoutMs: 20 });
  const [, second] = proposals.takeQueued(0);
  proposals.onProposed(second?.id ?? 0, 5, 2);
  const outcomes = Promise.allSettled([queued, inLog]);
  clock.advance(30);
  const codes = (await outcomes).map((o) => o.status === 'rejected' && o.reason.code);
  t.same(codes, ['BUSY', 'UNKNOWN_OUTCOME']);
  proposals.onProposed(99, 6, 2);
  proposals.onApplied(5, 2, 'nobody waits any more');
});

t.test('a signal ends each kind of wait, also one that has fired before', async (t) => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const options = { ...WAIT, signal: stop.signal };
  const waits = () => [
    new Proposals(clock).add(byte, options),
    new Reads(clock).add(options).promise,
    new AppliedBarriers(clock).add(5, options),
  ];
  const before = Promise.allSettled(waits());
  stop.abort();
  const after = Promise.allSettled(waits());
  for (const outcome of [...(await before), ...(await after)]) {
    t.match(outcome, { status: 'rejected', reason: { code: 'ABORTED' } });
  }
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('reads and barriers end by their time, and there is a bound of barriers', async (t) => {
  const clock = new VirtualClock();
  const read = new Reads(clock).add(WAIT).promise;
  const barriers = new AppliedBarriers(clock);
  const barrier = barriers.add(5, WAIT);
  const ended = Promise.allSettled([read, barrier]);
  clock.advance(1_000);
  for (const outcome of await ended) t.match(outcome, { reason: { code: 'UNAVAILABLE' } });
  const passing = barriers.add(5, WAIT);
  for (let at = 1; at < 10_000; at += 1) barriers.add(6, WAIT).catch(() => undefined);
  await t.rejects(barriers.add(7, WAIT), { code: 'BUSY' });
  barriers.onApplied(5);
  await passing;
  barriers.rejectAll('the end');
});

t.test('a change of the members is answered with its entry, or why not', async (t) => {
  const changes = new PendingChanges();
  const begin = () => {
    let id = 0;
    const answer = changes.begin((fed) => {
      id = fed;
    });
    return { id, answer };
  };
  const accepted = begin();
  changes.onAnswer({ kind: 'reconfigure-accepted', id: accepted.id, index: 7 });
  t.equal(await accepted.answer, 7);
  for (const [reason, code] of [
    ['not-leader', 'NO_LEADER'],
    ['not-ready', 'BUSY'],
    ['transferring', 'BUSY'],
    ['pending', 'CHANGE_PENDING'],
    ['would-lose-quorum', 'WOULD_LOSE_QUORUM'],
    ['impossible', 'BAD_ARGUMENT'],
  ] as const) {
    const { id, answer } = begin();
    const base = { kind: 'reconfigure-rejected', id, why: 'so it is', leader: undefined } as const;
    changes.onAnswer({ ...base, reason });
    await t.rejects(answer, { code, message: /so it is/ });
  }
  const { answer } = begin();
  changes.rejectAll('this node stops');
  await t.rejects(answer, { code: 'NO_LEADER' });
});
