import t from 'tap';
import { createSeededRng, type NodeId, nodeId } from '../../src/base/index.js';
import { Agenda } from '../../src/swim/agenda.js';
import { EVIDENCE_MAX, HEALTH_MAX } from '../../src/swim/config.js';
import { EvidenceTrail } from '../../src/swim/evidence.js';
import { RumourQueue } from '../../src/swim/gossip.js';
import { LocalHealth } from '../../src/swim/health.js';
import { ringNeighbour, ringNeighbours } from '../../src/swim/ring.js';
import { FrameBuffer } from '../../src/swim/streams.js';
import { combineDigests, createEntry, identityHash, MemberTable } from '../../src/swim/index.js';
import { record } from './harness.js';

const names = (...list: string[]): NodeId[] => list.map(nodeId);

t.test('ring: neighbours by name, closed to a circle', async (t) => {
  const others = names('a', 'b', 'd', 'e');
  const c = nodeId('c');
  t.equal(ringNeighbour(others, c, 'predecessor'), 'b');
  t.equal(ringNeighbour(others, c, 'successor'), 'd');
  t.equal(ringNeighbour(others, c, 'super-successor'), 'e');
  t.same(ringNeighbours(others, nodeId('z')), ['e', 'a', 'b']);
  t.same(ringNeighbours(others, nodeId('A')), ['e', 'a', 'b']);
});

t.test('ring: in a small ring the slots coincide, in an empty one there are none', async (t) => {
  t.same(ringNeighbours(names('b'), nodeId('a')), ['b']);
  t.same(ringNeighbours(names('b', 'c'), nodeId('a')), ['c', 'b']);
  t.same(ringNeighbours([], nodeId('a')), []);
});

t.test('ring: whoever is my successor has me as predecessor', async (t) => {
  const all = names('n1', 'n10', 'n2', 'n3', 'n4', 'n5');
  for (const self of all) {
    const without = (name: NodeId) => all.filter((it) => it !== name);
    const successor = ringNeighbour(without(self), self, 'successor') ?? self;
    t.equal(ringNeighbour(without(successor), successor, 'predecessor'), self);
  }
});

t.test('agenda: tasks come by time, then in the order they were added', async (t) => {
  const rng = createSeededRng('agenda');
  const agenda = new Agenda<number>();
  const slow: { dueMs: number; task: number }[] = [];
  for (let task = 0; task < 500; task++) {
    const dueMs = rng.int(50);
    agenda.push(dueMs, task);
    slow.push({ dueMs, task });
  }
  slow.sort((a, b) => a.dueMs - b.dueMs || a.task - b.task);
  for (const expected of slow) {
    t.equal(agenda.nextMs, expected.dueMs);
    t.equal(agenda.popDue(expected.dueMs - 1), undefined);
    if (agenda.popDue(50) !== expected.task) t.fail('out of order');
  }
  t.equal(agenda.nextMs, Number.POSITIVE_INFINITY);
});

t.test('agenda: a delay moves everything and changes no order', async (t) => {
  const agenda = new Agenda<string>();
  agenda.push(20, 'b');
  agenda.push(10, 'a');
  agenda.delay(5);
  t.equal(agenda.nextMs, 15);
  t.equal(agenda.popDue(15), 'a');
  t.equal(agenda.popDue(24), undefined);
  t.equal(agenda.popDue(25), 'b');
});

t.test('gossip: what was sent least often goes first, and is dropped at the limit', async (t) => {
  const queue = new RumourQueue();
  const describe = (name: NodeId) => ({ record: record(name), bytes: 10 });
  const take = (bytes: number) => queue.take(bytes, 3, describe).map((it) => it.name);
  for (const name of names('n1', 'n2', 'n3')) queue.add(name);
  t.same(take(20), ['n1', 'n2']);
  t.same(take(20), ['n3', 'n1']);
  queue.add(nodeId('n4'));
  t.same(take(10), ['n4'], 'news is sent before what others know already');
  t.same(take(1000), ['n2', 'n3', 'n4', 'n1']);
  t.same(take(1000), ['n2', 'n3', 'n4']);
  t.equal(queue.size, 0);
});

t.test('gossip: news about a member begins its count anew', async (t) => {
  const queue = new RumourQueue();
  const describe = (name: NodeId) => ({ record: record(name), bytes: 10 });
  queue.add(nodeId('n1'));
  queue.take(10, 2, describe);
  queue.add(nodeId('n1'));
  queue.take(10, 2, describe);
  t.equal(queue.size, 1);
  queue.take(10, 2, describe);
  t.equal(queue.size, 0);
});

t.test('gossip: about whom there is nothing to say is dropped', async (t) => {
  const queue = new RumourQueue();
  queue.add(nodeId('n1'));
  t.same(
    queue.take(100, 4, () => undefined),
    [],
  );
  t.equal(queue.size, 0);
});

t.test('local health stays between 0 and 7', async (t) => {
  const health = new LocalHealth();
  health.improve();
  t.equal(health.score, 0);
  for (let i = 0; i < 20; i++) health.worsen();
  t.equal(health.score, HEALTH_MAX);
  t.equal(health.stretch, HEALTH_MAX + 1);
});

t.test('the evidence trail keeps the last lines of each member', async (t) => {
  const trail = new EvidenceTrail();
  for (let i = 0; i < EVIDENCE_MAX + 5; i++) trail.add(nodeId('n1'), i, `line ${i}`);
  t.equal(trail.of(nodeId('n1')).length, EVIDENCE_MAX);
  t.equal(trail.of(nodeId('n1'))[0]?.text, 'line 5');
  t.same(trail.of(nodeId('n2')), []);
});

t.test('digests of equal lists are equal in whatever order they were made', async (t) => {
  const rng = createSeededRng('digest');
  const entries = Array.from({ length: 200 }, (_, i) =>
    record(`n${i}`, { epoch: 1 + rng.int(9), incarnation: rng.int(9) }),
  );
  const a = new MemberTable();
  const b = new MemberTable();
  for (const entry of entries) a.add(createEntry(entry, 'active', 0));
  for (const entry of [...entries].reverse()) b.add(createEntry(entry, 'suspicious', 0));
  t.same(a.digest, b.digest);
  const [first] = [...b.all()];
  if (first === undefined) throw new Error('no entry');
  b.change(first, (it) => {
    it.incarnation += 1;
  });
  t.notSame(a.digest, b.digest);
  b.change(first, (it) => {
    it.incarnation -= 1;
  });
  t.same(a.digest, b.digest);
});

t.test('digests of different identities differ', async (t) => {
  const seen = new Set<string>();
  for (let name = 0; name < 20; name++) {
    for (let epoch = 1; epoch < 20; epoch++) {
      for (let incarnation = 1; incarnation < 20; incarnation++) {
        seen.add(identityHash(`n${name}`, epoch, incarnation).join());
      }
    }
  }
  t.equal(seen.size, 20 * 19 * 19);
  t.same(combineDigests([1, 2], [1, 2]), [0, 0]);
});

t.test('the table lists live members by name', async (t) => {
  const table = new MemberTable();
  for (const name of ['n3', 'n1', 'n2']) table.add(createEntry(record(name), 'active', 0));
  const n2 = table.get(nodeId('n2'));
  if (n2 === undefined) throw new Error('no n2');
  table.change(n2, (it) => {
    it.state = 'suspicious';
  });
  t.same(table.active, ['n1', 'n3']);
  t.same(table.live, ['n1', 'n2', 'n3']);
  table.change(n2, (it) => {
    it.state = 'failed';
  });
  t.same(table.live, ['n1', 'n3']);
});

t.test('frames are cut out of a stream however it is chopped', async (t) => {
  const rng = createSeededRng('frames');
  const frames = Array.from({ length: 50 }, (_, i) => new Uint8Array(rng.int(300)).fill(i));
  const stream: number[] = [];
  for (const frame of frames) stream.push(0, 0, frame.length >> 8, frame.length & 255, ...frame);
  const buffer = new FrameBuffer();
  const cut: Uint8Array[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = Math.min(stream.length, at + 1 + rng.int(120));
    t.ok(buffer.push(Uint8Array.from(stream.slice(at, end)), (frame) => cut.push(frame.slice())));
    at = end;
  }
  t.same(cut, frames);
});

t.test('a stream that announces a frame above the bound is given up', async (t) => {
  const buffer = new FrameBuffer();
  t.notOk(buffer.push(Uint8Array.of(0, 0x20, 0, 0, 1), () => t.fail('no frame came')));
});
