/**
 * Sentences of the papers, each with the test that we keep it (or where we differ, how).
 * SWIM: Das, Gupta, Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
 * Membership Protocol", DSN 2002. Lifeguard: Dadgar, Phillips, Currey, "Lifeguard: Local Health
 * Awareness for More Accurate Failure Detection", DSN-W 2018 (arXiv 1707.00788).
 */
import t from 'tap';
import { nodeId } from '../../src/base/index.js';
import { transmissionsMax } from '../../src/swim/gossip.js';
import { Bench, portOf, record, suspicion, TIMING } from './harness.js';

const OTHERS = ['n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8'];

/** n1 among seven others that have all answered lately. */
function crowd(): Bench {
  const bench = new Bench().gossip(...OTHERS.map((name) => record(name)));
  bench.runAnswering(1000, ...OTHERS).takeSent();
  return bench;
}

t.test(
  'SWIM §3.1: "Mi then waits for replies; it selects k members at random and sends each a ping-req(Mj) message"',
  async (t) => {
    const bench = crowd();
    bench.nextPing('n2');
    bench.run(TIMING.ackTimeoutMs);
    const requests = bench.sentOf('ping-req').filter((it) => it.message.target === 'n2');
    t.equal(requests.length, 3);
    t.equal(new Set(requests.map((it) => it.to)).size, 3, 'three different helpers');
    t.ok(requests.every((it) => it.to !== 'n2'));
  },
);

t.test(
  'SWIM §3.1: "each of these members, on receiving this message, pings Mj and forwards the ack from Mj (if received) to Mi"',
  async (t) => {
    const bench = crowd();
    bench.takeSent();
    const request = { seq: 77, target: nodeId('n5'), targetEpoch: 1, host: '10.0.0.1' };
    bench.receive('n3', { type: 'ping-req', ...request, port: portOf('n5') });
    const ping = bench.sentOf('ping').find((it) => it.to === 'n5');
    t.match(ping?.message, { target: 'n5', targetEpoch: 1 });
    bench.ack('n5', ping?.message.seq ?? 0, { incarnation: 4 });
    const forwarded = bench.sentOf('indirect-ack')[0];
    t.match(forwarded, { to: 'n3', message: { seq: 77, target: { name: 'n5', incarnation: 4 } } });
  },
);

t.test(
  'SWIM §4.1: a rumour is passed on λ log(n) times, those sent least often first',
  async (t) => {
    t.equal(transmissionsMax(1), 4);
    t.equal(transmissionsMax(9), 4);
    t.equal(transmissionsMax(10), 8);
    t.equal(transmissionsMax(99), 8);
    t.equal(transmissionsMax(100), 12);
    t.equal(transmissionsMax(1000), 16);
  },
);

t.test(
  'SWIM §4.2: "an Alive message with a higher incarnation number overrides Suspect, which overrides Alive of the same or lower one"',
  async (t) => {
    const bench = crowd().gossip(suspicion('n3'));
    t.equal(bench.state('n3'), 'suspicious');
    bench.gossip(record('n3', { incarnation: 2 }));
    t.equal(bench.state('n3'), 'active');
  },
);

t.test(
  'SWIM §4.2: "a member’s incarnation number can be incremented only by itself, when it receives a Suspect message about itself"',
  async (t) => {
    const bench = crowd();
    t.equal(bench.incarnation('n1'), 1);
    bench.gossip(suspicion('n1'));
    t.equal(bench.incarnation('n1'), 2);
    bench.gossip(suspicion('n1', { incarnation: 1 }));
    t.equal(bench.incarnation('n1'), 2, 'an accusation that is refuted already changes nothing');
    bench.gossip(suspicion('n1', { incarnation: 2, state: 'failed' }));
    t.equal(bench.incarnation('n1'), 3);
    bench.run(2 * TIMING.gossipMs);
    const said = bench.sentOf('gossip').flatMap((it) => it.rumours);
    t.ok(said.some((it) => it.name === 'n1' && it.state === 'active' && it.incarnation === 3));
  },
);

t.test(
  'SWIM §4.3: round robin over a shuffled list, so that every member is probed once per round',
  async (t) => {
    const names = Array.from({ length: 20 }, (_, i) => `n${i + 2}`);
    const bench = new Bench().gossip(...names.map((name) => record(name)));
    const probed: string[] = [];
    // By name n9, n10 and n11 are the ring neighbours of n1: the others are reached by the random slot only.
    const ring = new Set(['n9', 'n10', 'n11']);
    while (probed.length < 34) {
      bench.run(1);
      for (const { to, message } of bench.sentOf('ping')) {
        bench.ack(to, message.seq);
        if (!ring.has(to)) probed.push(to);
      }
      bench.takeSent();
    }
    t.equal(new Set(probed.slice(0, 17)).size, 17, 'no member twice before all were probed once');
  },
);

t.test(
  'Lifeguard §IV.A: "the nack is sent when the helper itself does not get an ack in time"',
  async (t) => {
    const bench = crowd();
    const request = { seq: 5, target: nodeId('n5'), targetEpoch: 1, host: '10.0.0.1' };
    bench.receive('n3', { type: 'ping-req', ...request, port: portOf('n5') });
    bench.run(TIMING.nackAfterMs - 1);
    t.equal(bench.sentOf('nack').length, 0);
    bench.run(1);
    t.match(bench.sentOf('nack')[0], { to: 'n3', message: { seq: 5 } });
    t.ok(TIMING.ackTimeoutMs + TIMING.nackAfterMs < TIMING.suspectAtMs, 'early enough to count');
  },
);

t.test(
  'Lifeguard §IV.A: a probe that fails in silence counts against the prober; one that is nacked does not',
  async (t) => {
    const silent = crowd();
    silent.nextPing('n2');
    silent.run(TIMING.suspectAtMs);
    t.equal(silent.core.healthScore, 1);
    const nacked = crowd();
    const { seq } = nacked.nextPing('n2');
    nacked
      .run(TIMING.suspectAtMs - 10)
      .receive('n4', { type: 'nack', seq })
      .run(10);
    t.equal(nacked.state('n2'), 'suspicious');
    t.equal(nacked.core.healthScore, 0);
  },
);

t.test(
  'Lifeguard §IV.A: "having to refute a suspicion" worsens the local health, a successful probe improves it',
  async (t) => {
    const bench = crowd().gossip(suspicion('n1'));
    t.equal(bench.core.healthScore, 1);
    bench.ack('n2', bench.nextPing('n2').seq);
    t.equal(bench.core.healthScore, 0);
  },
);

t.test(
  'Lifeguard §IV.B, changed: the hold is stretched by the accuser’s own ill health, never for want of confirmations',
  async (t) => {
    const healthy = crowd();
    const { seq } = healthy.nextPing('n2');
    healthy
      .run(TIMING.suspectAtMs - 1)
      .receive('n4', { type: 'nack', seq })
      .run(1);
    t.match(healthy.why('n2').at(-1), /becomes Failed after 1000 ms/);
    const ill = crowd();
    ill.nextPing('n2');
    ill.run(TIMING.suspectAtMs);
    t.match(ill.why('n2').at(-1), /becomes Failed after 2000 ms/);
  },
);

t.test(
  'Lifeguard §IV.C: a ping to a suspected member carries the suspicion, so that its answer refutes',
  async (t) => {
    const bench = crowd().gossip(suspicion('n2'));
    const { rumours } = bench.nextPing('n2');
    t.match(rumours[0], { name: 'n2', state: 'suspicious' });
    const accused = crowd();
    accused.takeSent();
    const ping = {
      type: 'ping',
      seq: 9,
      target: nodeId('n1'),
      targetEpoch: 1,
      introduce: false,
    } as const;
    accused.receive('n4', ping, [suspicion('n1')]);
    const answer = accused.sentOf('ack')[0];
    t.match(
      answer?.rumours.find((it) => it.name === 'n1'),
      { state: 'active', incarnation: 2 },
    );
  },
);
