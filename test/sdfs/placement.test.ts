/** Placement: its promises on examples, and against every other choice on random clusters. */
import t from 'tap';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import { bytesShort, type Candidate, diskLevel, pickTargets } from '../../src/sdfs/placement.js';

const NONE: ReadonlySet<string> = new Set();

function candidate(node: string, facts: Partial<Candidate> = {}): Candidate {
  return { node, epoch: 1, freeBytes: 500, totalBytes: 1000, load: 0, domain: node, ...facts };
}

function names(chosen: readonly Candidate[]): string[] {
  return chosen.map((one) => one.node);
}

t.test('nodes with more room and less load come first', async (t) => {
  const candidates = [
    candidate('busy', { load: 9 }),
    candidate('tight', { freeBytes: 200 }),
    candidate('good'),
    candidate('better', { freeBytes: 900 }),
  ];
  const { chosen } = pickTargets(candidates, { count: 3, bytes: 1, exclude: NONE, seed: 1 });
  t.same(names(chosen), ['better', 'good', 'tight']);
});

t.test('copies are spread over failure domains before anything else', async (t) => {
  const candidates = [
    candidate('a1', { domain: 'a', freeBytes: 900 }),
    candidate('a2', { domain: 'a', freeBytes: 900 }),
    candidate('b1', { domain: 'b', load: 50 }),
  ];
  const wish = { count: 2, bytes: 1, exclude: NONE, seed: 1 };
  t.same(names(pickTargets(candidates, wish).chosen).sort().at(-1), 'b1');
  const replaced = pickTargets(candidates, { ...wish, count: 1, usedDomains: ['a'] });
  t.same(names(replaced.chosen), ['b1'], 'also beside copies that exist');
});

t.test(
  'excluded and full nodes are never chosen, and full ones say how much is missing',
  async (t) => {
    const candidates = [
      candidate('full', { freeBytes: 90 }),
      candidate('small', { freeBytes: 130 }),
      candidate('gone'),
      candidate('ok'),
    ];
    const wish = { count: 4, bytes: 50, exclude: new Set(['gone']), seed: 1 };
    const { chosen, full } = pickTargets(candidates, wish);
    t.same(names(chosen), ['ok']);
    t.same(full, [
      { node: 'full', bytesShort: 60 },
      { node: 'small', bytesShort: 20 },
    ]);
  },
);

t.test('watermarks are parts of small disks and bytes of large ones', async (t) => {
  t.equal(diskLevel({ freeBytes: 101, totalBytes: 1000 }), 'ok');
  t.equal(diskLevel({ freeBytes: 100, totalBytes: 1000 }), 'high');
  t.equal(diskLevel({ freeBytes: 50, totalBytes: 1000 }), 'full');
  const tib = 1024 ** 4;
  t.equal(diskLevel({ freeBytes: 40 * 1024 ** 3, totalBytes: 10 * tib }), 'ok');
  t.equal(diskLevel({ freeBytes: 16 * 1024 ** 3, totalBytes: 10 * tib }), 'full');
  t.equal(diskLevel({ freeBytes: 0, totalBytes: 0 }), 'ok', 'not measured yet');
  t.equal(bytesShort({ freeBytes: 60, totalBytes: 1000 }, 20, 'full'), 10);
  t.equal(bytesShort({ freeBytes: 60, totalBytes: 1000 }, 10, 'full'), 0);
});

function randomCluster(rng: Rng): Candidate[] {
  const domains = 1 + rng.int(4);
  return Array.from({ length: rng.int(8) }, (_, at) =>
    candidate(`n${at}`, {
      freeBytes: rng.int(1000),
      load: rng.int(5),
      domain: `d${rng.int(domains)}`,
    }),
  );
}

/** Largest number of copies in one domain, then how many domains have that many, and so on. */
function crowding(chosen: readonly Candidate[], used: readonly string[]): number[] {
  const counts = new Map<string, number>();
  for (const domain of [...used, ...chosen.map((one) => one.domain)]) {
    counts.set(domain, (counts.get(domain) ?? 0) + 1);
  }
  return [...counts.values()].sort((a, b) => b - a);
}

function* subsets(all: readonly Candidate[], size: number): Generator<Candidate[]> {
  if (size === 0) yield [];
  for (let at = 0; size > 0 && at + size <= all.length; at += 1) {
    for (const rest of subsets(all.slice(at + 1), size - 1)) yield [all[at] as Candidate, ...rest];
  }
}

function cost(one: Candidate): number {
  return Math.floor((1 - one.freeBytes / one.totalBytes) * 20) + one.load;
}

t.test(
  'no other choice spreads better, and none of the same spread costs less by a swap',
  async (t) => {
    const rng = createSeededRng('placement');
    for (let round = 0; round < 500; round += 1) {
      const cluster = randomCluster(rng);
      const used = Array.from({ length: rng.int(3) }, () => `d${rng.int(3)}`);
      const wish = { count: 4, bytes: 10, exclude: NONE, usedDomains: used, seed: round };
      const { chosen, full } = pickTargets(cluster, wish);
      const open = cluster.filter((one) => bytesShort(one, 10, 'high') === 0);
      t.equal(chosen.length + 0, Math.min(4, open.length));
      t.equal(full.length, cluster.length - open.length);
      const mine = crowding(chosen, used).join();
      for (const other of subsets(open, chosen.length)) {
        if (crowding(other, used).join() < mine) t.fail(`${round}: a better spread exists`);
      }
      for (const taken of chosen) {
        const swap = open.find(
          (one) => !chosen.includes(one) && one.domain === taken.domain && cost(one) < cost(taken),
        );
        if (swap !== undefined) t.fail(`${round}: ${swap.node} is better than ${taken.node}`);
      }
      t.same(pickTargets([...cluster].reverse(), wish).chosen, chosen, 'input order is no matter');
    }
  },
);

t.test('equal nodes share the work', async (t) => {
  const cluster = Array.from({ length: 10 }, (_, at) => candidate(`n${at}`));
  const taken = new Map<string, number>();
  for (let seed = 0; seed < 1000; seed += 1) {
    const { chosen } = pickTargets(cluster, { count: 4, bytes: 1, exclude: NONE, seed });
    for (const one of chosen) taken.set(one.node, (taken.get(one.node) ?? 0) + 1);
  }
  for (const [node, count] of taken) t.ok(count > 300 && count < 500, `${node}: ${count} of 400`);
});
