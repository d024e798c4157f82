/**
 * Random histories of one job through the commands: leases, completions once and twice and late,
 * crashes, lost nodes, expiry, new batch sizes, pauses, compaction, in any order. After every step
 * the rows must fit together; at the end each query has exactly one accepted result.
 */
import t, { type Test } from 'tap';
import { createSeededRng, must, type Rng } from '../../src/base/index.js';
import {
  ASSIGNMENTS_INDEX,
  JOBS_INDEX,
  LEASES_INDEX,
  READY_INDEX,
} from '../../src/idunno/indexes.js';
import type { Grant } from '../../src/idunno/protocol.js';
import {
  isFinal,
  type JobRow,
  jobs,
  leases,
  ready,
  results,
  tasks,
  totals,
} from '../../src/idunno/tables.js';
import type { TestStore } from '../../src/store/index.js';
import { type CommandWorld, createCommandWorld, doneOf } from './command-world.js';

const SEEDS = 30;
const STEPS = 100;
const NODES = ['n1', 'n2', 'n3'];

interface History {
  readonly world: CommandWorld;
  readonly rng: Rng;
  readonly job: number;
  /** Everything ever granted, also what was revoked since: late workers report it. */
  readonly granted: { grant: Grant; node: string }[];
  /** Accepted results by query. */
  readonly accepted: Map<number, number>;
  /** Queries that kill their host. */
  readonly poison: Set<number>;
}

const STEPS_BY_NAME: Record<string, (history: History) => void> = {
  lease: ({ world, rng, granted }) => {
    const node = pick(rng, NODES);
    const held = heldBy(world, node);
    for (const grant of world.work({ node, held, want: 1 + rng.int(2) }).grants) {
      granted.push({ grant, node });
    }
  },
  hedge: ({ world, rng, job, granted }) => {
    const [, lease] = pick(rng, [...world.store.rows(leases), [[], undefined] as const]);
    if (lease === undefined) return;
    const node = pick(rng, NODES);
    const hedges = [[job, lease.from]] as const;
    for (const grant of world.work({ node, held: heldBy(world, node), want: 1 }, hedges).grants) {
      granted.push({ grant, node });
    }
  },
  finish: (history) => finishOne(history, pickGrant(history)),
  finishTwice: (history) => {
    const one = pickGrant(history);
    finishOne(history, one);
    finishOne(history, one);
  },
  giveBack: (history) => {
    const one = pickGrant(history);
    if (one === undefined) return;
    const { world } = history;
    world.work({ node: one.node, held: heldBy(world, one.node), returned: [one.grant] });
  },
  cannotRead: (history) => failOne(history, pickGrant(history), 'input'),
  loseNode: ({ world, rng }) => {
    world.store.apply('idunno.node.lost', [pick(rng, NODES), 1, pick(rng, ['lost', 'left'])]);
    revive(world);
  },
  expire: ({ world, rng }) => {
    const [, lease] = pick(rng, [...world.store.rows(leases), [[], undefined] as const]);
    if (lease === undefined) return;
    const { job, from, attempt } = lease;
    world.store.apply('idunno.lease.release', [[[job, from, attempt]], 'expired']);
  },
  setBatch: ({ world, rng, job }) => {
    if (isOver(world.store, job)) return;
    world.store.apply('idunno.job.set-batch-size', [job, 1 + rng.int(12)]);
  },
  pause: ({ world, job }) => {
    if (isOver(world.store, job)) return;
    world.store.apply('idunno.job.pause', [job]);
    world.store.apply('idunno.job.sweep', [job]);
  },
  resume: ({ world, job }) => {
    if (!isOver(world.store, job)) world.store.apply('idunno.job.resume', [job]);
  },
  compact: ({ world, job }) => compactAll(world.store, job),
};

t.test(`each query has one result after any of ${SEEDS} histories`, async (t) => {
  const struck = new Map<string, number>();
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const history = startHistory(seed);
    const names = Object.keys(STEPS_BY_NAME);
    for (let turn = 0; turn < STEPS; turn += 1) {
      // Leasing and finishing more often than trouble, or nothing would ever be under way.
      const name = pick(history.rng, [...names, 'lease', 'lease', 'finish', 'finish']);
      must(STEPS_BY_NAME[name], name)(history);
      struck.set(name, (struck.get(name) ?? 0) + 1);
      checkRows(history, `seed ${seed}, turn ${turn}, ${name}`);
    }
    await checkIndexes(t, history.world.store);
    await runToEnd(t, history, seed);
  }
  for (const [name, count] of struck) t.ok(count > 0, `${name}: ${count} times`);
});

function startHistory(seed: number): History {
  const world = createCommandWorld();
  const rng = createSeededRng(`history ${seed}`);
  for (const node of NODES) world.addNode(node);
  world.addModel('digits', NODES);
  const items = 20 + rng.int(60);
  const repeat = 1 + rng.int(2);
  const job = world.addJob({ items, repeat, batch: 1 + rng.int(12) });
  const poison = new Set(Array.from({ length: rng.int(3) }, () => rng.int(items * repeat)));
  return { world, rng, job, granted: [], accepted: new Map(), poison };
}

function pickGrant({ rng, granted }: History): { grant: Grant; node: string } | undefined {
  // Mostly what was leased lately, at times something old.
  const back = rng.int(5) === 0 ? rng.int(granted.length + 1) : rng.int(4);
  return granted[granted.length - 1 - back];
}

function finishOne(history: History, one: { grant: Grant; node: string } | undefined): void {
  if (one === undefined) return;
  const { world, poison, accepted } = history;
  const { grant, node } = one;
  if ([...poison].some((query) => grant.from <= query && query < grant.to)) {
    failOne(history, one, 'host');
    return;
  }
  const held = heldBy(world, node).filter(({ from }) => from !== grant.from);
  const { acks } = world.work({ node, held, done: [doneOf(grant)] });
  if (acks[0]?.verdict !== 'accepted') return;
  for (let query = grant.from; query < grant.to; query += 1) {
    accepted.set(query, (accepted.get(query) ?? 0) + 1);
  }
}

function failOne(
  { world }: History,
  one: { grant: Grant; node: string } | undefined,
  kind: 'host' | 'input',
): void {
  if (one === undefined) return;
  const { grant, node } = one;
  const failed = [{ ...grant, kind, reason: `${kind} trouble`, line: Buffer.alloc(0) }];
  world.work({ node, held: heldBy(world, node), failed });
}

/** A worker that knows of all its leases. */
function heldBy(world: CommandWorld, node: string) {
  return world.store
    .rows(leases)
    .filter(([, lease]) => lease.node === node)
    .map(([, { job, from, attempt }]) => ({ job, from, attempt, isStarted: true }));
}

/** A node that was lost comes back with its models. */
function revive(world: CommandWorld): void {
  const rows = NODES.map((node) => ['digits', 1, node, 1]);
  world.store.apply('idunno.model.assign', [rows, []]);
  const warm = { name: 'digits', revision: 1, state: 'warm', error: null } as const;
  for (const node of NODES) world.work({ node, held: heldBy(world, node), models: [warm] });
}

function compactAll(store: TestStore, job: number): void {
  let offset = 0;
  const places = store.rows(results).map(([[, from], { bytes }]) => {
    offset += bytes.length;
    return [from as number, offset - bytes.length, bytes.length];
  });
  if (places.length === 0) return;
  const args = [job, 0, 'results/1/segment.jsonl', 1, offset, places.slice(0, 100)];
  store.apply('idunno.results.compacted', args);
}

function isOver(store: TestStore, job: number): boolean {
  return isFinal(jobOf(store, job).state);
}

function jobOf(store: TestStore, job: number): JobRow {
  return must(store.get(jobs, [job]), 'the job');
}

/** Counters equal what the rows say; ranges tile; final tasks are counted as accepted. */
function checkRows({ world, job: id, accepted }: History, where: string): void {
  const { store } = world;
  const job = jobOf(store, id);
  const check = (what: string, found: unknown, wanted: unknown) => {
    if (found !== wanted) throw new Error(`${where}: ${what} is ${found}, not ${wanted}`);
  };
  check('leases', job.leases, store.rows(leases).length);
  check('ready', job.ready, store.rows(ready).length);
  const inline = store.rows(results);
  check('inline tasks', job.inlineTasks, inline.length);
  const bytes = inline.reduce((sum, [, row]) => sum + row.bytes.length, 0);
  check('inline bytes', job.inlineBytes, bytes);
  check('all inline bytes', store.get(totals, [0])?.inlineBytes ?? 0, bytes);
  let covered = 0;
  let done = 0;
  let failed = 0;
  for (const [[, from], task] of store.rows(tasks)) {
    check('start of the next task', from, covered);
    covered = task.to;
    const isDone = task.state === 'Success' || task.state === 'Dead';
    if (isDone) done += task.to - (from as number);
    failed += isDone ? task.failed : 0;
    check(`holders of ${from}`, task.holders.length > 0, task.state === 'Waiting');
    for (let query = from as number; query < task.to; query += 1) {
      check(
        `accepted results of ${query}`,
        accepted.get(query) ?? 0,
        task.state === 'Success' ? 1 : 0,
      );
    }
  }
  check('cursor', job.cursor, covered);
  check('done', job.done, done);
  check('failed', job.failed, failed);
}

/** What the indexes were told of change by change is what the rows say. */
async function checkIndexes(t: Test, store: TestStore): Promise<void> {
  for (const key of [JOBS_INDEX, LEASES_INDEX, READY_INDEX, ASSIGNMENTS_INDEX] as const) {
    t.same(store.index<unknown>(key), await store.rebuiltIndex<unknown>(key), key.name);
  }
}

async function runToEnd(t: Test, history: History, seed: number): Promise<void> {
  const { world, job } = history;
  if (jobOf(world.store, job).state === 'paused') world.store.apply('idunno.job.resume', [job]);
  for (let turn = 0; !isOver(world.store, job); turn += 1) {
    if (turn > 2_000) throw new Error(`seed ${seed}: the job does not end`);
    const node = pick(history.rng, NODES);
    for (const lease of heldBy(world, node)) {
      const one = history.granted.find(
        ({ grant }) => grant.from === lease.from && grant.attempt === lease.attempt,
      );
      finishOne(history, one);
    }
    must(STEPS_BY_NAME['lease'], 'lease')(history);
    checkRows(history, `seed ${seed}, end ${turn}`);
  }
  const state = jobOf(world.store, job).state;
  const hasFailed = jobOf(world.store, job).failed > 0;
  t.equal(state, hasFailed ? 'succeeded-with-errors' : 'succeeded');
}

function pick<T>(rng: Rng, values: readonly T[]): T {
  return must(values[rng.int(values.length)], 'a value');
}
