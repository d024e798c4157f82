/** Promise P3 at a hundred nodes; the study in src/sim/swim runs a thousand. */
import t from 'tap';
import { measureCrashes, spreadOf } from '../../src/sim/swim/index.js';

// Long computations: a loaded machine must not fail them.
t.setTimeout(300_000);

const SEEDS = 50;

t.test('a hundred nodes: one crash, then three adjacent ones, are noticed in time', async (t) => {
  const runs = Array.from({ length: SEEDS }, (_, seed) =>
    measureCrashes({ size: 100, seed }, [1, 3]),
  );
  for (const [round, victims] of [1, 3].entries()) {
    const failed = spreadOf(runs.map((run) => run[round]?.failedMs ?? Number.NaN));
    const deleted = spreadOf(runs.map((run) => run[round]?.deletedMs ?? Number.NaN));
    t.ok(failed.max < 2000, `${victims} down: Failed everywhere after at most ${failed.max} ms`);
    t.ok(deleted.max < 3000, `${victims} down: off every list after at most ${deleted.max} ms`);
  }
});
