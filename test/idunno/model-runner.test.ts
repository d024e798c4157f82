/** Loading a model folder and inferring with it, in this process. */
import { readFileSync, rmSync } from 'node:fs';
import t from 'tap';
import type { EngineItem } from '../../src/idunno/engine.js';
import { ModelRunner } from '../../src/idunno/model-runner.js';
import {
  greyImage,
  makeModelFolder,
  makeTempDir,
  packageFile,
  TINY_MANIFEST,
} from './model-folders.js';

const dir = makeTempDir();
t.teardown(() => rmSync(dir, { recursive: true }));

t.test('each query gives one line, in order, best label first', async (t) => {
  const runner = await ModelRunner.load(makeModelFolder(dir), 1);
  const items = Array.from({ length: 11 }, (_, at) => itemOf(at, greyImage(at * 10)));
  const { lines, failed } = await runner.infer(items);
  t.equal(failed, 0);
  const parsed = parseLines(lines);
  t.equal(parsed.length, 11);
  for (const [at, line] of parsed.entries()) {
    const grey = at * 10;
    t.match(line, { item: at, repetition: 0, input: `i/${at}`, version: 1 });
    // Weighings of four equal pixels: red and green add the fourth pixel to their own.
    t.same(line['top'], [
      { label: 'red', score: 2 * grey },
      { label: 'green', score: 2 * grey },
    ]);
  }
});

t.test(
  'an image that is not one fails its item with the reason, and the others go on',
  async (t) => {
    const runner = await ModelRunner.load(makeModelFolder(dir), 1);
    const items = [
      itemOf(0, greyImage(10)),
      itemOf(1, Buffer.from('this is no image')),
      itemOf(2, greyImage(20).subarray(0, 40)),
      { ...itemOf(3, Buffer.alloc(0)), bytes: undefined, error: 'cannot read i/3 v1' },
      itemOf(4, greyImage(30)),
    ];
    const { lines, failed, named } = await runner.infer(items);
    t.equal(failed, 3);
    t.same(
      named.map(([query]) => query),
      [1, 2, 3],
    );
    const parsed = parseLines(lines);
    t.match(parsed[1]?.['error'], /not a PNG or JPEG/);
    t.equal(parsed[3]?.['error'], 'cannot read i/3 v1');
    t.ok(parsed[0]?.['top']);
    t.ok(parsed[4]?.['top']);
  },
);

t.test('a raw model gives its numbers and their shape', async (t) => {
  const manifest = TINY_MANIFEST.replace('classification\n  topK: 2', 'raw').replace(
    /labels:.*\n/,
    '',
  );
  const runner = await ModelRunner.load(makeModelFolder(dir, { manifest }), 1);
  const { lines } = await runner.infer([itemOf(0, greyImage(3))]);
  t.same(parseLines(lines)[0]?.['output'], { shape: [3], data: [6, 6, 3] });
});

t.test(
  'a model.yaml with wrong shapes is refused when it is loaded, saying what to change',
  async (t) => {
    const wide = TINY_MANIFEST.replace('width: 2', 'width: 3');
    await t.rejects(ModelRunner.load(makeModelFolder(dir, { manifest: wide }), 1), {
      code: 'MODEL_LOAD_FAILED',
      message: /\[n, 1, 2, 2\].*\[n, 1, 2, 3\]/,
    });
    const colour = TINY_MANIFEST.replace('GRAY', 'RGB');
    await t.rejects(ModelRunner.load(makeModelFolder(dir, { manifest: colour }), 1), {
      code: 'MODEL_LOAD_FAILED',
      message: /channels and layout/,
    });
    const bytes = TINY_MANIFEST.replace('scale: 1', 'dtype: uint8');
    await t.rejects(ModelRunner.load(makeModelFolder(dir, { manifest: bytes }), 1), {
      message: /of type float32, model.yaml has dtype: uint8/,
    });
  },
);

t.test('labels that do not match the classes are refused', async (t) => {
  const folder = makeModelFolder(dir, { labels: 'red\ngreen\n' });
  await t.rejects(ModelRunner.load(folder, 1), {
    code: 'MODEL_LOAD_FAILED',
    message: /has 3 classes, labels.txt has 2 labels/,
  });
});

t.test('a tensor name that the weights do not have is refused, with those they have', async (t) => {
  const manifest = TINY_MANIFEST.replace('input:\n', 'input:\n  name: pixels\n');
  await t.rejects(ModelRunner.load(makeModelFolder(dir, { manifest }), 1), {
    message: /no input "pixels"; set input.name to one of: input/,
  });
});

t.test('an ONNX file that is not one is refused as such', async (t) => {
  for (const weights of [Buffer.from('<html>404</html>'), Buffer.alloc(0), Buffer.alloc(64, 7)]) {
    await t.rejects(ModelRunner.load(makeModelFolder(dir, { weights }), 1), {
      code: 'MODEL_LOAD_FAILED',
      message: /model.onnx cannot be loaded: it is not an ONNX file/,
    });
  }
});

t.test('the digits model that ships with the project loads and answers', async (t) => {
  const runner = await ModelRunner.load(packageFile('models', 'lenet'), 1);
  const { lines, failed } = await runner.infer([itemOf(0, greyImage(0, 28))]);
  t.equal(failed, 0);
  const top = parseLines(lines)[0]?.['top'] as { label: string; score: number }[];
  t.equal(top.length, 3);
  const labels = readFileSync(packageFile('models', 'lenet', 'labels.txt'), 'utf8').split('\n');
  t.ok(top.every(({ label, score }) => labels.includes(label) && score >= 0 && score <= 1));
});

function itemOf(query: number, bytes: Uint8Array): EngineItem {
  const facts = { query, item: query, repetition: 0, input: `i/${query}`, version: 1 };
  return { ...facts, bytes, error: undefined };
}

function parseLines(lines: Uint8Array): Record<string, unknown>[] {
  const text = Buffer.from(lines).toString('utf8');
  t.ok(text.endsWith('\n'));
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
