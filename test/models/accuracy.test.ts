/**
 * The shipped models do what their READMEs say, through decode, toTensor and onnxruntime-node.
 * Drawings are fresh: no training used these seeds. What needs scans or photographs that are not
 * in the repository is skipped, with a message, where IDUNNO_TEST_DATA is not set.
 */
import t from 'tap';
import { decodeImage } from '../../src/image/index.js';
import { colorBaseline } from './color-baseline.js';
import { drawings, measureMnist, measurePhotographs, measureSqueezenet } from './measure.js';
import { ModelUnderTest, readManifest, SKIP_WITHOUT_DATA, TEST_DATA } from './support.js';

/** Not the seed of the stated figures, and not one of the training. */
const FRESH_SEED = 777;

t.test('lenet names at least 97 % of 300 fresh drawn digits', async (t) => {
  const model = await ModelUnderTest.shipped('lenet');
  const share = await model.top1(drawings('digits', 300, FRESH_SEED));
  t.ok(share >= 0.97, `${share}`);
});

t.test('resnet names at least 93 % of 300 fresh drawn flowers', async (t) => {
  const model = await ModelUnderTest.shipped('resnet');
  const share = await model.top1(drawings('flowers', 300, FRESH_SEED));
  t.ok(share >= 0.93, `${share}`);
});

t.test('colour alone names less than 60 % of drawn flowers', async (t) => {
  const { nearestNeighbour, nearestCentroid } = await colorBaseline(600, 200, FRESH_SEED);
  t.ok(nearestNeighbour < 0.6, `nearest neighbour ${nearestNeighbour}`);
  t.ok(nearestCentroid < 0.6, `nearest centroid ${nearestCentroid}`);
});

t.test('an answer does not depend on the batch it came in', async (t) => {
  const model = await ModelUnderTest.shipped('lenet');
  const bitmaps = await Promise.all(
    [...drawings('digits', 5, FRESH_SEED)].map(({ bytes }) => decodeImage(bytes)),
  );
  const together = await model.run(bitmaps);
  for (const [index, bitmap] of bitmaps.entries()) {
    const [alone] = await model.run([bitmap]);
    const far = Math.max(
      ...Array.from(alone ?? [], (value, i) => Math.abs(value - (together[index]?.[i] ?? 0))),
    );
    t.ok(far < 1e-4, `image ${index} is off by ${far}`);
  }
});

t.test(
  'lenet reaches its stated figure on the MNIST test set',
  { skip: SKIP_WITHOUT_DATA },
  async (t) => {
    const model = await ModelUnderTest.shipped('lenet');
    const share = await measureMnist(model, TEST_DATA ?? '');
    t.ok(share >= 0.985, `${share}`);
    t.ok(
      Math.abs(share - readManifest('lenet').accuracy.top1) < 0.001,
      `stated, measured ${share}`,
    );
  },
);

t.test(
  'resnet reaches its stated figure on the validation photographs',
  { skip: SKIP_WITHOUT_DATA },
  async (t) => {
    const model = await ModelUnderTest.shipped('resnet');
    const share = await measurePhotographs(model, TEST_DATA ?? '');
    t.ok(share >= 0.8, `${share}`);
    // Other processors add in another order: a few images of 736 may tip over.
    t.ok(
      Math.abs(share - readManifest('resnet').accuracy.top1) < 0.006,
      `stated, measured ${share}`,
    );
  },
);

t.test(
  'squeezenet with its example manifest calls 60 % of photographed daisies daisies',
  { skip: SKIP_WITHOUT_DATA },
  async (t) => {
    const share = await measureSqueezenet(TEST_DATA ?? '');
    t.ok(share >= 0.6, `${share}`);
  },
);
