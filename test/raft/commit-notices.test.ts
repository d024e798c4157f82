/** Which appends of a leader are held back, and that nothing that says more is lost with them. */
import t from 'tap';
import { type NodeId, nodeId, VirtualClock } from '../../src/base/index.js';
import { CommitNotices } from '../../src/raft/commit-notices.js';
import type { Entry, Message } from '../../src/raft/index.js';

const B = nodeId('b');
const C = nodeId('c');

function append(prevIndex: number, commit: number, count = 0, term = 1): Message {
  const entries = Array.from(
    { length: count },
    (_, at): Entry => ({
      index: prevIndex + 1 + at,
      term,
      kind: 'command',
      timeMs: 0,
      data: new Uint8Array(1),
    }),
  );
  return { type: 'append', term, prevIndex, prevTerm: term, commit, entries };
}

function setUp(): {
  clock: VirtualClock;
  notices: CommitNotices;
  sent: (readonly [NodeId, Message])[];
} {
  const clock = new VirtualClock();
  const sent: (readonly [NodeId, Message])[] = [];
  const notices = new CommitNotices(clock, (to, message) => sent.push([to, message]));
  return { clock, notices, sent };
}

t.test('a new commit index alone waits, and leaves by itself', async (t) => {
  const { clock, notices, sent } = setUp();
  notices.send(B, append(4, 4, 1));
  notices.send(B, append(5, 5));
  t.equal(sent.length, 1);
  await clock.advance(4);
  t.same(sent[1], [B, append(5, 5)]);
  await clock.advance(100);
  t.equal(sent.length, 2);
});

t.test('entries that follow carry it, so it is not sent', async (t) => {
  const { clock, notices, sent } = setUp();
  notices.send(B, append(4, 4, 1));
  notices.send(B, append(5, 5));
  notices.send(B, append(5, 5, 1));
  await clock.advance(100);
  t.same(sent, [
    [B, append(4, 4, 1)],
    [B, append(5, 5, 1)],
  ]);
});

t.test('only the newest of several is sent, to each member its own', async (t) => {
  const { clock, notices, sent } = setUp();
  for (const to of [B, C]) notices.send(to, append(0, 0, 9));
  notices.send(B, append(9, 3));
  notices.send(B, append(9, 7));
  notices.send(C, append(9, 3));
  await clock.advance(4);
  t.same(sent.slice(2), [
    [B, append(9, 7)],
    [C, append(9, 3)],
  ]);
});

t.test('probes, questions, other terms and other messages go at once', (t) => {
  const { notices, sent } = setUp();
  const all: Message[] = [
    append(7, 2), // The first that this member gets.
    append(5, 3), // From elsewhere: a probe.
    append(5, 3), // Nothing new: it asks for an acknowledgement.
    append(5, 4, 0, 2), // A new term.
    { type: 'heartbeat', term: 2, commit: 9, read: 0 },
  ];
  for (const message of all) notices.send(B, message);
  t.same(
    sent.map(([, message]) => message),
    all,
  );
  t.end();
});

t.test('after stop nothing leaves', async (t) => {
  const { clock, notices, sent } = setUp();
  notices.send(B, append(4, 4, 1));
  notices.send(B, append(5, 5));
  notices.stop();
  await clock.advance(100);
  t.equal(sent.length, 1);
});
