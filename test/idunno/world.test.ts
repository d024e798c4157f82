/** Workers, coordinators and clients together, on a virtual clock. */
import t, { type Test } from 'tap';
import { must } from '../../src/base/index.js';
import type { ResultLine } from '../../src/idunno/index.js';
import { jobs, leases, totals } from '../../src/idunno/tables.js';
import { type FakeEngine, World, type WorldOptions } from './world.js';

async function startWorld(options: WorldOptions = {}, nodes = 3): Promise<World> {
  const world = new World(options);
  for (let at = 1; at <= nodes; at += 1) await world.addNode(`n${at}`);
  world.elect('n1');
  return world;
}

async function collect(lines: AsyncIterable<ResultLine>): Promise<ResultLine[]> {
  const all: ResultLine[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

t.test('a deployed model, a job, and every query has its result in order', async (t) => {
  const world = await startWorld();
  const model = await world.deploy('digits');
  t.match(model, { name: 'digits', revision: 1, state: 'Deployed' });
  t.same(
    model.workers.map(({ state }) => state),
    ['warm', 'warm', 'warm'],
  );
  world.putInputs('in/', 25);
  const { client, clock } = world;
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 4, repeat: 2 };
  const job = await clock.runUntil(client.submitJob(spec));
  t.match(job, { state: 'queued', items: 25, queries: 50, label: 'in/' });
  await world.until('the end', () => world.store.get(jobs, [job.id])?.state === 'succeeded');
  const lines = await collect(client.results(job.id));
  t.equal(lines.length, 50);
  for (const [at, line] of lines.entries()) {
    t.match(line, { item: at % 25, repetition: Math.floor(at / 25) });
    t.equal(line.top?.[0]?.label, `in/${String(at % 25).padStart(4, '0')}.png`);
  }
  t.match(await client.verify(job.id), { ok: true, queries: 50, accepted: 50, hashesChecked: 13 });
  await world.until('compaction', () => world.store.get(totals, [0])?.inlineBytes === 0);
  t.equal(world.files.get('results/1/segment-000001.jsonl')?.versions.length, 1);
  t.same(await collect(client.results(job.id)), lines, 'the same from the segment');
  t.match(await client.verify(job.id), { ok: true, hashesChecked: 13 });
  const file = await client.resultFile(job.id, 4);
  t.equal(Buffer.from(file).toString().trimEnd().split('\n').length, 4);
  await t.rejects(client.resultFile(job.id, 5), { code: 'FILE_NOT_FOUND' });
  await world.stop();
});

t.test('a model that cannot be loaded anywhere is refused, and jobs of it too', async (t) => {
  const world = await startWorld();
  for (const engine of world.engines.values()) engine.refuses.set('digits', 'wrong shape');
  await t.rejects(world.deploy('digits'), {
    code: 'MODEL_LOAD_FAILED',
    message: /revision 1, cannot be loaded \(said by n1\): wrong shape/,
  });
  world.putInputs('in/', 3);
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 1 };
  await t.rejects(world.client.submitJob(spec), { code: 'MODEL_UNDEPLOYED' });
  const nobody = { ...spec, model: 'nobody' };
  await t.rejects(world.client.submitJob(nobody), { code: 'MODEL_NOT_FOUND' });
  await world.stop();
});

t.test('a job on inputs that match nothing is refused with NO_INPUT', async (t) => {
  const world = await startWorld();
  await world.deploy('digits');
  const spec = { model: 'digits', inputs: { prefix: 'nowhere/' }, batchSize: 1 };
  await t.rejects(world.client.submitJob(spec), { code: 'NO_INPUT', message: /nowhere/ });
  await world.stop();
});

t.test('a worker that comes later is given the deployed models and takes part', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  const job = await startJob(world, 300);
  await world.addNode('n4');
  await world.until('its first tasks', () => engineOf(world, 'n4').computed > 0);
  await finish(t, world, job);
});

t.test(
  'the leader is lost: workers go on, report to the next, and nothing is done twice',
  async (t) => {
    const world = await startWorld({ itemMs: () => 20 });
    const job = await startJob(world, 300);
    await world.until('some results', () => doneOf(world, job) >= 40);
    world.depose();
    const before = computedOf(world);
    await world.clock.advanceSettled(400);
    t.equal(computedOf(world) - before > 0, true, 'they compute what they hold');
    world.elect('n2');
    await finish(t, world, job);
    t.equal(computedOf(world), 300, 'each query was computed once');
  },
);

t.test('leaders come and go while a job runs', async (t) => {
  const world = await startWorld({ itemMs: () => 15 });
  const job = await startJob(world, 400);
  for (let turn = 0; turn < 12; turn += 1) {
    await world.clock.advanceSettled(90);
    world.depose();
    await world.clock.advanceSettled(turn % 3 === 0 ? 0 : 70);
    world.elect(`n${1 + ((turn + 1) % 3)}`);
  }
  await finish(t, world, job);
});

t.test('a worker dies: its tasks are leased to others as soon as Raft has decided', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  const job = await startJob(world, 200);
  await world.until('some results', () => doneOf(world, job) >= 30);
  await world.kill('n3');
  await world.clock.advanceSettled(300);
  world.mark('n3', 'down');
  await finish(t, world, job);
});

t.test('a worker that restarts gets the model and work again', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  const job = await startJob(world, 300);
  await world.until('some results', () => doneOf(world, job) >= 30);
  await world.kill('n3');
  await world.addNode('n3', 2);
  await world.until('it works again', () => engineOf(world, 'n3').computed > 0);
  await finish(t, world, job);
});

t.test('an input that kills its host fails alone, and the job goes on', async (t) => {
  const world = await startWorld({ poison: new Set(['in/0013.png']) });
  const job = await startJob(world, 40, { batchSize: 8 });
  await world.until('the end', () => stateOf(world, job) === 'succeeded-with-errors');
  const bad = (await collect(world.client.results(job))).filter((line) => line.error !== undefined);
  t.equal(bad.length, 1);
  t.match(bad[0], { item: 13, input: 'in/0013.png', error: /SIGSEGV/ });
  t.match(await world.client.verify(job), { ok: true, accepted: 40, failedItems: 1 });
  const failures = [];
  for await (const failure of world.client.failures(job)) failures.push(failure);
  t.match(failures, [{ task: 13, count: 1, named: [{ query: 13, reason: /SIGSEGV/ }] }]);
  await world.stop();
});

t.test(
  'an input whose bytes are gone fails alone; one that is away for a while is waited for',
  async (t) => {
    const world = await startWorld();
    await world.deploy('digits');
    world.putInputs('in/', 20);
    const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 4 };
    world.unreadable.add('in/0003.png');
    const { id } = await world.clock.runUntil(world.client.submitJob(spec));
    world.files.delete('in/0007.png');
    await world.clock.advanceSettled(200);
    world.unreadable.clear();
    await world.until('the end', () => stateOf(world, id) === 'succeeded-with-errors');
    const bad = (await collect(world.client.results(id))).filter(
      (line) => line.error !== undefined,
    );
    t.same(
      bad.map(({ item }) => item),
      [7],
    );
    await world.stop();
  },
);

t.test('a paused job stops within a task, and goes on where it was', async (t) => {
  const world = await startWorld({ itemMs: () => 10 });
  const job = await startJob(world, 300);
  await world.until('some results', () => doneOf(world, job) >= 40);
  await world.clock.runUntil(world.client.pause(job));
  await world.clock.advanceSettled(500);
  const done = doneOf(world, job);
  await world.clock.advanceSettled(2_000);
  t.equal(doneOf(world, job), done);
  t.match(await world.client.job(job), { state: 'paused', tasksWaiting: 0 });
  await world.clock.runUntil(world.client.resume(job));
  await finish(t, world, job);
  t.equal(computedOf(world), 300);
});

t.test('a second job has its first result within one task time and a moment', async (t) => {
  const world = await startWorld({ itemMs: () => 50 });
  await startJob(world, 400, { batchSize: 10 });
  await world.clock.advanceSettled(1_700);
  const startMs = world.clock.now();
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 1 };
  const { id } = await world.clock.runUntil(world.client.submitJob(spec));
  await world.until('a result', () => doneOf(world, id) > 0);
  const tookMs = world.clock.now() - startMs;
  t.ok(tookMs <= 500 + 100, `one task of the other job takes 500 ms; it took ${tookMs}`);
  await world.stop();
});

t.test('two jobs of different cost run at equal rates', async (t) => {
  const world = await startWorld({ itemMs: (model) => (model === 'digits' ? 18 : 6) });
  await world.deploy('digits');
  await world.deploy('flowers');
  world.putInputs('in/', 4_000);
  const spec = { inputs: { prefix: 'in/' }, batchSize: 10, repeat: 10 };
  const { client, clock } = world;
  await clock.runUntil(client.submitJob({ ...spec, model: 'digits' }));
  await clock.advanceSettled(3_000);
  await clock.runUntil(client.submitJob({ ...spec, model: 'flowers' }));
  await clock.advanceSettled(12_000);
  const gaps: number[] = [];
  for (let look = 0; look < 24; look += 1) {
    await clock.advanceSettled(500);
    const { gap, jobs: rates } = await client.fairness();
    t.equal(rates.length, 2);
    gaps.push(gap ?? 1);
  }
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  t.ok(mean <= 0.04, `mean gap ${mean}`);
  t.ok(Math.max(...gaps) <= 0.1, `largest gap ${Math.max(...gaps)}`);
  const [first, second] = await client.stats();
  t.ok((first?.itemsPerSecond10 ?? 0) > 50);
  t.ok(Math.abs((first?.meanSeconds ?? 0) / (second?.meanSeconds ?? 1) - 3) < 0.1, 'cost 3 : 1');
  await world.stop();
});

t.test('a slow worker at the end is helped out by an idle one', async (t) => {
  const world = await startWorld({ itemMs: (_, node) => (node === 'n3' ? 2_000 : 10) });
  const job = await startJob(world, 60, { batchSize: 5 });
  const startMs = world.clock.now();
  await finish(t, world, job);
  t.ok(
    world.clock.now() - startMs < 8_000,
    'the slow one alone would need 10 s for its first task',
  );
});

t.test('tasks of a suspected worker are computed elsewhere too, before the verdict', async (t) => {
  const world = await startWorld({ itemMs: (_, node) => (node === 'n3' ? 60_000 : 10) });
  const job = await startJob(world, 30);
  await world.until('n3 to have a task', () => leasesOf(world, 'n3').length > 0);
  world.say('n3', 'suspicious');
  await finish(t, world, job);
  t.equal(engineOf(world, 'n3').computed, 0);
});

t.test(
  'leases of a worker that is cut off run out, and its late results count if first',
  async (t) => {
    const world = await startWorld({ itemMs: () => 20 }, 2);
    // Half a minute of work for the other one, who has no time for copies of what n2 holds.
    const job = await startJob(world, 1_500, { batchSize: 20 });
    await world.until('some results', () => doneOf(world, job) >= 40);
    world.cutOff.add('n2');
    await world.until('n2 to be without leases', () => leasesOf(world, 'n2').length === 0, 15_000);
    t.ok(doneOf(world, job) < 1_200, 'they ended by themselves, not with the job');
    world.cutOff.delete('n2');
    await finish(t, world, job);
  },
);

t.test('two slots compute two tasks at once', async (t) => {
  const world = await startWorld({ itemMs: () => 20, slots: 2 }, 1);
  const job = await startJob(world, 100);
  const startMs = world.clock.now();
  await finish(t, world, job);
  const tookMs = world.clock.now() - startMs;
  t.ok(tookMs < 1_200, `2,000 ms of work in two slots took ${tookMs} ms`);
});

t.test('a new revision takes over whole, and running jobs keep theirs', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  const job = await startJob(world, 300);
  await world.until('some results', () => doneOf(world, job) >= 30);
  t.match(await world.deploy('digits'), { revision: 2, state: 'Deployed' });
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 50 };
  t.match(await world.clock.runUntil(world.client.submitJob(spec)), { revision: 2 });
  await finish(t, world, job);
});

t.test(
  'a worker calls about twice for each task, and hardly when there is nothing to do',
  async (t) => {
    const world = await startWorld({ itemMs: () => 20 }, 1);
    const job = await startJob(world, 300);
    await finish(t, world, job, { isLast: false });
    const calls = world.calls.get('n1') ?? 0;
    t.ok(calls < 60 * 2 + 20, `60 tasks took ${calls} calls`);
    await world.clock.advanceSettled(60_000);
    const idle = (world.calls.get('n1') ?? 0) - calls;
    t.ok(idle <= 20, `a minute without work took ${idle} calls`);
    await world.stop();
  },
);

t.test(
  'a worker whose running task is not its lease any more does not call without end',
  async (t) => {
    const world = await startWorld({ itemMs: () => 500 });
    const job = await startJob(world, 300, { batchSize: 20 });
    await world.until('leases', () => leasesOf(world, 'n2').length > 0);
    await world.clock.runUntil(world.client.pause(job));
    const before = world.calls.get('n2') ?? 0;
    await world.clock.advanceSettled(5_000);
    t.ok((world.calls.get('n2') ?? 0) - before <= 10);
    await world.stop();
  },
);

t.test('a draining worker finishes what it has begun and takes no more', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  const job = await startJob(world, 300);
  await world.until('some results', () => doneOf(world, job) >= 30);
  await world.clock.runUntil(world.node('n3').drain(10_000));
  const computed = engineOf(world, 'n3').computed;
  await finish(t, world, job);
  t.equal(engineOf(world, 'n3').computed, computed);
  t.equal(computedOf(world), 300);
});

async function startJob(world: World, count: number, spec: { batchSize?: number } = {}) {
  await world.deploy('digits');
  world.putInputs('in/', count);
  const whole = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 5, ...spec };
  return (await world.clock.runUntil(world.client.submitJob(whole))).id;
}

/** Runs to the end: every query has one result, and the proof holds. */
async function finish(t: Test, world: World, job: number, { isLast = true } = {}): Promise<void> {
  await world.until('the end', () => stateOf(world, job) === 'succeeded');
  t.match(await world.client.verify(job), { ok: true, missing: 0, duplicated: 0, problems: [] });
  if (isLast) await world.stop();
}

function stateOf(world: World, job: number) {
  return world.store.get(jobs, [job])?.state;
}

function doneOf(world: World, job: number): number {
  return world.store.get(jobs, [job])?.done ?? 0;
}

function leasesOf(world: World, node: string) {
  return world.store.rows(leases).filter(([, lease]) => lease.node === node);
}

function engineOf(world: World, node: string): FakeEngine {
  return must(world.engines.get(node), node);
}

function computedOf(world: World): number {
  return [...world.engines.values()].reduce((sum, engine) => sum + engine.computed, 0);
}
