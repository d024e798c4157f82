/**
 * Somebody else's network on somebody's photographs: SqueezeNet, deployed with a model.yaml only,
 * on a real cluster, against a plain onnxruntime loop over the same images.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LocalCluster } from '../../drills/lib/local-cluster.js';
import { waitForJob } from '../../demo/prepare.js';
import { decodeImage } from '../../src/image/index.js';
import {
  argmax,
  ModelUnderTest,
  readManifest,
  readPhotographs,
  ROOT,
  SKIP_WITHOUT_DATA,
  TEST_DATA,
} from '../models/support.js';

const DAISIES = 127;

t.test(
  'SqueezeNet on a cluster calls 60 % of photographed daisies daisies, as a plain loop does',
  { skip: SKIP_WITHOUT_DATA, timeout: 240_000 },
  async (t) => {
    const weights = join(TEST_DATA ?? '', 'models', 'squeezenet');
    const photographs = [...readPhotographs(join(TEST_DATA ?? '', 'flowers', 'val'), ['daisy'])];
    t.equal(photographs.length, DAISIES);
    const cluster = await LocalCluster.create({ config: 'local-3.yaml', preset: 'test' });
    t.teardown(() => cluster.stop());
    await cluster.startAll();
    const client = cluster.client();
    t.teardown(() => client.close());

    const model = await client.modelDeploy([
      { name: 'model.yaml', bytes: read(join(ROOT, 'models/examples/squeezenet/model.yaml')) },
      { name: 'model.onnx', bytes: read(join(weights, 'model.onnx')) },
      { name: 'labels.txt', bytes: read(join(weights, 'labels.txt')) },
    ]);
    await client.filePutMany(
      photographs.map(({ bytes }, i) => ({ name: nameOf(i), bytes: new Uint8Array(bytes) })),
    );
    const job = await client.jobSubmit({
      model: model.name,
      inputs: { prefix: 'daisies/' },
      batchSize: 8,
    });
    await waitForJob(client, job.id, AbortSignal.timeout(180_000));

    const said = new Map<string, string | undefined>();
    for await (const line of client.jobResults(job.id)) {
      said.set(line.input, line.top?.[0]?.label);
    }
    t.equal(said.size, DAISIES, 'one result per photograph');
    const daisies = [...said.values()].filter((label) => label === 'daisy').length;
    t.ok(daisies / DAISIES >= 0.6, `${daisies} of ${DAISIES} are daisies`);

    const plain = await plainLoop(weights, photographs);
    t.same(
      plain.map((_, i) => said.get(nameOf(i))),
      plain,
      'the same labels as without a cluster',
    );
    t.equal((await client.jobVerify(job.id)).ok, true);
  },
);

/** Top labels, one image at a time. */
async function plainLoop(
  weights: string,
  photographs: readonly { bytes: Uint8Array }[],
): Promise<string[]> {
  const manifest = readManifest('examples/squeezenet');
  const labels = join(weights, 'labels.txt');
  const model = await ModelUnderTest.load(join(weights, 'model.onnx'), labels, manifest);
  const top: string[] = [];
  for (const { bytes } of photographs) {
    const [row] = await model.run([await decodeImage(bytes)]);
    top.push(model.labels[argmax(row ?? [])] ?? '');
  }
  return top;
}

function nameOf(index: number): string {
  return `daisies/${String(index).padStart(3, '0')}.jpg`;
}

function read(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}
