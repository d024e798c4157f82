/** Every manifest under models/ is usable as it is written, and shipped weights fit their manifest. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { validateManifest } from '../../src/idunno/manifest.js';
import { loadSession } from '../../src/idunno/onnx.js';
import { tensorShape, validateInputSpec } from '../../src/image/index.js';
import { readLines, readManifest, ROOT } from './support.js';

const SHIPPED = ['lenet', 'resnet'];
const EXAMPLES = readdirSync(join(ROOT, 'models', 'examples'))
  .filter((name) => existsSync(join(ROOT, 'models', 'examples', name, 'model.yaml')))
  .map((name) => `examples/${name}`);

t.ok(EXAMPLES.length >= 7, 'examples are found');

for (const folder of [...SHIPPED, ...EXAMPLES]) {
  t.test(`${folder}: the manifest is accepted whole`, (t) => {
    const text = readFileSync(join(ROOT, 'models', folder, 'model.yaml'), 'utf8');
    const judged = validateManifest(text);
    t.notOk(Array.isArray(judged), JSON.stringify(judged));
    const manifest = readManifest(folder);
    t.same(validateInputSpec(manifest.input), []);
    t.equal(manifest.name, folder.split('/').at(-1), 'named as its folder');
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
      const { inputs, outputs } = await loadSession(weights, { threads: 1 });
      t.match(inputs, [{ name: manifest.input.name, type: 'float32' }]);
      t.match(outputs, [{ name: manifest.output.name, type: 'float32' }]);
      t.equal(inputs[0]?.shape[0], -1, 'dynamic batch axis');
      t.same(inputs[0]?.shape.slice(1), tensorShape(manifest.input, 1).slice(1));
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
