import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { Bench, HOST, portOf, record, suspicion, TIMING } from './harness.js';

const FAIL = TIMING.failAfterMs;
const DELETE = TIMING.deleteAfterMs;

t.test('a member becomes Active when it is first heard of', async (t) => {
  const bench = new Bench().gossip(record('n2'));
  t.equal(bench.state('n2'), 'active');
  t.same(bench.takeChanges(), ['n1 unknown>active', 'n2 unknown>active']);
  t.match(bench.why('n2'), [/Active: boot 1 at 10\.0\.0\.1:7002/]);
});

t.test('configured nodes are nobody until they are heard', async (t) => {
  const introducers = [{ name: nodeId('n2'), host: HOST, port: portOf('n2') }];
  const bench = new Bench({ introducers }).run(3000);
  t.same(
    bench.core.members().map((member) => member.name),
    ['n1'],
  );
  t.ok(bench.sentOf('ping').length > 3, 'but it keeps greeting them');
  t.ok(bench.sentOf('ping').every((it) => it.message.introduce && it.rumours[0]?.name === 'n1'));
});

t.test('a suspicion heard as a rumour ends when it ends everywhere', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'));
  bench.gossip(suspicion('n3', { ageMs: 400 }));
  t.equal(bench.state('n3'), 'suspicious');
  bench.run(FAIL - 400 - 1);
  t.equal(bench.state('n3'), 'suspicious', 'its age counts');
  bench.run(1);
  t.equal(bench.state('n3'), 'failed');
  bench.run(DELETE - 1);
  t.equal(bench.state('n3'), 'failed');
  bench.run(1);
  t.equal(bench.state('n3'), 'deleted');
  t.notOk(
    bench.core.members().some((member) => member.name === 'n3'),
    'gone from the list',
  );
  const changes = bench.takeChanges().filter((it) => it.startsWith('n3'));
  t.same(changes.slice(0, 2), ['n3 unknown>active', 'n3 active>suspicious']);
  t.same(changes.slice(2), ['n3 suspicious>failed', 'n3 failed>deleted']);
});

t.test('of two suspicions the one that ends first counts', async (t) => {
  const bench = new Bench().gossip(record('n3'));
  bench.gossip(suspicion('n3', { ageMs: 100 }));
  bench.gossip(suspicion('n3', { ageMs: 600, accuser: nodeId('n7') }));
  bench.run(FAIL - 600);
  t.equal(bench.state('n3'), 'failed');
  t.match(bench.why('n3').at(-1), /since n7 accused it/);
});

t.test('a higher incarnation clears a suspicion, the same one does not', async (t) => {
  const bench = new Bench().gossip(record('n3'), suspicion('n3'));
  bench.gossip(record('n3', { incarnation: 1 }));
  t.equal(bench.state('n3'), 'suspicious');
  bench.gossip(record('n3', { incarnation: 2 }));
  t.equal(bench.state('n3'), 'active');
  bench.gossip(suspicion('n3', { incarnation: 1 }));
  t.equal(bench.state('n3'), 'active', 'the old accusation is over');
  bench.gossip(suspicion('n3', { incarnation: 2 }));
  t.equal(bench.state('n3'), 'suspicious', 'a new one counts');
});

t.test('a Failed or Deleted member returns with a higher incarnation only', async (t) => {
  const bench = new Bench().gossip(record('n3'), suspicion('n3')).run(FAIL);
  t.equal(bench.state('n3'), 'failed');
  bench.gossip(record('n3'));
  t.equal(bench.state('n3'), 'failed');
  bench.run(DELETE);
  bench.gossip(record('n3'));
  t.equal(bench.state('n3'), 'deleted');
  bench.gossip(record('n3', { incarnation: 2 }));
  t.equal(bench.state('n3'), 'active');
});

t.test('a list from a peer does not revive the dead, but makes the node ask them', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'), suspicion('n3'));
  bench.runAnswering(FAIL + DELETE, 'n2');
  t.equal(bench.state('n3'), 'deleted');
  bench.receive('n2', { type: 'sync-push' }, [record('n3')]);
  t.equal(bench.state('n3'), 'deleted');
  const greeting = bench.sentOf('ping').find((it) => it.to === 'n3');
  t.equal(greeting?.message.introduce, true);
  t.match(greeting?.rumours[1], { name: 'n3', state: 'failed', incarnation: 1 });
});

t.test('a tombstone is kept for a minute at least, then forgotten', async (t) => {
  const bench = new Bench().gossip(record('n3'), suspicion('n3')).run(FAIL + DELETE);
  bench.run(TIMING.tombstoneMs - DELETE - 1);
  t.equal(bench.state('n3'), 'deleted');
  bench.run(DELETE + 1);
  t.equal(bench.state('n3'), undefined);
  bench.gossip(record('n3'));
  t.equal(bench.state('n3'), 'active');
});

t.test('a stranger that is dead already is kept as a tombstone and shown to nobody', async (t) => {
  const bench = new Bench().gossip(record('n3', { state: 'failed', ageMs: 300 }));
  t.equal(bench.state('n3'), 'deleted');
  t.same(bench.takeChanges(), ['n1 unknown>active']);
  bench.gossip(record('n3'));
  t.equal(bench.state('n3'), 'deleted');
  bench.run(TIMING.tombstoneMs - 300);
  t.equal(bench.state('n3'), undefined, 'its age counts');
  bench.gossip(record('n3', { state: 'failed', ageMs: TIMING.tombstoneMs }));
  t.equal(bench.state('n3'), undefined, 'lists do not hand it to each other for ever');
});

t.test('a newer boot replaces the older identity at once, whatever its incarnation', async (t) => {
  const bench = new Bench().gossip(record('n3', { incarnation: 7 }));
  bench.takeChanges();
  bench.gossip(record('n3', { epoch: 2, port: 9009 }));
  t.same(bench.takeChanges(), ['n3 active>deleted', 'n3 unknown>active']);
  t.match(bench.core.get(nodeId('n3')), { bootEpoch: 2, incarnation: 1, port: 9009 });
  bench.gossip(record('n3', { incarnation: 9 }), suspicion('n3', { incarnation: 9 }));
  t.equal(bench.state('n3'), 'active', 'rumours of the old boot mean nothing');
});

t.test('a member that leaves is Left, not Failed, and may return', async (t) => {
  const bench = new Bench().gossip(record('n3'), record('n4'));
  bench.takeChanges();
  bench.gossip(record('n3', { state: 'left', incarnation: 2 }));
  t.same(bench.takeChanges(), ['n3 active>left']);
  bench.gossip(suspicion('n3', { incarnation: 2 }));
  t.equal(bench.state('n3'), 'left', 'nobody suspects who said good-bye');
  bench.gossip(record('n3', { incarnation: 3 }));
  t.equal(bench.state('n3'), 'active');
});

t.test('a member that left is off the list after a minute', async (t) => {
  const bench = new Bench().gossip(record('n3', { incarnation: 1 }));
  bench.gossip(record('n3', { state: 'left', incarnation: 2 })).run(TIMING.tombstoneMs);
  t.equal(bench.state('n3'), 'deleted');
});

t.test('leave raises the own incarnation and tells everybody; join undoes it', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'));
  bench.takeSent();
  bench.effects.push(...bench.core.step({ kind: 'leave', now: bench.now }));
  const told = bench.sentOf('gossip').filter((it) => it.rumours[0]?.state === 'left');
  t.same(told.map((it) => it.to).sort(), ['n2', 'n3']);
  t.match(told[0]?.rumours[0], { name: 'n1', incarnation: 2 });
  bench.run(TIMING.farewellMs);
  t.ok(bench.effects.some((effect) => effect.kind === 'left'));
  bench.effects.push(...bench.core.step({ kind: 'join', now: bench.now }));
  t.match(bench.core.self, { state: 'active', incarnation: 3 });
});

t.test('who has left watches on, but accuses nobody', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'));
  bench.effects.push(...bench.core.step({ kind: 'leave', now: bench.now }));
  bench.takeSent();
  bench.run(2000);
  t.ok(bench.sentOf('ping').length > 5);
  t.equal(bench.state('n2'), 'active');
  t.ok(bench.takeSent().every((it) => it.packet.sender.isObserver));
});

t.test('a stalled main thread is a detail of the member, with a length that grows', async (t) => {
  const bench = new Bench().gossip(record('n3'));
  bench.takeChanges();
  bench.gossip(record('n3', { incarnation: 2, stalledMs: 1200 }));
  t.same(bench.takeChanges(), ['n3 active>active']);
  bench.run(300);
  t.equal(bench.core.get(nodeId('n3'))?.stalledMs, 1500);
  bench.gossip(record('n3', { incarnation: 3 }));
  t.equal(bench.core.get(nodeId('n3'))?.stalledMs, 0);
});

t.test('the own stall is announced once it is long enough, and its end', async (t) => {
  const bench = new Bench().gossip(record('n2'));
  bench.takeChanges();
  const stalled = (stalledMs: number) =>
    bench.effects.push(...bench.core.step({ kind: 'stalled', now: bench.now, stalledMs }));
  stalled(TIMING.stallMs - 1);
  t.same(bench.takeChanges(), []);
  stalled(TIMING.stallMs);
  stalled(TIMING.stallMs + 250);
  t.same(bench.takeChanges(), ['n1 active>active']);
  t.match(bench.core.self, { state: 'active', incarnation: 2, stalledMs: TIMING.stallMs });
  stalled(0);
  t.match(bench.core.self, { incarnation: 3, stalledMs: 0 });
});

t.test('evidence of life before the hold is over drops the suspicion here', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'));
  const { seq } = bench.nextPing('n3');
  bench.gossip(suspicion('n3'));
  bench.ack('n3', seq);
  t.equal(bench.state('n3'), 'active');
  t.match(bench.why('n3').at(-1), /the suspicion is dropped here/);
  const told = bench.sentOf('ping').find((it) => it.to === 'n3');
  t.match(told?.rumours[0], { name: 'n3', state: 'suspicious' }, 'and it is told what others say');
});

t.test('an accusation that is older than the own evidence is hearsay', async (t) => {
  const bench = new Bench().gossip(record('n2'), record('n3'));
  bench.ack('n3', bench.nextPing('n3').seq).run(50);
  bench.takeSent();
  bench.gossip(suspicion('n3', { ageMs: 60 }));
  t.equal(bench.state('n3'), 'active');
  t.ok(bench.sentOf('ping').some((it) => it.to === 'n3' && it.rumours[0]?.state === 'suspicious'));
  bench.gossip(suspicion('n3', { ageMs: 40 }));
  t.equal(bench.state('n3'), 'suspicious', 'a newer one is not');
});

t.test('a verdict that outlived its own timer is hearsay', async (t) => {
  const bench = new Bench().gossip(record('n3'), record('n4'));
  const slack = TIMING.hearsaySlackMs;
  bench.gossip(suspicion('n3', { ageMs: FAIL + slack + 1 }));
  bench.gossip(record('n4', { state: 'failed', ageMs: DELETE + slack + 1 }));
  t.equal(bench.state('n3'), 'active');
  t.equal(bench.state('n4'), 'active');
});

t.test('a stale claim about an earlier incarnation changes nothing', async (t) => {
  const bench = new Bench().gossip(record('n3', { incarnation: 5 }));
  bench.takeChanges();
  for (const state of ['suspicious', 'failed', 'left'] as const) {
    bench.gossip(suspicion('n3', { state, incarnation: 4 }));
  }
  t.same(bench.takeChanges(), []);
});
