/**
 * Models with code of their own on a real cluster: one whose postprocess is used, beside one that
 * throws, loops, hides a loop in a promise and asks for /etc/passwd; each harms its own items only.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { LocalCluster } from '../../drills/lib/local-cluster.js';
import { waitForJob } from '../../demo/prepare.js';
import type { ApiClient } from '../../src/cli/index.js';
import { greyImage, packageFile, TINY_MANIFEST } from '../idunno/model-folders.js';

const GOOD = `export function postprocess(output, { input, labels }) {
  return { best: labels[output.data.indexOf(Math.max(...output.data))], input };
}`;

/** One query of each kind of trouble; the others are as good as in GOOD. */
const BAD = `import { readFileSync } from 'node:fs';
export function postprocess(output, { input }) {
  const at = Number(input.match(/\\d+/)[0]);
  if (at === 1) throw new Error('not this one');
  if (at === 2) for (;;) {}
  if (at === 3) return readFileSync('/etc/passwd', 'utf8');
  return { at };
}`;

const LOOPS = 'export function preprocess() { for (;;) {} }';

t.test('models with code', { timeout: 240_000 }, async (t) => {
  const cluster = await LocalCluster.create({ config: 'local-3.yaml', preset: 'test' });
  t.teardown(() => cluster.stop());
  await cluster.startAll();
  const client = cluster.client();
  t.teardown(() => client.close());
  const images = Array.from({ length: 8 }, (_, at) => ({
    name: `grey/${at}.png`,
    bytes: greyImage(20 * at),
  }));
  await client.filePutMany(images);
  await Promise.all([
    client.modelDeploy(filesOf('good', GOOD)),
    client.modelDeploy(filesOf('bad', BAD), { workers: 2 }),
    client.modelDeploy(filesOf('loops', LOOPS), { workers: ['n2'] }),
  ]);

  const places = await client.modelList();
  const bad = places.find(({ name }) => name === 'bad');
  t.equal(bad?.workers.length, 2);
  t.equal(bad?.others.length, 1, 'the third worker does not run it');
  await t.rejects(client.modelDeploy(filesOf('denied', "import 'node:child_process';")), {
    code: 'MODEL_LOAD_FAILED',
    message: /code may import .* not "node:child_process"/,
  });
  await t.rejects(submit(client, 'denied'), { code: 'MODEL_UNDEPLOYED' });
  await t.rejects(client.modelDeploy(filesOf('good', 'throw new Error("worse");')), {
    code: 'MODEL_LOAD_FAILED',
    message: /worse/,
  });

  const jobs = await Promise.all(
    ['good', 'bad', 'loops'].map(async (model) => {
      const { id } = await submit(client, model);
      return waitForJob(client, id, AbortSignal.timeout(200_000));
    }),
  );
  t.same(
    jobs.map(({ state, queriesFailed }) => `${state} ${queriesFailed}`),
    ['succeeded 0', 'succeeded-with-errors 3', 'succeeded-with-errors 8'],
  );
  const good = await linesOf(client, jobs[0]?.id);
  t.equal(jobs[0]?.revision, 1, 'a failed load keeps the revision before');
  t.same(good[3]?.output, { best: 'red', input: 'grey/3.png' });
  const errors = (await linesOf(client, jobs[1]?.id)).map(({ error, output }) => error ?? output);
  t.match(errors, [
    { at: 0 },
    /not this one/,
    /did not return within 2000 ms/,
    /may read only files of its own folder, not \/etc\/passwd/,
    { at: 4 },
  ]);
  for (const job of jobs) t.match(await client.jobVerify(job.id), { ok: true, accepted: 8 });

  const explained = await client.jobExplain(jobs[1]?.id ?? 0);
  t.match(explained.why[0], /it is over: succeeded-with-errors/);
  t.match(explained.decisions.at(-1)?.reason, /deployed on 2 of 3 workers, as asked/);
  await client.modelRemove('loops');
  await t.rejects(submit(client, 'loops'), { code: 'MODEL_NOT_FOUND' });
});

function submit(client: ApiClient, model: string) {
  return client.jobSubmit({ model, inputs: { prefix: 'grey/' }, batchSize: 4 });
}

async function linesOf(client: ApiClient, id = 0) {
  const lines = [];
  for await (const line of client.jobResults(id)) lines.push(line);
  return lines;
}

function filesOf(name: string, code: string) {
  const manifest = TINY_MANIFEST.replace('name: tiny', `name: ${name}`);
  const text = `${manifest}code: code.js\ncodeTimeoutMs: 2000\n`;
  const weights = readFileSync(packageFile('test', 'idunno', 'fixtures', 'tiny.onnx'));
  return [
    { name: 'model.yaml', bytes: new Uint8Array(Buffer.from(text)) },
    { name: 'model.onnx', bytes: new Uint8Array(weights) },
    { name: 'labels.txt', bytes: new Uint8Array(Buffer.from('red\ngreen\nblue\n')) },
    { name: 'code.js', bytes: new Uint8Array(Buffer.from(code)) },
  ];
}
