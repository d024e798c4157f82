/** The small pure parts: reports on the wire, input lists, frames, deadlines, assignment, hedging. */
import t from 'tap';
import { createSeededRng, isIdunnoError, MemoryDisk, must } from '../../src/base/index.js';
import { assignModels, type WantedModel, wantedModels } from '../../src/idunno/assignment.js';
import { intraOpThreads } from '../../src/idunno/engine.js';
import { patienceMs, stragglers, suspectLeases } from '../../src/idunno/hedging.js';
import { encodeFrame, FrameReader, readReply } from '../../src/idunno/host-frames.js';
import { InputLists, readInputLine, writeInputLine } from '../../src/idunno/inputs.js';
import { LeaseWatch, leaseMs } from '../../src/idunno/leases.js';
import { Outbox } from '../../src/idunno/outbox.js';
import {
  type Answer,
  readAnswer,
  readReport,
  type Report,
  writeAnswer,
  writeReport,
} from '../../src/idunno/protocol.js';
import type { JobRow, LeaseRow } from '../../src/idunno/tables.js';
import { decode, encode, type Wire } from '../../src/net/index.js';

const HASH = 'ab'.repeat(32);
const LEASE = { job: 3, from: 40, attempt: 2 };
const REPORT: Report = {
  node: 'n1',
  epoch: 7,
  seq: 12,
  held: [{ ...LEASE, isStarted: true }],
  done: [
    {
      ...LEASE,
      gen: 1,
      micros: 5,
      hash: HASH,
      bytes: 3,
      output: Buffer.from('abc'),
      failed: 1,
      named: [[41, 'x']],
    },
    {
      ...LEASE,
      gen: 1,
      micros: 5,
      hash: HASH,
      bytes: 99_000,
      output: { name: 'f', version: 2 },
      failed: 0,
      named: [],
    },
  ],
  failed: [{ ...LEASE, kind: 'host', reason: 'died', line: Buffer.from('{}\n') }],
  returned: [LEASE],
  want: 2,
  models: [{ name: 'lenet', revision: 1, state: 'failed', error: 'why' }],
  catalog: '1-abc',
};

t.test('a report and an answer arrive as they were sent', async (t) => {
  t.same(readReport(travel(writeReport(REPORT))), REPORT);
  const answer: Answer = {
    acks: [{ ...LEASE, verdict: 'already' }],
    grants: [
      {
        ...LEASE,
        to: 50,
        gen: 1,
        model: 'lenet',
        revision: 1,
        manifest: 'm',
        manifestVersion: 1,
        items: 9,
      },
    ],
    isTaken: true,
    dropped: [LEASE],
    recall: true,
    catalog: {
      mark: '1-abc',
      entries: [
        {
          name: 'lenet',
          revision: 1,
          isAssigned: true,
          given: 9,
          files: [{ name: 'f', version: 1, bytes: 2 }],
        },
      ],
    },
  };
  t.same(readAnswer(travel(writeAnswer(answer))), answer);
  t.same(readAnswer(travel(writeAnswer({ ...answer, catalog: null }))).catalog, null);
});

t.test(
  'news waits until the call that told it was taken in, results until they are acknowledged',
  async (t) => {
    const outbox = new Outbox();
    const done = must(REPORT.done[0], 'a finished task');
    const model = must(REPORT.models[0], 'a state');
    outbox.put('task', { kind: 'done', done });
    outbox.put('model', { kind: 'model', model });
    t.match(outbox.take(1, 9), { done: [done], models: [model] });
    t.match(outbox.take(2, 9), { done: [], models: [] }, 'told by another open call');
    t.equal(
      outbox.isTold((call) => call === 1),
      true,
    );
    t.equal(outbox.release(1), true, 'that call was lost');
    t.match(outbox.take(3, 1), { done: [done], models: [] }, 'no more than asked for');
    outbox.put('model', { kind: 'model', model: { ...model, state: 'warm' } });
    t.match(outbox.take(4, 9), { models: [{ state: 'warm' }] }, 'the newest state only');
    t.same(outbox.settle(4), ['model']);
    t.same(outbox.settle(3), [], 'a result is not gone before it is acknowledged');
    t.equal(outbox.hasWaiting, true);
    outbox.holdBack('task');
    t.match(outbox.take(5, 9), { done: [] });
    outbox.releaseHeldBack();
    t.match(outbox.take(6, 9), { done: [done] });
    outbox.delete('task');
    t.equal(outbox.isEmpty, true);
  },
);

t.test('a report that was tampered with is refused or read, and never anything else', async (t) => {
  const rng = createSeededRng('tamper');
  const bytes = encode(writeReport(REPORT));
  let refused = 0;
  for (let turn = 0; turn < 3_000; turn += 1) {
    const copy = Buffer.from(bytes);
    copy[rng.int(copy.length)] = rng.int(256);
    let wire: Wire;
    try {
      wire = decode(copy);
    } catch {
      continue; // Refused by the codec.
    }
    try {
      readReport(wire);
    } catch (error) {
      if (!isIdunnoError(error)) throw error;
      refused += 1;
    }
  }
  t.ok(refused > 100, `${refused} refused`);
});

t.test('a lease lasts at least ten seconds, or ten times what a task takes', async (t) => {
  t.equal(leaseMs(0), 10_000);
  t.equal(leaseMs(3_000_000), 30_000);
  const watch = new LeaseWatch();
  const row = leaseRow(1, 'n1');
  watch.add(row, 0, 10_000);
  t.equal(watch.nextDeadlineMs, 10_000);
  t.same(watch.expired(9_999), []);
  watch.renew(row, 5_000, 10_000);
  t.same(watch.expired(10_000), [], 'named again in time');
  t.same(watch.expired(15_000), [row]);
  t.equal(watch.ageMs(row, 15_000), 15_000);
  watch.remove(row);
  t.equal(watch.nextDeadlineMs, undefined);
});

t.test(
  'leases of suspects are hedged at once, slow ones only after thrice their time',
  async (t) => {
    const rows = [leaseRow(1, 'n1'), leaseRow(2, 'n2')];
    const input = {
      leases: rows,
      isSuspect: (node: string) => node === 'n2',
      meanMicros: () => 1_000_000,
      ageMs: (lease: LeaseRow) => (lease.from === 1 ? 3_000 : 2_999),
    };
    t.same(suspectLeases(input), [rows[1]]);
    t.same(stragglers(input), [rows[0]]);
    t.equal(patienceMs(0), Number.POSITIVE_INFINITY, 'nothing is known yet');
    t.equal(patienceMs(1_000), 1_000, 'a second at least');
  },
);

t.test('while there is room, every worker has every model', async (t) => {
  const given = assignModels({
    wanted: [wanted('a'), wanted('b')],
    workers: ['n1', 'n2', 'n3'],
    has: () => false,
  });
  for (const nodes of given.values()) t.same([...nodes].sort(), ['n1', 'n2', 'n3']);
});

t.test(
  'without room, each model is on its share of the workers, and what is there stays',
  async (t) => {
    const models = ['a', 'b', 'c', 'd'].map((name) => wanted(name));
    const workers = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const has = (model: WantedModel, node: string) => model.name === 'a' && node >= 'n3';
    const given = assignModels({ wanted: models, workers, has, roomMax: 2 });
    const load = new Map<string, number>();
    for (const [key, nodes] of given) {
      t.ok(nodes.size >= 1 && nodes.size <= 3, `${key} on ${nodes.size}`);
      for (const node of nodes) load.set(node, (load.get(node) ?? 0) + 1);
    }
    t.same([...must(given.get('a@1'), 'a')].sort(), ['n3', 'n4']);
    t.ok([...load.values()].every((count) => count <= 2));
  },
);

t.test(
  'serving and coming revisions are wanted, and those of unfinished jobs, busy ones first',
  async (t) => {
    const models = [{ name: 'm', newest: 3, serving: 2, deploying: 3, isRemoved: false }];
    const job = { model: 'm', revision: 1, state: 'running' } as JobRow;
    const over = { model: 'gone', revision: 1, state: 'succeeded' } as JobRow;
    t.same(
      wantedModels(models, [job, over]).map(({ revision, isBusy }) => [revision, isBusy]),
      [
        [1, true],
        [2, false],
        [3, false],
      ],
    );
  },
);

t.test('an input list is read by ranges, over the end and from the start again', async (t) => {
  const entries = Array.from({ length: 1_000 }, (_, at) => ({
    name: `é/${at}"`,
    version: at + 1,
    bytes: at,
  }));
  const text = Buffer.from(entries.map(writeInputLine).join(''));
  let gets = 0;
  const get = async () => {
    gets += 1;
    async function* chunks() {
      for (let at = 0; at < text.length; at += 777) yield text.subarray(at, at + 777);
    }
    return { file: {} as never, chunks: chunks() };
  };
  const lists = new InputLists('/lists', { disk: new MemoryDisk(), sdfs: { get } });
  await lists.start();
  const { signal } = new AbortController();
  const list = { name: 'list', version: 1 };
  for (const [from, to] of [
    [0, 1],
    [255, 258],
    [990, 1_010],
    [500, 2_600],
    [2_999, 3_000],
  ] as const) {
    const plan = await lists.plan(list, 1_000, from, to, signal);
    t.equal(plan.length, to - from);
    for (const [at, query] of plan.entries()) {
      const number = from + at;
      const repetition = Math.floor(number / 1_000);
      const entry = entries[number % 1_000];
      t.match(query, { query: number, item: number % 1_000, repetition, entry });
    }
  }
  t.equal(gets, 1, 'fetched once');
  await t.rejects(lists.plan(list, 1_001, 1_000, 1_001, signal), { code: 'CORRUPT' });
  await lists.stop();
});

t.test('a line of an input list that is damaged is refused', async (t) => {
  for (const line of ['', '{}', '["a"]', '["a",1', '[1,1,1]']) {
    t.throws(() => readInputLine(line), { code: 'CORRUPT' }, line);
  }
});

t.test('frames come out as they went in, however the bytes are cut', async (t) => {
  const rng = createSeededRng('frames');
  const sent = Array.from({ length: 20 }, (_, id) => ({
    header: { type: 'result', id, failed: 0, named: [] } as const,
    body: Buffer.alloc(rng.int(3_000), id),
  }));
  const bytes = Buffer.concat(sent.flatMap(({ header, body }) => encodeFrame(header, [body])));
  const reader = new FrameReader();
  const got = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + rng.int(700);
    got.push(...reader.push(bytes.subarray(at, at + length)));
    at += length;
  }
  t.equal(got.length, sent.length);
  for (const [at, { header, body }] of got.entries()) {
    t.same(readReply(header), sent[at]?.header);
    t.ok(body.equals(must(sent[at], 'a frame').body));
  }
});

t.test('what a model host cannot have meant is refused', async (t) => {
  const huge = Buffer.alloc(8, 255);
  t.throws(() => new FrameReader().push(huge), { code: 'PROTOCOL' });
  const noJson = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{[')]);
  t.throws(() => new FrameReader().push(noJson), { code: 'PROTOCOL' });
  for (const header of [null, 1, {}, { type: 'result', id: -1 }, { type: 'load-failed' }]) {
    t.throws(() => readReply(header), { code: 'PROTOCOL' });
  }
});

t.test('threads of a run share the cores of the machine', async (t) => {
  t.equal(intraOpThreads(2, 1, 5), 1);
  t.equal(intraOpThreads(16, 2, 1), 8);
});

function wanted(name: string): WantedModel {
  return { name, revision: 1, isBusy: false };
}

function leaseRow(from: number, node: string): LeaseRow {
  return { job: 1, from, attempt: 1, to: from + 1, gen: 0, node, epoch: 1, charge: 1, atMs: 0 };
}

function travel(wire: Wire): Wire {
  return decode(encode(wire));
}
