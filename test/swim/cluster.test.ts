import t from 'tap';
import { must } from '../../src/base/index.js';
import {
  countFalseDeaths,
  SwimCluster,
  type SwimClusterOptions,
} from '../../src/sim/swim/index.js';

// Long computations: a loaded machine must not fail them.
t.setTimeout(300_000);

function warm(options: Partial<SwimClusterOptions> = {}): SwimCluster {
  const cluster = new SwimCluster({ size: 10, seed: 1, isWarm: true, ...options });
  cluster.run(1000);
  cluster.observations.length = 0;
  return cluster;
}

/** The third node in ring order. */
function third(cluster: SwimCluster) {
  return must(cluster.names[2], 'a third node');
}

t.test('a cluster that starts as a whole finds itself', async (t) => {
  for (const size of [2, 3, 10, 40]) {
    const cluster = new SwimCluster({ size, seed: size });
    t.ok(cluster.runUntil(() => cluster.isConverged(), 5000) < 1000, `${size} nodes`);
  }
});

t.test('nodes that the config does not name are found through those it names', async (t) => {
  const cluster = new SwimCluster({ size: 30, seed: 2, configured: 2 });
  t.ok(cluster.runUntil(() => cluster.isConverged(), 5000) < 2000);
});

t.test('lists converge although a fifth of the packets is lost at the start', async (t) => {
  for (let seed = 1; seed <= 5; seed++) {
    const cluster = new SwimCluster({ size: 15, seed, lossRate: 0.2, duplicateRate: 0.1 });
    cluster.run(2000);
    cluster.lossRate = 0;
    cluster.runUntil(() => cluster.isConverged(), 30_000);
    t.ok(cluster.counts.lost > 100 && cluster.counts.duplicated > 50, 'faults struck');
  }
});

t.test('no live, reachable node is called Failed at 5 % loss', async (t) => {
  for (const [size, seconds] of [
    [10, 240],
    [30, 60],
    [50, 40],
  ] as const) {
    const deaths = countFalseDeaths({ size, seed: size, lossRate: 0.05 }, seconds * 1000);
    t.equal(deaths, 0, `${size} nodes, ${seconds} virtual seconds`);
  }
});

t.test('a healthy cluster sends 16 small packets per node and second, and no news', async (t) => {
  const cluster = warm({ size: 20 });
  cluster.run(5000);
  const before = { ...cluster.counts };
  cluster.run(10_000);
  const perNode = (cluster.counts.packets - before.packets) / 20 / 10;
  const bytes = (cluster.counts.bytes - before.bytes) / 20 / 10;
  t.ok(perNode > 15 && perNode < 17, `${perNode} packets per second`);
  t.ok(bytes < 1000, `${bytes} B per second`);
  t.equal(cluster.observations.length, 0);
});

t.test('a partition makes two lists, and one again after it', async (t) => {
  for (const seconds of [5, 100]) {
    const cluster = warm();
    const { names } = cluster;
    cluster.partition(names.slice(0, 4), names.slice(4));
    cluster.run(seconds * 1000);
    for (const name of names) {
      const active = cluster
        .core(name)
        .members()
        .filter((it) => it.state === 'active');
      t.equal(active.length, names.indexOf(name) < 4 ? 4 : 6);
    }
    cluster.partition();
    const healed = cluster.runUntil(() => cluster.isConverged(), 60_000);
    t.ok(healed < 10_000, `after ${seconds} s: lists equal in ${healed} ms`);
    t.ok(cluster.counts.cut > 0);
  }
});

t.test('a node that was cut off alone accuses nobody when it is back', async (t) => {
  for (const ms of [700, 1500, 2500, 5000, 9000, 20_000]) {
    const cluster = warm({ seed: ms });
    const [alone, ...others] = cluster.names;
    cluster.partition([must(alone, 'a node')], others);
    cluster.run(ms);
    cluster.observations.length = 0;
    cluster.partition();
    cluster.runUntil(() => cluster.isConverged(), 30_000);
    cluster.run(5000);
    const wrong = cluster.observations.filter(
      (it) => it.member.state === 'failed' && it.member.name !== alone && it.observer !== alone,
    );
    t.same(wrong, [], `cut off for ${ms} ms`);
    t.ok(cluster.isConverged());
  }
});

t.test('a frozen process is missed, and accuses nobody when it wakes', async (t) => {
  for (const ms of [900, 1600, 4000, 20_000]) {
    const cluster = warm({ seed: ms });
    const frozen = third(cluster);
    cluster.freeze(frozen, ms);
    cluster.run(ms + 50);
    const failed = cluster.observations.filter((it) => it.member.state === 'failed');
    t.equal(failed.length, ms > 1500 ? 9 : 0, `${ms} ms`);
    cluster.runUntil(() => cluster.isConverged(), 30_000);
    cluster.run(3000);
    const wrong = cluster.observations.filter(
      (it) => it.member.state === 'failed' && it.member.name !== frozen,
    );
    t.same(wrong, []);
    t.ok(cluster.counts.overslept > 0);
  }
});

t.test('a restart is seen everywhere within a second, under the new epoch', async (t) => {
  const cluster = warm();
  const name = third(cluster);
  cluster.restart(name);
  t.ok(cluster.runUntil(() => cluster.isConverged(), 5000) < 1000);
  for (const observer of cluster.names) t.equal(cluster.core(observer).get(name)?.bootEpoch, 2);
  const old = cluster.observations.filter(
    ({ member }) => member.name === name && member.bootEpoch === 1,
  );
  t.ok(old.every((it) => it.member.state === 'deleted'));
  t.equal(old.length, 9, 'each list drops the old identity once');
});

t.test('a node that is restarted after its death comes back', async (t) => {
  const cluster = warm();
  const name = third(cluster);
  cluster.crash(name);
  cluster.run(5000);
  t.ok(cluster.statesOf(name).every((state) => state === 'deleted'));
  cluster.restart(name);
  t.ok(cluster.runUntil(() => cluster.isConverged(), 5000) < 1000);
});

t.test('a leave is known everywhere within a second, as a leave; join undoes it', async (t) => {
  for (const lossRate of [0, 0.1]) {
    const cluster = warm({ size: 30, lossRate });
    const name = third(cluster);
    cluster.leave(name);
    const left = () => cluster.statesOf(name).every((state) => state === 'left');
    t.ok(cluster.runUntil(left, 5000) < 1000);
    cluster.run(3000);
    t.ok(left(), 'nobody takes it for dead');
    cluster.join(name);
    t.ok(cluster.runUntil(() => cluster.isConverged(), 5000) < 1000);
  }
});

t.test('a main thread that stands still is reported everywhere, and is no death', async (t) => {
  const cluster = warm();
  const name = third(cluster);
  const isStalled = (observer: (typeof cluster.names)[number]) =>
    (cluster.core(observer).get(name)?.stalledMs ?? 0) > 0;
  cluster.stall(name, 1000);
  t.ok(cluster.runUntil(() => cluster.names.every(isStalled), 5000) < 1000);
  cluster.run(10_000);
  t.ok(cluster.isConverged());
  cluster.stall(name, 0);
  t.ok(cluster.runUntil(() => !cluster.names.some(isStalled), 5000) < 1000);
});

t.test('the same seed gives the same run, another seed another', async (t) => {
  const run = (seed: number) => {
    const cluster = new SwimCluster({ size: 12, seed, lossRate: 0.1, duplicateRate: 0.05 });
    cluster.run(3000);
    cluster.crash(third(cluster));
    cluster.run(3000);
    return cluster.traceHash;
  };
  t.equal(run(1), run(1));
  t.not(run(1), run(2));
});

t.test('packets keep their budget while everybody is news', async (t) => {
  const cluster = new SwimCluster({ size: 120, seed: 4, configured: 1 });
  cluster.runUntil(() => cluster.isConverged(), 10_000);
  t.ok(cluster.counts.packetBytesMax > 1200, 'packets were full');
  t.ok(cluster.counts.packetBytesMax <= 1400 - 32, 'and left room to be sealed');
});
