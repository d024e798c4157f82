import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { Bench, record, suspicion, TIMING } from './harness.js';

const OTHERS = ['n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8'];

/** n1 among seven others that have all answered lately. */
function crowd(): Bench {
  const bench = new Bench().gossip(...OTHERS.map((name) => record(name)));
  bench.runAnswering(1000, ...OTHERS).takeSent();
  return bench;
}

t.test('each period probes the three ring neighbours and one member more', async (t) => {
  const bench = crowd();
  const probed: string[] = [];
  const until = bench.now + TIMING.periodMs;
  while (bench.now < until) {
    bench.run(1);
    for (const { to, message } of bench.sentOf('ping')) {
      probed.push(to);
      bench.ack(to, message.seq);
    }
    bench.takeSent();
  }
  t.equal(probed.length, 4);
  for (const name of ['n8', 'n2', 'n3']) t.ok(probed.includes(name), `${name} is a neighbour`);
});

t.test(
  'the ring closes over a suspect: the next in line is adopted and probed at once',
  async (t) => {
    const bench = crowd();
    bench.gossip(suspicion('n2'));
    const pinged = bench.sentOf('ping').map((it) => it.to);
    t.ok(pinged.includes(nodeId('n4')), 'n4 becomes the super-successor');
    t.ok(pinged.includes(nodeId('n2')), 'and the suspect gets a chance to refute');
  },
);

t.test('a suspect is probed in its old place, too', async (t) => {
  const bench = crowd();
  bench.gossip(suspicion('n2', { holdMs: 5000 }));
  bench.runAnswering(250, ...OTHERS.slice(1));
  const until = bench.now + TIMING.periodMs;
  const probed = new Set<string>();
  while (bench.now < until) {
    bench.run(1);
    for (const { to, message } of bench.sentOf('ping')) {
      probed.add(to);
      if (to !== 'n2') bench.ack(to, message.seq);
    }
    bench.takeSent();
  }
  for (const name of ['n8', 'n2', 'n3', 'n4']) t.ok(probed.has(name), name);
});

t.test('silence makes a suspicion at 200 ms, with its evidence', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.run(TIMING.suspectAtMs - 1);
  bench.receive('n5', { type: 'nack', seq });
  t.equal(bench.state('n2'), 'active');
  bench.run(1);
  t.equal(bench.state('n2'), 'suspicious');
  const text = bench.why('n2').join('\n');
  t.match(text, /no answer to this node \(.+\) in 200 ms, nor to n\d, n\d, n\d \(1 of 3 said so\)/);
  t.match(text, /accused by n1/);
});

t.test('beside the helpers the open TCP connection is asked', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.run(TIMING.ackTimeoutMs);
  const probe = bench.effects.find(
    (effect) => effect.kind === 'stream' && effect.packet.message.type === 'ping',
  );
  t.match(probe, {
    dial: false,
    to: { name: 'n2', streamPort: 8002 },
    packet: { message: { seq } },
  });
});

t.test('the links are kept to the ring neighbours', async (t) => {
  const bench = crowd();
  const links = bench.effects.filter((effect) => effect.kind === 'links').at(-1);
  t.match(links, { peers: [{ name: 'n8' }, { name: 'n2' }, { name: 'n3' }] });
});

t.test('an indirect answer before the verdict is as good as a direct one', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.run(TIMING.ackTimeoutMs + 20);
  const target = { name: nodeId('n2'), epoch: 1, incarnation: 1, isObserver: false };
  bench.receive('n5', { type: 'indirect-ack', seq, target });
  bench.run(TIMING.suspectAtMs);
  t.notMatch(bench.why('n2').join('\n'), /Suspicious/);
});

t.test('an answer by a stranger, by another boot or to another question is none', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench
    .ack('n3', seq)
    .ack('n2', seq, { epoch: 2 })
    .ack('n2', seq + 1000);
  bench.run(TIMING.suspectAtMs);
  t.equal(bench.state('n2'), 'suspicious');
});

t.test('an answer to a later probe speaks for the member, too', async (t) => {
  const bench = crowd();
  const first = bench.nextPing('n2');
  bench.run(TIMING.suspectAtMs - 50);
  bench.takeSent();
  bench.gossip(suspicion('n2', { ageMs: 990 }));
  const told = bench.sentOf('ping').find((it) => it.to === 'n2');
  t.not(told?.message.seq ?? first.seq, first.seq, 'it is told of the old accusation');
  bench.ack('n2', told?.message.seq ?? 0);
  t.equal(bench.state('n2'), 'active');
  bench.run(50);
  t.equal(bench.state('n2'), 'active', 'though the first probe stays unanswered');
});

t.test('a late answer still clears the accuser’s own suspicion', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.run(TIMING.suspectAtMs + 500);
  t.equal(bench.state('n2'), 'suspicious');
  bench.ack('n2', seq);
  t.equal(bench.state('n2'), 'active');
});

t.test('a ping that means another name or boot is answered as misdirected', async (t) => {
  const bench = crowd();
  bench.takeSent();
  const ping = { type: 'ping', seq: 3, introduce: false } as const;
  bench.receive('n2', { ...ping, target: nodeId('n7'), targetEpoch: 1 });
  bench.receive('n2', { ...ping, target: nodeId('n1'), targetEpoch: 2 });
  t.equal(bench.sentOf('misdirected').length, 2);
  t.match(bench.sentOf('misdirected')[0]?.rumours[0], { name: 'n1', epoch: 1 });
  t.equal(bench.sentOf('ack').length, 0);
});

t.test('whose address answers as somebody else is suspected without waiting', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.receive('n77', { type: 'misdirected', seq }, [record('n77')]);
  t.equal(bench.state('n2'), 'suspicious');
  t.match(bench.why('n2').at(-2), /its address answers as n77, boot 1/);
});

t.test('whose address answers with a newer boot is replaced at once', async (t) => {
  const bench = crowd();
  const { seq } = bench.nextPing('n2');
  bench.takeChanges();
  bench.receiveFrom({ name: 'n2', epoch: 2 }, { type: 'misdirected', seq }, [
    record('n2', { epoch: 2 }),
  ]);
  t.same(bench.takeChanges(), ['n2 active>deleted', 'n2 unknown>active']);
});

t.test('whoever pings and is believed dead here hears it in the answer', async (t) => {
  const bench = crowd().gossip(suspicion('n5'));
  bench.takeSent();
  bench.receive('n5', {
    type: 'ping',
    seq: 4,
    target: nodeId('n1'),
    targetEpoch: 1,
    introduce: false,
  });
  t.match(bench.sentOf('ack')[0]?.rumours[0], { name: 'n5', state: 'suspicious' });
});

t.test('a node that overslept gives the others the time it slept', async (t) => {
  const bench = crowd();
  bench.nextPing('n2');
  bench.now += 5000;
  bench.effects.push(...bench.core.step({ kind: 'tick', now: bench.now }));
  t.equal(bench.state('n2'), 'active');
  t.equal(bench.core.healthScore, 1);
  t.ok(bench.effects.some((it) => it.kind === 'log' && it.event === 'swim.overslept'));
});

const DEAF = 'a node that hears nobody accuses nobody in public, and judges anew afterwards';

t.test(DEAF, async (t) => {
  const bench = crowd();
  bench.run(1000).takeSent();
  bench.run(2000);
  t.equal(bench.state('n2'), 'suspicious', 'it waits longer, being unwell');
  const gossip = bench.sentOf('gossip').flatMap((it) => it.rumours);
  t.ok(gossip.every((it) => it.name === 'n1' || it.state === 'active'));
  bench.takeSent();
  while (bench.sentOf('ping').every((it) => it.to !== 'n8')) bench.run(1);
  const seq = bench.sentOf('ping').find((it) => it.to === 'n8')?.message.seq ?? 0;
  bench.takeSent();
  bench.ack('n8', seq);
  t.match(bench.why('n2').at(-1), /it judges anew/);
  t.ok(bench.sentOf('ping').some((it) => it.to === 'n2' && it.rumours[0]?.name === 'n2'));
  bench.run(TIMING.failAfterMs - 1);
  t.equal(bench.state('n2'), 'suspicious', 'the hold has begun anew');
});
