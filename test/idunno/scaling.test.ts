/** The scaling rule as a table of situations, then its settings, then workers that live by it. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { ASSIGNMENTS_INDEX, COPIES_INDEX } from '../../src/idunno/indexes.js';
import { jobs } from '../../src/idunno/tables.js';
import {
  lagPercent,
  planScaling,
  rateOf,
  type ScalingInput,
  type ScalingModel,
  type ScalingWorker,
} from '../../src/idunno/scaling.js';
import { checkSetting, readScaling } from '../../src/idunno/scaling-settings.js';
import { World } from './world.js';

const WORKERS = ['n1', 'n2', 'n3', 'n4'];

function model(name: string, parts: Partial<ScalingModel> = {}): ScalingModel {
  return {
    key: `${name}@1`,
    name,
    revision: 1,
    jobs: [1],
    weight: 1,
    items: 100,
    tasks: 25,
    isBusy: true,
    idleMs: 0,
    floor: 1,
    warm: WORKERS,
    coming: [],
    failed: [],
    copies: new Set(),
    ...parts,
  };
}

function input(
  models: readonly ScalingModel[],
  parts: Partial<ScalingInput> & { idle?: readonly string[] } = {},
): ScalingInput {
  const { idle = [], ...rest } = parts;
  const workers: ScalingWorker[] = WORKERS.map((name) => ({
    name,
    models: models
      .filter(({ warm, coming, failed }) => [...warm, ...coming, ...failed].includes(name))
      .map(({ key }) => key),
    idleMs: idle.includes(name) ? 5_000 : 0,
  }));
  return {
    models,
    workers,
    windowMs: 10_000,
    thresholdPercent: 20,
    modelsPerWorker: 8,
    idleMinutes: 10,
    ...rest,
  };
}

/** `a +n2 +n3 -n1` for each step. */
function decided(given: ScalingInput): string[] {
  return planScaling(given).map(({ model: { name }, added, removed, evicted }) =>
    [
      name,
      ...added.map((node) => `+${node}`),
      ...removed.map((node) => `-${node}`),
      ...evicted.map(([victim, node]) => `(${victim.name} -${node})`),
    ].join(' '),
  );
}

t.test('a lag above the threshold adds one worker, one with the files first', async (t) => {
  const fast = model('fast');
  const slow = model('slow', { items: 79, warm: ['n1'], copies: new Set(['n3']) });
  t.same(decided(input([fast, slow])), ['slow +n3']);
  t.match(planScaling(input([fast, slow]))[0]?.reason, /7\.9 queries\/s, 21 % below fast at 10\.0/);
  t.match(planScaling(input([fast, slow]))[0]?.reason, /from 1 to 2 of 4 workers/);
  const near = model('slow', { items: 80, warm: ['n1'] });
  t.same(decided(input([fast, near])), [], '20 % is not more than 20 %');
  t.same(decided(input([fast, near], { thresholdPercent: 10 })), ['slow +n2']);
  t.same(decided(input([fast, slow], { thresholdPercent: undefined })), [], 'off');
});

t.test('below half the rate a model gets as many workers as it has', async (t) => {
  const fast = model('fast', { items: 300 });
  t.same(decided(input([fast, model('slow', { warm: ['n1', 'n2'] })])), ['slow +n3 +n4']);
});

t.test('rates are compared by weight, and only when they tell something', async (t) => {
  const heavy = model('heavy', { items: 200, weight: 2 });
  const light = model('light', { warm: ['n1'] });
  t.same(decided(input([heavy, light])), []);
  const fast = model('fast', { items: 300, tasks: 14 });
  const early = { windowMs: 3_000 };
  t.same(decided(input([fast, model('slow', { warm: ['n1'], tasks: 3 })], early)), []);
  const more = { ...fast, tasks: 15 };
  t.same(decided(input([more, model('slow', { warm: ['n1'], tasks: 3 })], early)), ['slow +n2']);
  t.equal(rateOf(model('a'), 0), 0);
  t.equal(lagPercent(0, 0), 0);
});

t.test('while a model is being loaded for a reason the next step waits', async (t) => {
  const slow = model('slow', { items: 10, warm: ['n1'], coming: ['n2'] });
  t.same(decided(input([model('fast'), slow])), []);
});

t.test(
  'the slowest that is warm everywhere does not keep the next from being helped',
  async (t) => {
    const models = [
      model('fast'),
      model('stuck', { items: 10 }),
      model('slow', { items: 50, warm: ['n2'] }),
    ];
    t.same(decided(input(models)), ['slow +n1']);
  },
);

t.test(
  'a model with work that is warm nowhere gets a worker, also with the rule off',
  async (t) => {
    const lost = model('lost', { warm: [], failed: ['n1'], items: 0 });
    t.same(decided(input([lost])), ['lost +n2']);
    t.same(decided(input([lost], { thresholdPercent: undefined })), ['lost +n2']);
    t.same(decided(input([{ ...lost, jobs: [] }])), []);
  },
);

t.test('workers without work are given a model that has some', async (t) => {
  const busy = model('busy', { warm: ['n1'] });
  t.same(decided(input([busy])), []);
  t.same(decided(input([busy], { idle: ['n3', 'n4'] })), ['busy +n3'], 'as many as it has');
  t.same(decided(input([{ ...busy, jobs: [] }], { idle: ['n3'] })), []);
});

t.test(
  'a worker without room gives up a model without jobs, if it is warm elsewhere',
  async (t) => {
    const fast = model('fast');
    const slow = model('slow', { items: 50, warm: ['n1'] });
    const idle = model('idle', { jobs: [], weight: 0, isBusy: false, warm: ['n2', 'n3', 'n4'] });
    const full = { modelsPerWorker: 2 };
    t.same(decided(input([fast, slow, idle], full)), ['slow +n2 (idle -n2)']);
    const last = model('idle', { jobs: [], isBusy: false, warm: ['n2'] });
    t.same(decided(input([fast, slow, last], { modelsPerWorker: 1 })), []);
  },
);

t.test('a model without jobs for long keeps its floor', async (t) => {
  const idle = model('idle', { jobs: [], isBusy: false, floor: 2, idleMs: 600_000 });
  t.same(decided(input([idle])), ['idle -n3 -n4']);
  t.same(decided(input([{ ...idle, idleMs: 599_999 }])), []);
});

t.test('settings: what is not understood is refused, and read as not set', async (t) => {
  checkSetting('anything', 'x');
  checkSetting('scaling.threshold-percent', '10');
  checkSetting('scaling.threshold-percent', 'off');
  for (const [key, value, message] of [
    ['scaling.threshold-percent', '0', /whole number from 1 to 100, or off, not "0"/],
    ['scaling.threshold-percent', 'x', /not "x"/],
    ['scaling.models-per-worker', 'off', /from 1 to 64, not "off"/],
    ['scaling.treshold-percent', '5', /did you mean scaling.threshold-percent/],
  ] as const) {
    t.throws(() => checkSetting(key, value), { code: 'BAD_ARGUMENT', message });
  }
  const world = new World();
  t.same(readScaling(world.store.view()), {
    thresholdPercent: 20,
    modelsPerWorker: 8,
    idleMinutes: 10,
  });
  world.apply('settings.put', ['scaling.threshold-percent', '10']);
  world.apply('settings.put', ['scaling.models-per-worker', 'many']);
  t.match(readScaling(world.store.view()), { thresholdPercent: 10, modelsPerWorker: 8 });
});

t.test('a model on one worker: others have its files and do not run it', async (t) => {
  const world = await startWorld();
  const info = await world.deploy('digits', ['n2']);
  t.same(
    info.workers.map(({ node, state }) => `${node} ${state}`),
    ['n2 warm'],
  );
  await world.until('the files everywhere', () => copiesOf(world) === 4);
  const [model] = await world.client.models();
  t.same(
    model?.others.map(({ node, state }) => `${node} ${state}`),
    ['n1 prefetched', 'n3 prefetched', 'n4 prefetched'],
  );
  t.equal(must(world.engines.get('n3'), 'n3').acquire('digits', 1), undefined);
  await t.rejects(world.deploy('digits', ['n9']), { code: 'NODE_NOT_FOUND', message: /n9/ });
  await world.clock.runUntil(world.client.remove('digits'));
  await world.until('no files anywhere', () => copiesOf(world) === 0);
  t.same(await world.client.models(), []);
  const again = await world.deploy('digits', 2);
  t.match(again, { revision: 2, workers: [{ state: 'warm' }, { state: 'warm' }] });
  await world.stop();
});

t.test('the rule adds workers for a model that lags, and says why', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  await world.deploy('fast', 'all');
  await world.deploy('slow', ['n2']);
  world.putInputs('in/', 100);
  const submit = (model: string) =>
    world.clock.runUntil(
      world.client.submitJob({ model, inputs: { prefix: 'in/' }, batchSize: 2, repeat: 1_000 }),
    );
  await submit('fast');
  const slow = await submit('slow');
  await world.until('a decision', () => warmOf(world, 'slow') > 1);
  await world.clock.advanceSettled(25_000);
  const found = await world.client.explain(slow.id);
  t.ok(must(found.gap, 'a gap') < 0.2, `gap ${found.gap}`);
  t.match(found.decisions[0]?.reason, /% below fast at .* more than 20 %: from \d to \d of 4/);
  t.match(found.why[0], /slow is warm on \d of 4 workers|all 4 workers/);
  world.depose();
  world.elect('n3');
  t.same((await world.client.explain(slow.id)).decisions, found.decisions, 'under any leader');
  await world.stop();
});

t.test('a job whose model no worker can load any more ends, and says why', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  await world.deploy('digits', ['n2']);
  world.putInputs('in/', 50);
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 2, repeat: 100 };
  const { id } = await world.clock.runUntil(world.client.submitJob(spec));
  await world.until('its first tasks', () => must(world.engines.get('n2'), 'n2').computed > 0);
  for (const engine of world.engines.values()) engine.refuses.set('digits', 'no memory left');
  world.mark('n2', 'down');
  const failed = (): number => statesOf(world, 'digits').filter((s) => s === 'failed').length;
  await world.until('failures on all that are left', () => failed() === 3);
  await world.clock.advanceSettled(50_000);
  t.equal(world.store.get(jobs, [id])?.state, 'running', 'n2 might come back');
  await world.clock.advanceSettled(15_000);
  t.match(world.store.get(jobs, [id]), {
    state: 'failed',
    reason: /^no worker could load digits; n\d: no memory left$/,
  });
  t.equal(world.apply('idunno.job.give-up', [id, 'again']), 'failed', 'once is enough');
  await world.stop();
});

t.test('a job is not given up while a worker has its model, or is loading it', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  await world.deploy('digits', ['n2']);
  world.putInputs('in/', 50);
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 2, repeat: 100 };
  const { id } = await world.clock.runUntil(world.client.submitJob(spec));
  t.not(world.apply('idunno.job.give-up', [id, 'too early']), 'failed');
  t.equal(world.apply('idunno.job.give-up', [99, 'nobody']), null);
  await world.stop();
});

t.test('a worker that was cut off long enough to be given up works again', async (t) => {
  const world = await startWorld({ itemMs: () => 20 });
  await world.deploy('digits', 'all');
  world.putInputs('in/', 50);
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 2, repeat: 100 };
  await world.clock.runUntil(world.client.submitJob(spec));
  const engine = must(world.engines.get('n4'), 'n4');
  await world.until('its first tasks', () => engine.computed > 0);
  world.cutOff.add('n4');
  world.mark('n4', 'down');
  await world.clock.advanceSettled(8_000);
  world.cutOff.delete('n4');
  world.mark('n4', 'up');
  const before = engine.computed;
  await world.until('more tasks', () => engine.computed > before + 10);
  t.equal(world.store.get(jobs, [1])?.state, 'running');
  await world.stop();
});

async function startWorld(options = {}): Promise<World> {
  const world = new World(options);
  for (const name of WORKERS) await world.addNode(name);
  world.elect('n1');
  return world;
}

function copiesOf(world: World): number {
  return world.store.view().index(COPIES_INDEX).get('digits@1')?.size ?? 0;
}

function statesOf(world: World, name: string): string[] {
  const rows = world.store.view().index(ASSIGNMENTS_INDEX).byModel.get(`${name}@1`);
  return [...(rows?.values() ?? [])].map(({ state }) => state);
}

function warmOf(world: World, name: string): number {
  return statesOf(world, name).filter((state) => state === 'warm').length;
}
