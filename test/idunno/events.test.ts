/** Which events the log gets for what happens to models, jobs and tasks. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { eventsOf, type StateEvent } from '../../src/idunno/events.js';
import { createCommandWorld, doneOf } from './command-world.js';

function readyWorld() {
  const world = createCommandWorld();
  world.addNode('a');
  world.addNode('b');
  world.addModel('digits', ['a', 'b']);
  const lastEvents = (withTasks = true): StateEvent[] => [
    ...eventsOf(world.store.changes, { withTasks }),
  ];
  return { ...world, lastEvents };
}

function namesOf(events: readonly StateEvent[]): string[] {
  return events.map(({ event }) => event);
}

t.test('a job is told from its submission to its end', async (t) => {
  const { addJob, work, lastEvents, store } = readyWorld();
  const job = addJob({ items: 2, batch: 1, owner: 'ann', label: 'two' });
  t.match(lastEvents(), [
    {
      event: 'job.submitted',
      fields: { job, model: 'digits', queries: 2, batch: 1, owner: 'ann' },
    },
  ]);
  const first = work({ node: 'a', want: 2 });
  t.match(lastEvents(false), [{ event: 'job.change', fields: { before: 'queued' } }]);
  const [one, two] = first.grants.map((grant) => doneOf(grant));
  work({ node: 'a', done: [must(one, 'a grant')] });
  t.same(namesOf(lastEvents()), ['job.first-result', 'task.done']);
  const { fields } = must(lastEvents()[0], 'the first result');
  t.equal(fields['atMs'], store.nowMs);
  store.apply('idunno.job.set-batch-size', [job, 5]);
  t.match(lastEvents(), [{ event: 'job.batch-size', fields: { job, before: 1, after: 5 } }]);
  work({ node: 'a', done: [must(two, 'another')] });
  const end = lastEvents()[0];
  t.match(end, { event: 'job.change', fields: { before: 'running', after: 'succeeded', done: 2 } });
  t.equal(end?.fields['atMs'], store.nowMs);
});

t.test('a task is told when it is leased, and when its result counts', async (t) => {
  const { addJob, work, lastEvents, store } = readyWorld();
  const job = addJob({ items: 10, batch: 4 });
  const { grants } = work({ node: 'a', want: 1 });
  const leasedMs = store.nowMs;
  t.match(lastEvents().at(-1), {
    event: 'task.leased',
    fields: { job, task: 0, queries: 4, attempt: 1, worker: 'a', atMs: leasedMs },
  });
  work({ node: 'a', done: [doneOf(must(grants[0], 'a grant'))] });
  t.match(lastEvents().at(-1), {
    event: 'task.done',
    fields: { job, task: 0, queries: 4, worker: 'a', ms: 1, leasedMs, attempt: 1 },
  });
  t.same(namesOf(lastEvents(false)), ['job.first-result'], 'without tasks, where nobody asks');
});

t.test(
  'a lease that is taken away is told, and a late result does not know its lease',
  async (t) => {
    const { addJob, work, lastEvents, store } = readyWorld();
    const job = addJob({ items: 4, batch: 4 });
    const { grants } = work({ node: 'a', want: 1 });
    const grant = must(grants[0], 'a grant');
    const leasedMs = store.nowMs;
    store.apply('idunno.lease.release', [[[job, 0, 1]], 'expired']);
    t.match(lastEvents().at(-1), {
      event: 'task.released',
      fields: { job, task: 0, attempt: 1, worker: 'a', leasedMs },
    });
    work({ node: 'a', done: [doneOf(grant)] });
    const done = lastEvents().find(({ event }) => event === 'task.done');
    t.match(done, { fields: { worker: 'a', leasedMs: null, attempt: null } });
  },
);

t.test('of two workers at one task only the one whose result counts is told as done', async (t) => {
  const { addJob, work, lastEvents } = readyWorld();
  const job = addJob({ items: 4, batch: 4 });
  work({ node: 'a', want: 1 });
  const second = work({ node: 'b', want: 1 }, [[job, 0]]);
  work({ node: 'b', done: [doneOf(must(second.grants[0], 'a hedge'))] });
  const done = lastEvents().filter(({ event }) => event.startsWith('task.'));
  t.match(done, [{ event: 'task.done', fields: { worker: 'b', attempt: 2 } }]);
});

t.test('a compacted result is no second completion', async (t) => {
  const { addJob, work, lastEvents, store } = readyWorld();
  const job = addJob({ items: 1, batch: 1 });
  const { grants } = work({ node: 'a', want: 1 });
  const done = doneOf(must(grants[0], 'a grant'));
  work({ node: 'a', done: [done] });
  store.apply('idunno.results.compacted', [
    job,
    0,
    'results/1/segment-1.jsonl',
    1,
    done.bytes,
    [[0, 0, done.bytes]],
  ]);
  t.ok(store.changes.length > 0);
  t.same(lastEvents(), []);
});

t.test('a model is told from its deployment until it serves, worker by worker', async (t) => {
  const { addNode, addModel, store, lastEvents } = createModelWorld();
  addNode('a');
  const revision = addModel('flowers', ['a']);
  t.match(lastEvents(), [
    { event: 'model.worker', fields: { model: 'flowers', revision, worker: 'a', after: 'warm' } },
    {
      event: 'model.change',
      fields: { model: 'flowers', before: 'Undeployed', after: 'Deployed' },
    },
  ]);
  t.ok(store.appliedIndex > 0);
});

function createModelWorld() {
  const world = createCommandWorld();
  return { ...world, lastEvents: () => eventsOf(world.store.changes, { withTasks: true }) };
}
