/**
 * `node measure-main.js`: prints the figures of the models' manifests and READMEs, through the
 * serving path. MNIST, photographs and SqueezeNet need IDUNNO_TEST_DATA.
 */
import { colorBaseline } from './color-baseline.js';
import {
  drawings,
  MEASURE_SEED,
  measureMnist,
  measurePhotographs,
  measureSqueezenet,
} from './measure.js';
import { ModelUnderTest, TEST_DATA } from './support.js';

function print(what: string, share: number): void {
  process.stdout.write(`${what}: ${(share * 100).toFixed(2)} %\n`);
}

const lenet = await ModelUnderTest.shipped('lenet');
print('lenet, 2,000 drawn digits', await lenet.top1(drawings('digits', 2000, MEASURE_SEED)));
if (TEST_DATA !== undefined) print('lenet, MNIST test', await measureMnist(lenet, TEST_DATA));

const resnet = await ModelUnderTest.shipped('resnet');
print('resnet, 2,000 drawn flowers', await resnet.top1(drawings('flowers', 2000, MEASURE_SEED)));
if (TEST_DATA !== undefined) {
  print('resnet, validation photographs', await measurePhotographs(resnet, TEST_DATA));
  print('squeezenet, validation daisies', await measureSqueezenet(TEST_DATA));
}
const baseline = await colorBaseline(2000, 500, MEASURE_SEED);
print('colour histograms, nearest neighbour', baseline.nearestNeighbour);
print('colour histograms, nearest centroid', baseline.nearestCentroid);
