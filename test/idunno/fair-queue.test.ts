/** The fair queue against its bound, and against a slow twin on exact fractions. */
import t from 'tap';
import { createSeededRng, must, type Rng } from '../../src/base/index.js';
import { chargeOf, type FairJob, pickNext, refreshActivity } from '../../src/idunno/fair-queue.js';

interface Job extends FairJob {
  leases: number;
  served: number;
  batch: number;
}

function jobOf(id: number, weight = 1, batch = 1): Job {
  return { id, weight, leases: 0, v: 0, active: true, served: 0, batch };
}

function serve(jobs: readonly Job[]): Job {
  const job = must(
    pickNext(jobs, () => true),
    'a job',
  );
  job.v += chargeOf(job.batch, job.weight);
  job.served += job.batch;
  return job;
}

t.test(
  'what two jobs were leased never differs by more than one task each, by weight',
  async (t) => {
    for (let seed = 0; seed < 200; seed += 1) {
      const rng = createSeededRng(seed);
      const jobs = Array.from({ length: 2 + rng.int(4) }, (_, id) =>
        jobOf(id, 1 + rng.int(5), 1 + rng.int(40)),
      );
      for (let turn = 0; turn < 300; turn += 1) {
        serve(jobs);
        for (const a of jobs) {
          for (const b of jobs) {
            const apart = Math.abs(a.served / a.weight - b.served / b.weight);
            const bound = a.batch / a.weight + b.batch / b.weight;
            if (apart > bound + 1e-6) t.fail(`seed ${seed}, turn ${turn}: ${apart} > ${bound}`);
          }
        }
      }
    }
  },
);

t.test('it picks what a slow twin on exact fractions picks', async (t) => {
  for (let seed = 0; seed < 100; seed += 1) {
    const rng = createSeededRng(`twin ${seed}`);
    // Weights that divide SCALE, so that our integers lose nothing.
    const weights = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16];
    const jobs = Array.from({ length: 5 }, (_, id) =>
      jobOf(id, pick(rng, weights), 1 + rng.int(30)),
    );
    const twins = jobs.map(({ id, weight }) => ({ id, weight: BigInt(weight), served: 0n }));
    for (let turn = 0; turn < 200; turn += 1) {
      const slow = [...twins].sort((a, b) => {
        const difference = a.served * b.weight - b.served * a.weight;
        return difference < 0n ? -1 : difference > 0n ? 1 : a.id - b.id;
      })[0];
      const job = serve(jobs);
      if (slow?.id !== job.id) t.fail(`seed ${seed}, turn ${turn}: ${job.id}, not ${slow?.id}`);
      if (slow !== undefined) slow.served += BigInt(job.batch);
      job.batch = 1 + rng.int(30);
    }
  }
});

t.test('of equal virtual times, the job with fewer leases is first, then the older', async (t) => {
  const [first, second, third] = [jobOf(1), jobOf(2), jobOf(3)];
  first.leases = 2;
  t.equal(
    pickNext([first, third, second], () => true),
    second,
  );
});

t.test(
  'a job that joins starts at the smallest virtual time: neither starved nor starving',
  async (t) => {
    const old = jobOf(1);
    const older = jobOf(2);
    old.v = 500;
    older.v = 400;
    const joining = { ...jobOf(3), active: false };
    refreshActivity([old, older, joining], () => true, 450);
    t.match(joining, { v: 400, active: true });
  },
);

t.test('a job that comes back keeps a virtual time that is ahead', async (t) => {
  const busy = jobOf(1);
  busy.v = 100;
  const ahead = { ...jobOf(2), active: false, v: 900 };
  refreshActivity([busy, ahead], () => true, 100);
  t.equal(ahead.v, 900);
});

t.test(
  'a job that had the cluster for itself is not punished when the next one comes',
  async (t) => {
    const alone = { ...jobOf(1), active: false, v: 1_000_000 };
    const next = { ...jobOf(2), active: false };
    // Nobody is active: what was leased last stands for them.
    refreshActivity([next], () => true, 1_000_000);
    t.equal(next.v, 1_000_000);
    refreshActivity([alone, next], () => true, 1_000_000);
    t.equal(alone.v, 1_000_000);
  },
);

t.test('a job without work or a warm worker takes no part', async (t) => {
  const job = jobOf(1);
  t.same(
    refreshActivity([job], () => false, 0).map(({ id }) => id),
    [1],
  );
  t.equal(
    pickNext([job], () => true),
    undefined,
  );
});

function pick<T>(rng: Rng, values: readonly T[]): T {
  return must(values[rng.int(values.length)], 'a value');
}
