/** `verify` finds what was put in on purpose: rows and bytes are damaged behind everyone's back. */
import t from 'tap';
import type { JobSource, TaskPlace } from '../../src/idunno/queries.js';
import { Audit } from '../../src/idunno/results.js';
import { jobs, results, tasks, totals } from '../../src/idunno/tables.js';
import { createHash } from 'node:crypto';
import { must } from '../../src/base/index.js';
import { World } from './world.js';

const JOB: JobSource = {
  id: 1,
  state: 'succeeded',
  manifest: 'm',
  manifestVersion: 1,
  items: 6,
  repeat: 1,
  queries: 6,
};

t.test('tasks that tile the job, with lines that fit, are proved', async (t) => {
  t.match(audit([placeOf(0, 2), placeOf(2, 6)]), { ok: true, accepted: 6, hashesChecked: 2 });
});

t.test('a query without a result is found, in the middle and at the end', async (t) => {
  t.match(audit([placeOf(0, 2), placeOf(4, 6)]), {
    ok: false,
    missing: 2,
    problems: ['queries 2 to 3 belong to no task'],
  });
  t.match(audit([placeOf(0, 5)]), {
    ok: false,
    missing: 1,
    problems: ['queries 5 to 5 were never part of a task'],
  });
});

t.test('a query with two results is found', async (t) => {
  t.match(audit([placeOf(0, 4), placeOf(2, 6)]), {
    ok: false,
    duplicated: 2,
    problems: ['queries 2 to 3 have more than one accepted result'],
  });
});

t.test('a task that is not finished is missing', async (t) => {
  const waiting = { place: { ...placeOf(2, 6).place, state: 'Waiting' as const }, text: '' };
  t.match(audit([placeOf(0, 2), waiting]), { ok: false, missing: 4 });
});

t.test('a byte that was flipped is found by its hash', async (t) => {
  const { place, text } = placeOf(0, 6);
  t.match(audit([{ place, text: text.replace('a', 'b') }]), {
    ok: false,
    hashesChecked: 0,
    problems: [/does not have the recorded hash/],
  });
});

t.test(
  'lines that are another query’s, too few, or no JSON are found though the hash fits',
  async (t) => {
    t.match(audit([placeOf(0, 6, linesOf(1, 7))]), {
      ok: false,
      problems: [/query 0: its line is that of item 1/],
    });
    t.match(audit([placeOf(0, 6, linesOf(0, 5))]), {
      ok: false,
      problems: ['task 0: 5 lines for 6 queries'],
    });
    t.match(audit([placeOf(0, 6, `${linesOf(0, 5)}nonsense\n`)]), {
      ok: false,
      problems: ['query 5: its line is no JSON object'],
    });
  },
);

t.test('errors that were not recorded are found', async (t) => {
  const error = `${JSON.stringify({ item: 5, repetition: 0, input: 'i', version: 1, error: 'x' })}\n`;
  t.match(audit([placeOf(0, 6, linesOf(0, 5) + error)]), {
    ok: false,
    failedItems: 1,
    problems: ['task 0: 1 lines are errors, 0 were recorded'],
  });
});

t.test('a report names the first problems and counts the others', async (t) => {
  const job = { ...JOB, items: 100, queries: 100 };
  const audit = new Audit(job);
  for (let from = 0; from < 100; from += 2) audit.addTask(placeOf(from, from + 1).place);
  const { problems } = audit.report();
  t.equal(problems.length, 21);
  t.match(problems.at(-1), /^and \d+ more$/);
});

t.test('a damaged segment of a real job is found, and nothing else is', async (t) => {
  const world = new World();
  for (const name of ['n1', 'n2']) await world.addNode(name);
  world.elect('n1');
  await world.deploy('digits');
  world.putInputs('in/', 12);
  const spec = { model: 'digits', inputs: { prefix: 'in/' }, batchSize: 4 };
  const { id } = await world.clock.runUntil(world.client.submitJob(spec));
  await world.until('compaction', () => {
    const isOver = world.store.get(jobs, [id])?.state === 'succeeded';
    return isOver && world.store.get(totals, [0])?.inlineBytes === 0;
  });
  t.equal(world.store.rows(results).length, 0);
  t.match(await world.client.verify(id), { ok: true, accepted: 12 });
  const bytes = must(world.files.get(`results/${id}/segment-000001.jsonl`)?.versions[0], 'it');
  const second = must(world.store.get(tasks, [id, 4]), 'the second task');
  bytes[second.offset + 3] = 'X'.charCodeAt(0);
  const report = await world.client.verify(id);
  t.match(report, { ok: false, accepted: 12, hashesChecked: 2 });
  t.same(report.problems, ['task 4: the stored result does not have the recorded hash']);
  await t.rejects(world.client.resultFile(id, 4), { code: 'CORRUPT' });
  world.files.delete(`results/${id}/segment-000001.jsonl`);
  t.match(await world.client.verify(id), {
    ok: false,
    problems: [/there is no results/, /./, /./],
  });
  await t.rejects(world.client.verify(99), { code: 'JOB_NOT_FOUND' });
  await world.stop();
});

function linesOf(from: number, to: number): string {
  let text = '';
  for (let item = from; item < to; item += 1) {
    text += `${JSON.stringify({ item, repetition: 0, input: `a/${item}`, version: 1 })}\n`;
  }
  return text;
}

function placeOf(from: number, to: number, text = linesOf(from, to)) {
  const place: TaskPlace = {
    from,
    to,
    state: 'Success',
    hash: createHash('sha256').update(text).digest('hex'),
    bytes: Buffer.byteLength(text),
    failed: 0,
    inline: null,
    file: '',
    version: 0,
    fileBytes: 0,
    offset: 0,
  };
  return { place, text };
}

function audit(parts: readonly { place: TaskPlace; text: string }[]) {
  const audit = new Audit(JOB);
  for (const { place, text } of parts) {
    if (audit.addTask(place)) audit.addBytes(place, Buffer.from(text));
  }
  return audit.report();
}
