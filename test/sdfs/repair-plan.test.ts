/** Repair planning: rules on examples, and a slow twin on random clusters. */
import t from 'tap';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import type { CopySet } from '../../src/sdfs/holder-index.js';
import {
  type CopyInFlight,
  ORDER_BLOBS_MAX,
  planRepair,
  type RepairNode,
  type RepairPlan,
  STREAMS_PER_NODE,
} from '../../src/sdfs/repair-plan.js';

type State = Parameters<typeof planRepair>[0];

const NOW = 1_000_000;

function node(name: string, facts: Partial<RepairNode> = {}): RepairNode {
  return {
    node: name,
    epoch: 1,
    status: 'up',
    sinceMs: 0,
    freeBytes: 0,
    totalBytes: 0,
    domain: name,
    ...facts,
  };
}

function set(holders: readonly string[], blobs: readonly number[], bytes = 10): CopySet {
  const sorted = [...holders].sort();
  return {
    key: `4 ${sorted.join(' ')}`,
    wanted: 4,
    holders: sorted,
    blobs: new Map(blobs.map((blob) => [blob, bytes])),
    versions: blobs.length,
  };
}

function state(
  nodes: readonly RepairNode[],
  sets: readonly CopySet[],
  facts: Partial<State> = {},
): State {
  return {
    sets,
    nodes: new Map(nodes.map((one) => [one.node, one])),
    bad: new Map(),
    badSets: new Map(),
    inFlight: new Map(),
    streamsIn: new Map(),
    streamsOut: new Map(),
    notBeforeMs: new Map(),
    nowMs: NOW,
    delayMs: 10_000,
    ...facts,
  };
}

function nodes(
  count: number,
  down: Readonly<Record<string, Partial<RepairNode>>> = {},
): RepairNode[] {
  return Array.from({ length: count }, (_, at) => node(`n${at + 1}`, down[`n${at + 1}`] ?? {}));
}

function copiesOf(plan: RepairPlan): Map<number, string[]> {
  const copies = new Map<number, string[]>();
  for (const { to, blobs } of plan.orders) {
    for (const blob of blobs) copies.set(blob, [...(copies.get(blob) ?? []), to]);
  }
  return copies;
}

t.test('nothing is done for what has its copies', async (t) => {
  const plan = planRepair(state(nodes(5), [set(['n1', 'n2', 'n3', 'n4'], [1, 2])]));
  t.same([plan.orders, plan.excess, [...plan.stuck], plan.nextDueMs], [[], [], [], undefined]);
});

t.test('two copies or fewer are repaired at once, three after the delay', async (t) => {
  const since = { status: 'down' as const, sinceMs: NOW - 1_000 };
  const cluster = nodes(8, { n1: since, n2: since });
  const one = planRepair(state(cluster, [set(['n1', 'n3', 'n4', 'n5'], [1])]));
  t.same(one.orders, []);
  t.equal(one.nextDueMs, NOW + 9_000);
  t.same([...one.stuck], [['waits for n1 to return', 1]]);
  const two = planRepair(state(cluster, [set(['n1', 'n2', 'n4', 'n5'], [1])]));
  t.equal(copiesOf(two).get(1)?.length, 2);
  const later = planRepair(
    state(cluster, [set(['n1', 'n3', 'n4', 'n5'], [1])], { nowMs: NOW + 9_000 }),
  );
  t.equal(copiesOf(later).get(1)?.length, 1);
});

t.test('nobody waits for a node that left, nor for copies that never were', async (t) => {
  const cluster = nodes(8, {
    n1: { status: 'left', sinceMs: NOW },
    n2: { status: 'down', sinceMs: NOW },
  });
  t.equal(planRepair(state(cluster, [set(['n1', 'n3', 'n4', 'n5'], [1])])).orders.length, 1);
  t.equal(planRepair(state(cluster, [set(['n3', 'n4', 'n5'], [1])])).orders.length, 1);
  t.equal(planRepair(state(cluster, [set(['n2', 'n4', 'n5'], [1])])).orders.length, 2);
});

t.test('many nodes down at once hold back all but last copies for a while', async (t) => {
  const down = { status: 'down' as const, sinceMs: NOW - 2_000 };
  const cluster = nodes(12, { n1: down, n2: down, n3: down, n4: down });
  const sets = [set(['n1', 'n2', 'n5', 'n6'], [1]), set(['n1', 'n2', 'n3', 'n7'], [2])];
  const plan = planRepair(state(cluster, sets));
  t.same([...copiesOf(plan).keys()], [2], 'one copy left is repaired at once');
  t.equal(plan.nextDueMs, NOW + 28_000);
  t.same(
    [...copiesOf(planRepair(state(cluster, sets, { nowMs: NOW + 28_000 }))).keys()].sort(),
    [1, 2],
  );
});

t.test('fewest copies come first when streams are scarce', async (t) => {
  const down = { status: 'down' as const, sinceMs: 0 };
  const cluster = nodes(6, { n1: down, n2: down, n3: down });
  const three = set(['n1', 'n4', 'n5', 'n6'], [1]);
  const one = set(['n1', 'n2', 'n3', 'n4'], [2]);
  const busy = new Map(['n4', 'n5', 'n6'].map((name) => [name, STREAMS_PER_NODE - 1]));
  const plan = planRepair(state(cluster, [three, one], { streamsIn: busy, streamsOut: new Map() }));
  t.same(
    plan.orders.map((order) => order.blobs[0]),
    [2, 2],
  );
});

t.test('a lost blob, too few nodes and full disks are each given as the reason', async (t) => {
  const down = { status: 'down' as const, sinceMs: 0 };
  const cluster = nodes(3, { n3: down });
  const lost = planRepair(state(cluster, [set(['n3'], [1, 2])]));
  t.same([...lost.stuck], [['no copy can be reached: n3 down', 2]]);
  const few = planRepair(state(cluster, [set(['n1', 'n2', 'n3'], [1, 2, 3])]));
  t.same([...few.stuck], [['2 nodes are up, 4 copies are wanted: no further node', 3]]);
  const full = planRepair(
    state([...nodes(2), node('n9', { freeBytes: 5, totalBytes: 1_000 })], [set(['n1', 'n2'], [1])]),
  );
  t.same([...full.stuck], [['the disks of n9 are too full', 1]]);
});

t.test('a draining node gives copies and counts for none', async (t) => {
  const cluster = nodes(6, { n1: { status: 'draining' } });
  const plan = planRepair(state(cluster, [set(['n1', 'n2', 'n3', 'n4'], [1])]));
  t.equal(plan.orders.length, 1);
  const only = planRepair(state(cluster, [set(['n1'], [1])]));
  t.same(new Set(only.orders.map((order) => order.from)), new Set(['n1']));
});

t.test('a bad copy is replaced in place, and dropped where it is needless', async (t) => {
  const holders = ['n1', 'n2', 'n3', 'n4'];
  const one = set(holders, [1, 2]);
  const facts = { bad: new Map([[1, new Set(['n2'])]]), badSets: new Map([[1, one]]) };
  const plan = planRepair(state(nodes(6), [one], facts));
  t.match(plan.orders, [{ to: 'n2', blobs: [1] }]);
  t.not(plan.orders[0]?.from, 'n2');
  const five = set([...holders, 'n5'], [1]);
  const needless = planRepair(
    state(nodes(6), [five], { ...facts, badSets: new Map([[1, five]]), nowMs: 1_000 }),
  );
  t.same([needless.orders, needless.needlessBad], [[], [{ blob: 1, node: 'n2' }]]);
  const allBad = { bad: new Map([[1, new Set(holders)]]), badSets: new Map([[1, one]]) };
  t.match([...planRepair(state(nodes(6), [one], allBad)).stuck][0]?.[0], /no copy can be reached/);
});

t.test(
  'an extra copy goes when its holders have been up for a while, the fullest disk first',
  async (t) => {
    const cluster = nodes(5).map((one) => ({
      ...one,
      freeBytes: one.node === 'n4' ? 300 : 900,
      totalBytes: 1_000,
    }));
    const five = set(['n1', 'n2', 'n3', 'n4', 'n5'], [1]);
    t.same(planRepair(state(cluster, [five])).excess, [{ blob: 1, node: 'n4' }]);
    const fresh = cluster.map((one) =>
      one.node === 'n1' ? { ...one, sinceMs: NOW - 5_000 } : one,
    );
    t.same(planRepair(state(fresh, [five])).excess, []);
  },
);

t.test('copies in flight count, and a failed blob is left alone until its time', async (t) => {
  const down = { status: 'down' as const, sinceMs: 0 };
  const cluster = nodes(8, { n1: down, n2: down });
  const one = set(['n1', 'n2', 'n3', 'n4'], [1, 2]);
  const inFlight = new Map<number, CopyInFlight[]>([[1, [{ blob: 1, from: 'n3', to: 'n5' }]]]);
  const plan = planRepair(
    state(cluster, [one], { inFlight, notBeforeMs: new Map([[2, NOW + 500]]) }),
  );
  t.equal(plan.orders.length, 1);
  t.not(plan.orders[0]?.to, 'n5');
  t.equal(plan.nextDueMs, NOW + 500);
});

t.test('many small blobs share orders, over all nodes', async (t) => {
  const down = { status: 'down' as const, sinceMs: 0 };
  const cluster = nodes(10, { n1: down, n2: down, n3: down });
  const blobs = Array.from({ length: 5_000 }, (_, at) => at + 1);
  const plan = planRepair(state(cluster, [set(['n1', 'n2', 'n4', 'n5'], blobs)]));
  t.ok(plan.orders.every((order) => order.blobs.length === ORDER_BLOBS_MAX));
  t.equal(new Set(plan.orders.map((order) => order.to)).size, 5, 'all that do not hold them');
  t.equal(plan.orders.length, 2 * STREAMS_PER_NODE, 'as many as the two sources can serve');
});

/** What is missing, blob by blob, without any of the plan's shortcuts. */
function slowNeeds(facts: State): Map<number, number> {
  const needs = new Map<number, number>();
  for (const one of facts.sets) {
    for (const blob of one.blobs.keys()) {
      const bad = facts.bad.get(blob) ?? new Set();
      const holders = one.holders.filter((name) => !bad.has(name));
      const status = (name: string) => facts.nodes.get(name)?.status;
      const good = holders.filter((name) => status(name) === 'up');
      const sources = ['up', 'draining', 'left'].map((s) => holders.filter((n) => status(n) === s));
      if (sources.every((list) => list.length === 0)) continue;
      const flying = facts.inFlight.get(blob) ?? [];
      const targets = [...facts.nodes.values()].filter(
        (n) =>
          n.status === 'up' &&
          !good.includes(n.node) &&
          (!one.holders.includes(n.node) || bad.has(n.node)) &&
          !flying.some((copy) => copy.to === n.node),
      );
      const missing = one.wanted - good.length - flying.length;
      const need = Math.min(missing, targets.length);
      if (need > 0) needs.set(blob, need);
    }
  }
  return needs;
}

function randomState(rng: Rng): State {
  const count = 4 + rng.int(6);
  const statuses = ['up', 'up', 'up', 'up', 'down', 'left', 'draining'] as const;
  const cluster = Array.from({ length: count }, (_, at) =>
    node(`n${at + 1}`, {
      status: statuses[rng.int(statuses.length)] ?? 'up',
      domain: `d${rng.int(4)}`,
    }),
  );
  const sets = new Map<string, CopySet>();
  const bad = new Map<number, Set<string>>();
  const badSets = new Map<number, CopySet>();
  const inFlight = new Map<number, CopyInFlight[]>();
  const names = cluster.map((one) => one.node);
  for (let blob = 1; blob <= 8; blob += 1) {
    const holders = names.filter(() => rng.int(count) < 4).slice(0, 5);
    const key = `4 ${[...holders].sort().join(' ')}`;
    const one = sets.get(key) ?? set(holders, []);
    (one.blobs as Map<number, number>).set(blob, 10);
    sets.set(key, one);
    const [first] = holders;
    if (first !== undefined && rng.int(6) === 0) {
      bad.set(blob, new Set([first]));
      badSets.set(blob, one);
    } else if (rng.int(6) === 0) {
      const to = names.find((name) => !holders.includes(name));
      if (to !== undefined) inFlight.set(blob, [{ blob, from: 'x', to }]);
    }
  }
  return state(cluster, [...sets.values()], { bad, badSets, inFlight, nowMs: 10 ** 9 });
}

t.test('with streams enough, exactly what the slow twin misses is ordered', async (t) => {
  const rng = createSeededRng('twin');
  let ordered = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const facts = randomState(rng);
    const roomy = { ...facts, streamsIn: negative(facts), streamsOut: negative(facts) };
    const found = new Map([...copiesOf(planRepair(roomy))].map(([blob, to]) => [blob, to.length]));
    const wanted = slowNeeds(facts);
    const sort = (map: Map<number, number>) => [...map].sort(([a], [b]) => a - b);
    t.same(sort(found), sort(wanted), `round ${round}`);
    ordered += found.size;
    if (!t.passing()) return;
  }
  t.ok(ordered > 1_000, `${ordered} blobs ordered`);
});

/** As if each node could serve a thousand streams. */
function negative(facts: State): Map<string, number> {
  return new Map([...facts.nodes.keys()].map((name) => [name, -1_000]));
}

t.test('bounds hold: streams per node, no copy twice, no target that holds it', async (t) => {
  const rng = createSeededRng('bounds');
  for (let round = 0; round < 1_000; round += 1) {
    const facts = randomState(rng);
    const plan = planRepair(facts);
    const streams = new Map<string, number>();
    for (const { from, to, blobs } of plan.orders) {
      streams.set(`in ${to}`, (streams.get(`in ${to}`) ?? 0) + 1);
      streams.set(`out ${from}`, (streams.get(`out ${from}`) ?? 0) + 1);
      if (from === to) t.fail('from itself to itself');
      for (const blob of blobs) {
        const one = [...facts.sets].find((candidate) => candidate.blobs.has(blob));
        const isBad = facts.bad.get(blob)?.has(to) ?? false;
        if (one?.holders.includes(to) && !isBad) t.fail(`${to} holds ${blob} already`);
        if (facts.bad.get(blob)?.has(from)) t.fail(`${from}'s copy of ${blob} is bad`);
      }
    }
    for (const [what, count] of streams) if (count > STREAMS_PER_NODE) t.fail(`${what}: ${count}`);
    for (const [blob, to] of copiesOf(plan)) {
      if (new Set(to).size < to.length) t.fail(`${blob} goes twice to one node`);
    }
  }
  t.pass('a thousand random clusters');
});
