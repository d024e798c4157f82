/** Promise P3 at ten nodes: Failed everywhere in < 2 s, off every list in < 3 s. */
import t from 'tap';
import { measureCrashes, spreadOf } from '../../src/sim/swim/index.js';

// Long computations: a loaded machine must not fail them.
t.setTimeout(300_000);

const SEEDS = 60;

t.test('ten nodes: one crash, then three adjacent ones, are noticed in time', async (t) => {
  const runs = Array.from({ length: SEEDS }, (_, seed) =>
    measureCrashes({ size: 10, seed }, [1, 3]),
  );
  for (const [round, victims] of [1, 3].entries()) {
    const failed = spreadOf(runs.map((run) => run[round]?.failedMs ?? Number.NaN));
    const deleted = spreadOf(runs.map((run) => run[round]?.deletedMs ?? Number.NaN));
    t.ok(failed.max < 2000, `${victims} down: Failed everywhere after at most ${failed.max} ms`);
    t.ok(deleted.max < 3000, `${victims} down: off every list after at most ${deleted.max} ms`);
  }
});

t.test('ten nodes: the same at 2 % loss', async (t) => {
  const runs = Array.from({ length: SEEDS }, (_, seed) =>
    measureCrashes({ size: 10, seed, lossRate: 0.02 }, [3]),
  );
  const deleted = spreadOf(runs.map((run) => run[0]?.deletedMs ?? Number.NaN));
  t.ok(deleted.max < 3000, `off every list after at most ${deleted.max} ms`);
});

t.test('a majority that crashes at once is noticed in time, too', async (t) => {
  const runs = Array.from({ length: SEEDS }, (_, seed) => measureCrashes({ size: 10, seed }, [6]));
  const deleted = spreadOf(runs.map((run) => run[0]?.deletedMs ?? Number.NaN));
  t.ok(deleted.max < 3000, `off every list after at most ${deleted.max} ms`);
});
