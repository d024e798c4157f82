/** What jobs and models may do and what is refused, command by command. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { INLINE_TOTAL_BYTES_MAX } from '../../src/idunno/limits.js';
import { writeReport } from '../../src/idunno/protocol.js';
import {
  jobs,
  leases,
  models,
  NO_TOTALS,
  revisions,
  tasks,
  totals,
} from '../../src/idunno/tables.js';
import type { Command, StoreModule } from '../../src/store/index.js';
import { createCommandWorld, doneOf, EMPTY_REPORT } from './command-world.js';

t.test('a job of an unknown model is refused with MODEL_NOT_FOUND', async (t) => {
  const { store } = createCommandWorld();
  const error = store.refusal('idunno.job.create', [{ model: 'nobody', items: 1 }]);
  t.equal(error.code, 'MODEL_NOT_FOUND');
  t.match(error.message, /nobody/);
});

t.test(
  'a job of a model that is still being loaded is refused with MODEL_UNDEPLOYED',
  async (t) => {
    const { store } = createCommandWorld();
    store.apply('idunno.model.deploy', ['digits', '', [['models/digits/m', 1, 1]]]);
    const error = store.refusal('idunno.job.create', [{ model: 'digits', items: 1 }]);
    t.equal(error.code, 'MODEL_UNDEPLOYED');
  },
);

t.test('a job without inputs is refused with NO_INPUT', async (t) => {
  const world = readyWorld();
  const error = world.store.refusal('idunno.job.create', [{ model: 'digits', items: 0 }]);
  t.equal(error.code, 'NO_INPUT');
});

t.test('a job that does not exist is refused by every command about it', async (t) => {
  const { store } = readyWorld();
  for (const verb of ['pause', 'resume', 'cancel']) {
    t.equal(store.refusal(`idunno.job.${verb}`, [77]).code, 'JOB_NOT_FOUND', verb);
  }
  t.equal(store.refusal('idunno.job.set-batch-size', [77, 5]).code, 'JOB_NOT_FOUND');
  await t.rejects(store.query('idunno.job', [77]), { code: 'JOB_NOT_FOUND' });
});

t.test('batch size, weight and repeat of 0 are refused', async (t) => {
  const { store } = readyWorld();
  const spec = {
    model: 'digits',
    manifest: 'm',
    manifestVersion: 1,
    items: 5,
    batch: 1,
    weight: 1,
    repeat: 1,
  };
  for (const key of ['batch', 'weight', 'repeat']) {
    const error = store.refusal('idunno.job.create', [{ ...spec, [key]: 0 }]);
    t.equal(error.code, 'BAD_ARGUMENT', key);
  }
});

t.test('a job of a million queries is one row', async (t) => {
  const world = readyWorld();
  world.addJob({ items: 1_000_000 });
  t.equal(world.store.rows(jobs).length, 1);
  t.equal(world.store.rows(tasks).length, 0);
});

t.test('a worker that finishes every task ends the job as succeeded', async (t) => {
  const world = readyWorld();
  const id = world.addJob({ items: 25, batch: 10, repeat: 2 });
  let { grants } = world.work({ node: 'n1', want: 1 });
  const ranges: string[] = [];
  while (grants.length > 0) {
    const grant = grants[0];
    if (grant === undefined) break;
    ranges.push(`${grant.from}-${grant.to}`);
    const answer = world.work({ node: 'n1', want: 1, done: [doneOf(grant)] });
    t.equal(answer.acks[0]?.verdict, 'accepted');
    grants = [...answer.grants];
  }
  t.same(ranges, ['0-10', '10-20', '20-30', '30-40', '40-50']);
  const job = world.store.get(jobs, [id]);
  t.equal(job?.state, 'succeeded');
  t.equal(job?.done, 50);
  t.equal(world.store.rows(leases).length, 0);
});

t.test('a completion that is reported twice is answered "already" and counts once', async (t) => {
  const world = readyWorld();
  const id = world.addJob();
  const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
  t.equal(world.work({ node: 'n1', done: [doneOf(grant)] }).acks[0]?.verdict, 'accepted');
  t.equal(world.work({ node: 'n1', done: [doneOf(grant)] }).acks[0]?.verdict, 'already');
  t.equal(world.store.get(jobs, [id])?.done, 10);
});

t.test('a late attempt whose lease was revoked still counts, once', async (t) => {
  const world = readyWorld();
  const id = world.addJob();
  const late = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
  world.store.apply('idunno.node.lost', ['n1', 1, 'lost']);
  const again = must(world.work({ node: 'n2', want: 1 }).grants[0], 'a lease');
  t.equal(again.from, late.from);
  t.equal(again.attempt, 2);
  t.equal(world.work({ node: 'n1', done: [doneOf(late)] }).acks[0]?.verdict, 'accepted');
  t.equal(world.work({ node: 'n2', done: [doneOf(again)] }).acks[0]?.verdict, 'already');
  t.equal(world.store.get(jobs, [id])?.done, 10);
});

t.test('a lease whose answer was lost is delivered again', async (t) => {
  const world = readyWorld();
  world.addJob();
  const first = world.work({ node: 'n1', want: 1 }).grants;
  const second = world.work({ node: 'n1', want: 1 }).grants;
  t.same(second, first, 'the same lease, and no other beside it');
});

t.test(
  'a new batch size holds for the very next lease, also of a range that came back',
  async (t) => {
    const world = readyWorld();
    const id = world.addJob({ batch: 10 });
    const first = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
    world.store.apply('idunno.job.set-batch-size', [id, 4]);
    world.store.apply('idunno.node.lost', ['n1', 1, 'lost']);
    const [cut] = world.work({ node: 'n2', want: 1 }).grants;
    t.match(first, { from: 0, to: 10 });
    t.match(cut, { from: 0, to: 4 });
    const late = world.work({ node: 'n1', done: [doneOf(first)] });
    t.equal(late.acks[0]?.verdict, 'stale', 'the whole range is no task any more');
  },
);

t.test(
  'a paused job is leased to nobody, keeps late results, and goes on when resumed',
  async (t) => {
    const world = readyWorld();
    const id = world.addJob();
    const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
    world.store.apply('idunno.job.pause', [id]);
    t.equal(world.store.apply('idunno.job.sweep', [id]), 0);
    t.equal(world.store.rows(leases).length, 0);
    t.equal(world.work({ node: 'n2', want: 1 }).grants.length, 0);
    t.equal(world.work({ node: 'n1', done: [doneOf(grant)] }).acks[0]?.verdict, 'accepted');
    t.equal(world.store.apply('idunno.job.resume', [id]), 'running');
    t.match(world.work({ node: 'n2', want: 1 }).grants[0], { from: 10, to: 20 });
  },
);

t.test('a cancelled job takes no results and cannot be resumed', async (t) => {
  const world = readyWorld();
  const id = world.addJob();
  const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
  world.store.apply('idunno.job.cancel', [id]);
  t.equal(world.store.apply('idunno.job.cancel', [id]), 'cancelled', 'twice is no error');
  t.equal(world.work({ node: 'n1', done: [doneOf(grant)] }).acks[0]?.verdict, 'gone');
  t.equal(world.store.refusal('idunno.job.resume', [id]).code, 'JOB_STATE');
  t.equal(world.store.apply('idunno.job.sweep', [id]), 0);
  t.equal(world.store.get(jobs, [id])?.leases, 0);
});

t.test('a query that always kills its host is found by halving and dies alone', async (t) => {
  const world = readyWorld();
  const id = world.addJob({ items: 16, batch: 16 });
  const poison = 11;
  let crashes = 0;
  for (let turn = 0; turn < 100; turn += 1) {
    const [grant] = world.work({ node: 'n1', want: 1 }).grants;
    if (grant === undefined) break;
    const kills = grant.from <= poison && poison < grant.to;
    crashes += kills ? 1 : 0;
    const failed = {
      ...grant,
      kind: 'host',
      reason: 'killed by SIGSEGV',
      line: Buffer.alloc(0),
    } as const;
    world.work({ node: 'n1', ...(kills ? { failed: [failed] } : { done: [doneOf(grant)] }) });
  }
  const job = world.store.get(jobs, [id]);
  t.equal(job?.state, 'succeeded-with-errors');
  t.equal(job?.failed, 1);
  t.equal(crashes, 4 + 2, 'log2(16) halvings, then twice alone');
  const dead = world.store.get(tasks, [id, poison]);
  t.match(dead, { state: 'Dead', to: poison + 1 });
  const [failure] = (await world.store.query('idunno.job.failures', [id])) as [{ named: unknown }];
  t.match(failure.named, [[poison, 'n1: killed by SIGSEGV']]);
});

t.test('more failed items than the budget allows fail the job', async (t) => {
  const world = readyWorld();
  const id = world.addJob({ maxFailed: 2, batch: 5 });
  const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
  const named = [0, 1, 2].map((query) => [query, 'not an image'] as const);
  world.work({ node: 'n1', done: [{ ...doneOf(grant), failed: 3, named }] });
  const job = world.store.get(jobs, [id]);
  t.equal(job?.state, 'failed');
  t.match(job?.reason, /3 queries failed; at most 2/);
});

t.test('a node that is not up, or of another epoch, is given nothing', async (t) => {
  const world = readyWorld();
  world.addJob();
  world.store.apply('nodes.mark', [{ name: 'n1', epoch: 1, status: 'draining' }]);
  t.equal(world.work({ node: 'n1', want: 2 }).grants.length, 0);
  t.equal(world.work({ node: 'n2', epoch: 9, want: 2 }).grants.length, 0);
  t.equal(world.work({ node: 'stranger', want: 2 }).grants.length, 0);
  t.equal(world.work({ node: 'n2', want: 2 }).grants.length, 2);
});

t.test('a model is Deployed when every worker that was given it is warm', async (t) => {
  const world = createCommandWorld();
  world.addNode('n1');
  world.addNode('n2');
  world.store.apply('idunno.model.deploy', ['digits', 'x', [['m', 1, 1]]]);
  world.store.apply('idunno.model.assign', [
    [
      ['digits', 1, 'n1', 1],
      ['digits', 1, 'n2', 1],
    ],
    [],
  ]);
  const warm = { name: 'digits', revision: 1, state: 'warm', error: null } as const;
  world.work({ node: 'n1', models: [warm] });
  t.equal(world.store.get(models, ['digits'])?.serving, 0);
  world.store.apply('idunno.node.lost', ['n2', 1, 'lost']);
  t.equal(world.store.get(models, ['digits'])?.serving, 1, 'one that died is not waited for');
});

t.test(
  'a revision that no worker can load fails, and the one before goes on serving',
  async (t) => {
    const world = readyWorld();
    world.store.apply('idunno.model.deploy', ['digits', 'broken', [['m', 2, 1]]]);
    world.store.apply('idunno.model.assign', [[['digits', 2, 'n1', 1]], []]);
    const failed = { name: 'digits', revision: 2, state: 'failed', error: 'wrong shape' } as const;
    world.work({ node: 'n1', models: [failed] });
    t.match(world.store.get(revisions, ['digits', 2]), { state: 'Failed', error: 'wrong shape' });
    t.match(world.store.get(models, ['digits']), { serving: 1, deploying: 0 });
    t.ok(world.addJob() > 0);
  },
);

t.test('a model with unfinished jobs cannot be undeployed', async (t) => {
  const world = readyWorld();
  const id = world.addJob();
  t.equal(world.store.refusal('idunno.model.undeploy', ['digits']).code, 'CONFLICT');
  world.store.apply('idunno.job.cancel', [id]);
  world.store.apply('idunno.model.undeploy', ['digits']);
  const error = world.store.refusal('idunno.job.create', [{ model: 'digits', items: 1 }]);
  t.equal(error.code, 'MODEL_UNDEPLOYED');
});

t.test('results move from the tables into a segment exactly once', async (t) => {
  const world = readyWorld();
  const id = world.addJob({ items: 10, batch: 10 });
  const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
  const done = doneOf(grant);
  world.work({ node: 'n1', done: [done] });
  t.equal(world.store.get(totals, [0])?.inlineBytes, done.bytes);
  const args = [id, 0, 'results/1/segment-1.jsonl', 1, done.bytes, [[0, 0, done.bytes]]] as const;
  t.equal(world.store.apply('idunno.results.compacted', args), 1);
  t.equal(world.store.apply('idunno.results.compacted', args), 0, 'a repetition moves nothing');
  t.equal(world.store.get(totals, [0])?.inlineBytes, 0);
  t.match(world.store.get(tasks, [id, 0]), { segment: 1, offset: 0 });
});

t.test(
  'with too many results in the tables, no more are taken and nothing is leased',
  async (t) => {
    const setInline: Command = (tx, [inlineBytes]) => {
      tx.put(totals, [0], {
        ...(tx.get(totals, [0]) ?? NO_TOTALS),
        inlineBytes: Number(inlineBytes),
      });
      return null;
    };
    const commands = { 'test.inline': setInline };
    const extra = { name: 'test', tables: [], commands, queries: {}, indexes: [] };
    const world = readyWorld([extra]);
    const id = world.addJob();
    const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
    world.store.apply('test.inline', [INLINE_TOTAL_BYTES_MAX]);
    const answer = world.work({ node: 'n1', want: 1, done: [doneOf(grant)] });
    t.equal(answer.acks[0]?.verdict, 'busy');
    t.same(answer.grants, []);
    t.equal(world.store.get(jobs, [id])?.done, 0);
    world.store.apply('test.inline', [0]);
    t.equal(world.work({ node: 'n1', done: [doneOf(grant)] }).acks[0]?.verdict, 'accepted');
  },
);

t.test('a report that is too much for one command is refused whole', async (t) => {
  const { store } = readyWorld();
  const report = writeReport({ ...EMPTY_REPORT, node: 'n1', want: 8 });
  const reports = [report, report, report];
  t.equal(store.refusal('idunno.work', [reports, []]).code, 'BAD_ARGUMENT');
  t.equal(store.refusal('idunno.work', [['nonsense'], []]).code, 'BAD_ARGUMENT');
});

t.test('weights share the leases: twice the weight, twice the queries', async (t) => {
  const world = readyWorld();
  const light = world.addJob({ items: 10_000, batch: 10, weight: 1 });
  const heavy = world.addJob({ items: 10_000, batch: 10, weight: 2 });
  for (let turn = 0; turn < 90; turn += 1) {
    const grant = must(world.work({ node: 'n1', want: 1 }).grants[0], 'a lease');
    world.work({ node: 'n1', done: [doneOf(grant)] });
  }
  t.equal(world.store.get(jobs, [light])?.done, 300);
  t.equal(world.store.get(jobs, [heavy])?.done, 600);
});

function readyWorld(modules: readonly StoreModule[] = []) {
  const world = createCommandWorld(modules);
  world.addNode('n1');
  world.addNode('n2');
  world.addModel('digits', ['n1', 'n2']);
  return world;
}
