/** Workers, coordinators and clients together, on a virtual clock. */
import t from 'tap';
import type { ResultLine } from '../../src/idunno/index.js';
import { jobs, totals } from '../../src/idunno/tables.js';
import { World, type WorldOptions } from './world.js';

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
