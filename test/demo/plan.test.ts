/** How the demonstration sizes its work, and what it reads off its own timeline. */
import t from 'tap';
import { planWork } from '../../demo/plan.js';
import { Timeline } from '../../demo/timeline.js';
import type { JobInfo, JobState } from '../../src/idunno/index.js';

t.test('two jobs of known cost are given about the asked length of work', async (t) => {
  // 10 ms and 2 ms per query: together each runs at 1 / 12 ms = 83 queries/s.
  const plan = planWork(100, [0.01, 0.002], 20, 3);
  t.equal(Math.round(plan.rateExpected), 83);
  const first = plan.repeatFirst * 100;
  const second = plan.repeatSecond * 100;
  const together = second / plan.rateExpected;
  const alone = (first - second) * 0.01;
  t.ok(Math.abs(together - 17) < 1, 'seventeen seconds side by side');
  t.ok(Math.abs(alone - 3) < 1, 'three seconds alone');
});

t.test('the batch leaves enough tasks in a window for a small rate gap', async (t) => {
  for (const cost of [0.0002, 0.001, 0.01, 0.1, 1]) {
    const plan = planWork(100, [cost, cost], 20, 3);
    const tasksPerWindow = (plan.rateExpected * 10) / plan.batchSize;
    t.ok(plan.batchSize >= 1 && plan.batchSize <= 64);
    t.ok(tasksPerWindow >= 60 || plan.batchSize === 1, `${tasksPerWindow} tasks at ${cost} s`);
  }
});

t.test('every image is queried at least once, however slow the model', async (t) => {
  const plan = planWork(250, [30, 30], 8, 3);
  t.equal(plan.repeatFirst, 1);
  t.equal(plan.repeatSecond, 1);
  t.equal(plan.batchSize, 1);
});

t.test('the gap counts only the time in which both jobs ran', async (t) => {
  const timeline = sampled([
    [0, 100, 'running', 0, 'queued'],
    [1000, 200, 'running', 10, 'running'],
    [2000, 300, 'running', 90, 'running'],
    [3000, 400, 'running', 190, 'running'],
    [4000, 900, 'running', 190, 'succeeded'],
  ]);
  // Between 1 s and 3 s: 200 and 180 queries.
  t.equal(timeline.gap(1, 2), 0.1);
});

t.test('there is no gap without two running jobs', async (t) => {
  const timeline = sampled([
    [0, 100, 'running', 0, 'queued'],
    [5000, 200, 'running', 0, 'queued'],
  ]);
  t.equal(timeline.gap(1, 2), undefined);
  t.equal(new Timeline().gap(1, 2), undefined);
});

t.test('a rate is what was done in the second before', async (t) => {
  const timeline = sampled([
    [0, 0, 'running', 0, 'running'],
    [500, 50, 'running', 0, 'running'],
    [1000, 100, 'running', 5, 'running'],
    [1500, 250, 'running', 10, 'running'],
  ]);
  t.same(
    timeline.rates(1).map((point) => Math.round(point.y)),
    [100, 100, 200],
  );
});

type Row = readonly [atMs: number, first: number, a: JobState, second: number, b: JobState];

function sampled(rows: readonly Row[]): Timeline {
  const timeline = new Timeline();
  for (const [atMs, first, a, second, b] of rows) {
    timeline.samples.push({ atMs, jobs: [job(1, a, first), job(2, b, second)] });
  }
  return timeline;
}

function job(id: number, state: JobState, queriesDone: number): JobInfo {
  return {
    id,
    model: `m${id}`,
    revision: 1,
    state,
    owner: '',
    label: '',
    batchSize: 1,
    weight: 1,
    repeat: 1,
    items: 1000,
    queries: 1000,
    queriesDone,
    queriesFailed: 0,
    tasksDone: queriesDone,
    tasksWaiting: 0,
    createdMs: 0,
    startedMs: undefined,
    firstResultMs: undefined,
    finishedMs: undefined,
  };
}
