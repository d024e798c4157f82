/** Every manifest under models/ is usable as it is written, and shipped weights fit their manifest. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import t from 'tap';
import { validateInputSpec } from '../../src/image/index.js';
import { readLines, readManifest, ROOT } from './support.js';

const SHIPPED = ['lenet', 'resnet'];
const EXAMPLES = readdirSync(join(ROOT, 'models', 'examples'))
  .filter((name) => existsSync(join(ROOT, 'models', 'examples', name, 'model.yaml')))
  .map((name) => `examples/${name}`);

t.ok(EXAMPLES.length >= 7, 'examples are found');

for (const folder of [...SHIPPED, ...EXAMPLES]) {
  t.test(`${folder}: the input section names a preprocessing that can work`, (t) => {
    const manifest = readManifest(folder);
    t.same(validateInputSpec(manifest.input), []);
    t.equal(manifest.name, folder.split('/').at(-1), 'named as its folder');
    t.equal(typeof manifest.output.name, 'string');
    t.end();
  });
}

for (const folder of SHIPPED) {
  t.test(
    `${folder}: weights under 3 MB with the manifest's input and output, any batch`,
    async (t) => {
      const manifest = readManifest(folder);
      const weights = join(ROOT, 'models', folder, manifest.weights);
      t.ok(statSync(weights).size < 3_000_000, `${statSync(weights).size} bytes`);
      const session = await InferenceSession.create(weights, { intraOpNumThreads: 1 });
      t.same(session.inputNames, [manifest.input.name]);
      t.same(session.outputNames, [manifest.output.name]);
      const [first] = session.inputMetadata;
      t.ok(first?.isTensor === true && typeof first.shape[0] === 'string', 'dynamic batch axis');
    },
  );

  t.test(
    `${folder}: labels and README are there, and the README states the manifest's figure`,
    (t) => {
      const manifest = readManifest(folder);
      const labels = readLines(join(ROOT, 'models', folder, manifest.labels));
      t.equal(new Set(labels).size, labels.length);
      const readme = readFileSync(join(ROOT, 'models', folder, 'README.md'), 'utf8');
      const percent = (manifest.accuracy.top1 * 100).toFixed(2);
      t.ok(readme.includes(`**${percent} %**`), `README says ${percent} %`);
      t.end();
    },
  );
}
