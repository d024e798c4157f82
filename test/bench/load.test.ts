/** What benchmarks compute from what they have seen. */
import t from 'tap';
import { phasesOf, type RoleLine } from '../../bench/failover/phases.js';
import { runRound, type Round, type Subject } from '../../bench/failover/rounds.js';
import { SteadyWriter } from '../../bench/failover/steady-writer.js';
import { Histogram, runLoad } from '../../bench/metadata/load.js';

t.test('percentiles of a histogram are within its step of the exact ones', async (t) => {
  const histogram = new Histogram();
  for (let ms = 1; ms <= 1_000; ms += 1) histogram.add(ms);
  for (const p of [1, 50, 99, 100]) {
    const found = histogram.percentile(p);
    t.ok(found >= p * 10 && found <= p * 10 * 1.021, `p${p}: ${found}`);
  }
  const both = new Histogram(histogram.counts);
  both.merge(histogram.counts);
  t.equal(both.count, 2_000);
  t.ok(Number.isNaN(new Histogram().percentile(50)));
});

t.test('a load counts what was answered and what failed, and keeps all clients busy', async (t) => {
  let underway = 0;
  let most = 0;
  let calls = 0;
  const target = {
    write: async () => {
      underway += 1;
      most = Math.max(most, underway);
      await new Promise((resolve) => setTimeout(resolve, 1));
      underway -= 1;
      calls += 1;
      if (calls % 10 === 0) throw new Error('refused');
    },
    read: async () => undefined,
    close: async () => undefined,
  };
  const result = await runLoad(target, {
    operation: 'write',
    clients: 7,
    warmMs: 0,
    measureMs: 100,
    prefix: 'p',
    valueBytes: 10,
  });
  t.equal(most, 7);
  t.equal(result.failed, Math.floor(calls / 10));
  t.ok(result.count > 0 && result.count + result.failed <= calls);
});

function line(atMs: number, node: string, role: string, leader: string, isReady = false): RoleLine {
  return { atMs, node, role, leader, isReady };
}

t.test('the time of a round is split by what the survivors wrote', async (t) => {
  const round: Round = {
    kind: 'kill',
    leader: 'n1',
    struckAtMs: 1_000,
    nextWriteMs: 60,
    longestWriteMs: 60,
    failedWrites: 0,
    errors: [],
  };
  const roles = [
    line(990, 'n2', 'follower', 'n1'),
    line(1_004, 'n3', 'follower', ''),
    line(1_010, 'n2', 'candidate', ''),
    line(1_024, 'n2', 'leader', 'n2'),
    line(1_031, 'n2', 'leader', 'n2', true),
    line(1_500, 'n1', 'follower', 'n2'),
  ];
  t.same(phasesOf(round, roles), {
    detectMs: 4,
    electMs: 20,
    readyMs: 7,
    answerMs: 29,
    campaigns: 1,
  });
  t.equal(phasesOf(round, []).electMs, undefined, 'nothing is made up');
});

t.test('a round is judged by the first write that was sent after the strike', async (t) => {
  let isDown = false;
  const writer = new SteadyWriter(async () => {
    while (isDown) await new Promise((resolve) => setTimeout(resolve, 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
  });
  const healed: string[] = [];
  const subject: Subject = {
    writer,
    settled: async () => 'n1',
    strike: async () => {
      isDown = true;
      setTimeout(() => {
        isDown = false;
      }, 50);
    },
    heal: async (leader) => void healed.push(leader),
  };
  writer.start();
  const round = await runRound(subject, 'kill');
  await writer.stop();
  t.ok(round.nextWriteMs >= 50, `${round.nextWriteMs}`);
  t.ok(round.longestWriteMs >= 48, 'the write under way waited as long');
  t.same(healed, ['n1']);
  t.equal(round.failedWrites, 0);
});
