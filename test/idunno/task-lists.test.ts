/** Tasks, result files and jobs as they are listed; sums that leaders come and go over. */
import t from 'tap';
import type { ResultFile, ResultPlace, TaskInfo } from '../../src/idunno/index.js';
import { jobs, tasks } from '../../src/idunno/tables.js';
import { World } from './world.js';

async function startWorld(itemMs = 5): Promise<World> {
  const world = new World({ itemMs: () => itemMs });
  for (const name of ['n1', 'n2', 'n3']) await world.addNode(name);
  world.elect('n1');
  await world.deploy('digits');
  return world;
}

const SPEC = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 4 };

async function tasksOf(world: World, id: number, limit: number): Promise<TaskInfo[]> {
  const all: TaskInfo[] = [];
  for (let after: number | undefined; ; ) {
    const page = await world.client.tasks(id, { limit, ...(after === undefined ? {} : { after }) });
    all.push(...page.tasks);
    if (page.next === undefined) return all;
    after = page.next;
  }
}

async function resultsOf(world: World, limit: number, job?: number): Promise<ResultFile[]> {
  const all: ResultFile[] = [];
  for (let after: ResultPlace | undefined; ; ) {
    const page = await world.client.resultFiles({
      limit,
      ...(job === undefined ? {} : { job }),
      ...(after === undefined ? {} : { after }),
    });
    all.push(...page.files);
    if (page.next === undefined) return all;
    after = page.next;
  }
}

t.test('a job that is created paused waits, all of it Ready, and runs when resumed', async (t) => {
  const world = await startWorld();
  world.putInputs('in/', 10);
  const { client, clock } = world;
  const { id, state } = await clock.runUntil(client.submitJob({ ...SPEC, isPaused: true }));
  t.equal(state, 'paused');
  await clock.advanceSettled(2_000);
  t.match(await client.job(id), { state: 'paused', tasksDone: 0, startedMs: undefined });
  t.match(await tasksOf(world, id, 5), [
    { task: 0, to: 10, state: 'Ready', isCut: false, attempts: 0, nodes: [] },
  ]);
  const resumed = await clock.runUntil(client.resume(id));
  t.match(resumed.state, /^(queued|running)$/);
  await world.until('the end', () => world.store.get(jobs, [id])?.state === 'succeeded');
  const done = await tasksOf(world, id, 2);
  t.match(done, [
    { task: 0, to: 4, state: 'Success', isCut: true, file: 'results/1/0.jsonl' },
    { task: 4, to: 8, state: 'Success', isCut: true, file: 'results/1/4.jsonl' },
    { task: 8, to: 10, state: 'Success', isCut: true, file: 'results/1/8.jsonl' },
  ]);
  for (const task of done) t.ok(task.nodes.length === 1 && Number(task.seconds) > 0);
  await world.stop();
});

t.test('tasks go from Ready to Waiting at a node to Success, and tile the job', async (t) => {
  const world = await startWorld(20);
  world.putInputs('in/', 100);
  const { id } = await world.clock.runUntil(world.client.submitJob(SPEC));
  await world.until('some results', () => (world.store.get(jobs, [id])?.tasksDone ?? 0) >= 5);
  const now = await tasksOf(world, id, 3);
  const waiting = now.filter(({ state }) => state === 'Waiting');
  t.ok(waiting.length > 0 && waiting.every(({ nodes, file }) => nodes.length > 0 && !file));
  t.equal(now.at(-1)?.isCut, false, 'the rest comes last');
  let at = 0;
  for (const { task, to } of now) {
    t.equal(task, at);
    at = to;
  }
  t.equal(at, 100);
  await world.clock.runUntil(world.client.cancel(id));
  t.ok(
    (await tasksOf(world, id, 50)).every(({ isCut }) => isCut),
    'nobody will cut the rest',
  );
  await t.rejects(world.client.tasks(99), { code: 'JOB_NOT_FOUND' });
  await world.stop();
});

t.test('result files are there at once, inline first, in a segment later', async (t) => {
  const world = await startWorld(20);
  world.putInputs('in/', 60);
  const { id } = await world.clock.runUntil(world.client.submitJob(SPEC));
  await world.until('some results', () => (world.store.get(jobs, [id])?.tasksDone ?? 0) >= 3);
  const early = await resultsOf(world, 2, id);
  t.ok(early.length >= 3 && early.every(({ segment }) => segment === undefined));
  const [first] = early;
  t.match(await world.client.statResult(id, first?.task ?? -1), { name: first?.name });
  await world.until('the end', () => world.store.get(jobs, [id])?.inlineTasks === 0);
  const second = await world.clock.runUntil(world.client.submitJob(SPEC));
  await world.until('the end', () => world.store.get(jobs, [second.id])?.state === 'succeeded');
  const ofOne = await resultsOf(world, 4, id);
  t.equal(ofOne.length, 15);
  t.match(ofOne[0]?.segment, { name: 'results/1/segment-000001.jsonl', version: 1 });
  t.same(
    (await resultsOf(world, 4)).map(({ job, task }) => [job, task]),
    [1, 2].flatMap((job) => Array.from({ length: 15 }, (_, at) => [job, at * 4])),
    'of all jobs, by job and task',
  );
  await t.rejects(world.client.statResult(id, 1), { code: 'FILE_NOT_FOUND' });
  await t.rejects(world.client.statResult(99, 0), { code: 'FILE_NOT_FOUND' });
  await world.stop();
});

t.test('jobs and statistics of one owner are those of no other', async (t) => {
  const world = await startWorld();
  world.putInputs('in/', 4);
  for (const owner of ['ann', 'bob', 'ann']) {
    await world.clock.runUntil(world.client.submitJob({ ...SPEC, owner }));
  }
  const ids = (rows: readonly { id: number }[]): number[] => rows.map(({ id }) => id);
  t.same(ids(await world.client.jobs('ann')), [1, 3]);
  t.same(ids(await world.client.stats(undefined, 'bob')), [2]);
  t.same(ids(await world.client.jobs()), [1, 2, 3]);
  t.same(ids(await world.client.jobs('eve')), []);
  await world.stop();
});

t.test('sums of the statistics are those of the tasks, whoever led meanwhile', async (t) => {
  const world = await startWorld(15);
  world.putInputs('in/', 400);
  const { id } = await world.clock.runUntil(world.client.submitJob(SPEC));
  let before = 0;
  for (let turn = 1; turn <= 6; turn += 1) {
    await world.clock.advanceSettled(150);
    world.depose();
    await world.clock.advanceSettled(60);
    world.elect(`n${1 + (turn % 3)}`);
    const [now] = await world.client.stats(id);
    t.ok(Number(now?.queriesDone) >= before, 'no leader counts anew');
    t.equal(now?.queriesDone, 4 * Number(now?.tasksDone));
    before = Number(now?.queriesDone);
  }
  await world.until('the end', () => world.store.get(jobs, [id])?.state === 'succeeded');
  const [last] = await world.client.stats(id);
  t.match(last, { queriesDone: 400, tasksDone: 100 });
  const times: number[] = [];
  for (let from = 0; from < 400; from += 4) {
    times.push((world.store.get(tasks, [id, from])?.micros ?? 0) / 1e6);
  }
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  const squares = times.reduce((sum, time) => sum + (time - mean) ** 2, 0);
  t.ok(Math.abs(Number(last?.meanSeconds) - mean) < 1e-9, 'the mean of all 100 tasks');
  t.ok(Math.abs(Number(last?.stdSeconds) - Math.sqrt(squares / 99)) < 1e-9);
  await world.stop();
});
