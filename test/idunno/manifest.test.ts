/** model.yaml: what is accepted, and how each slip is reported. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isIdunnoError } from '../../src/base/index.js';
import { checkFolder, parseLabels, parseManifest } from '../../src/idunno/manifest.js';
import { planSession } from '../../src/idunno/session-check.js';
import { packageFile, TINY_MANIFEST } from './model-folders.js';

t.test('every model that ships, and every example, can be read', async (t) => {
  for (const folder of [packageFile('models'), packageFile('models', 'examples')]) {
    for (const name of readdirSync(folder)) {
      const text = read(join(folder, name, 'model.yaml'));
      if (text !== undefined) t.ok(parseManifest(text).name, name);
    }
  }
});

t.test('defaults are filled in', async (t) => {
  const manifest = parseManifest(TINY_MANIFEST);
  t.match(manifest, {
    name: 'tiny',
    description: '',
    input: { resize: 'exact', crop: 'none', layout: 'NCHW', dtype: 'float32', mean: [0], std: [1] },
    output: { topK: 2, activation: 'none' },
  });
  t.notOk('shorterSide' in manifest.input, 'means nothing with resize: exact');
});

t.test('all problems are reported at once, each with its line', async (t) => {
  const text = [
    'name: "bad name"', // 1
    'version: 2', // 2
    'weight: model.onnx', // 3: misspelt
    'input:', // 4
    '  width: 28', // 5
    '  height: 0', // 6
    '  channels: GREY', // 7
    '  layuot: NHWC', // 8
    'output: { kind: classification }', // 9
  ].join('\n');
  const message = refusalOf(() => parseManifest(text));
  t.match(message, /line 1: name: must be 1 to 64 letters/);
  t.match(message, /line 2: version/);
  t.match(message, /line 3: weight is not a key of model.yaml: did you mean weights\?/);
  t.match(message, /weights is missing/);
  t.match(message, /line 7: input.channels/);
  t.match(message, /line 8: input.layuot is not a key of model.yaml: did you mean layout\?/);
  t.match(message, /problems:/);
});

t.test('numbers that do not fit each other are reported with their line', async (t) => {
  const text = TINY_MANIFEST.replace(
    '  channels: GRAY\n',
    '  channels: RGB\n  mean: [1, 2]\n  std: 0\n',
  );
  const message = refusalOf(() => parseManifest(text));
  t.match(message, /line 9: input: mean needs 1 or 3 numbers for RGB, has 2/);
  t.match(message, /line 10: input: std has a number that cannot be used/);
});

t.test('text that is no YAML, or no mapping, is refused', async (t) => {
  t.match(
    refusalOf(() => parseManifest('a: [1')),
    /line 1/,
  );
  t.match(
    refusalOf(() => parseManifest('just text')),
    /problem/,
  );
  t.match(
    refusalOf(() => parseManifest('')),
    /problem/,
  );
});

t.test('a classification without labels is refused, a raw model needs none', async (t) => {
  const without = TINY_MANIFEST.replace(/labels:.*\n/, '');
  t.match(
    refusalOf(() => parseManifest(without)),
    /labels: a classification needs/,
  );
  t.ok(parseManifest(without.replace('classification\n  topK: 2', 'raw')));
});

t.test('file names that leave the folder are refused', async (t) => {
  for (const name of ['../model.onnx', '/etc/passwd', '..', 'a/b.onnx']) {
    const text = TINY_MANIFEST.replace('weights: model.onnx', `weights: ${name}`);
    t.match(
      refusalOf(() => parseManifest(text)),
      /weights: must be/,
      name,
    );
  }
});

t.test('a folder without its files is refused, each missing one named', async (t) => {
  const yaml = { name: 'model.yaml', bytes: Buffer.from(TINY_MANIFEST) };
  t.match(
    refusalOf(() => checkFolder([])),
    /no model.yaml/,
  );
  const message = refusalOf(() =>
    checkFolder([yaml, { name: 'labels.txt', bytes: Buffer.alloc(0) }]),
  );
  t.match(message, /weights: model.onnx is not in the folder/);
  t.match(message, /labels: labels.txt is empty/);
});

t.test('labels are one a line; an empty one in the middle is refused', async (t) => {
  t.same(parseLabels('a\r\nb \n\n', 'labels.txt'), ['a', 'b']);
  t.match(
    refusalOf(() => parseLabels('a\n\nb', 'labels.txt')),
    /labels.txt, line 2: a label is empty/,
  );
});

t.test('a layout that is the other way round is recognised', async (t) => {
  const manifest = parseManifest(
    TINY_MANIFEST.replace('width: 2', 'width: 5').replace('GRAY', 'RGB'),
  );
  const input = { name: 'x', type: 'float32', shape: [-1, 2, 5, 3] };
  const { problems } = planSession(
    manifest,
    [input],
    [{ name: 'y', type: 'float32', shape: [-1, 3] }],
    3,
  );
  t.match(problems[0], /try layout: NHWC/);
});

t.test('weights with several inputs need a name; topK may not exceed the classes', async (t) => {
  const manifest = parseManifest(TINY_MANIFEST.replace('topK: 2', 'topK: 9'));
  const input = { name: 'a', type: 'float32', shape: [1, 1, 2, 2] };
  const output = { name: 'y', type: 'float32', shape: [1, 3] };
  const two = planSession(manifest, [input, { ...input, name: 'b' }], [output], 3);
  t.match(two.problems, [
    /inputs a, b: say which one in input.name/,
    /topK is 9, but there are only 3/,
  ]);
  t.equal(planSession(manifest, [input], [output], 3).batch, 1, 'a fixed batch is kept to');
});

function refusalOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isIdunnoError(error, 'BAD_MODEL')) return error.message;
    throw error;
  }
  throw new Error('it was not refused');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
