/** What is measured about the models, in one place for the tests and for `measure-main`. */
import { join } from 'node:path';
import { type DrawingKind, drawSet } from '../../demo/draw/sets.js';
import {
  argmax,
  type Labelled,
  ModelUnderTest,
  readLines,
  readManifest,
  readMnistTest,
  readPhotographs,
} from './support.js';

/** Seed of the drawings behind the stated figures; the training used 1001 and 2001. */
export const MEASURE_SEED = 90_001;

/** Drawings with their labels. */
export function* drawings(kind: DrawingKind, count: number, seed: number): Generator<Labelled> {
  for (const { png, label } of drawSet(kind, count, seed)) yield { bytes: png, label };
}

/** Share right on the 10,000 scans of the MNIST test set. */
export async function measureMnist(model: ModelUnderTest, data: string): Promise<number> {
  const samples = readMnistTest(join(data, 'mnist'));
  let right = 0;
  for (let from = 0; from < samples.length; from += 500) {
    const batch = samples.slice(from, from + 500);
    const rows = await model.run(batch.map(({ bitmap }) => bitmap));
    for (const [index, row] of rows.entries()) {
      if (model.labels[argmax(row)] === batch[index]?.label) right += 1;
    }
  }
  return right / samples.length;
}

/** Share right on the validation photographs of all five flowers. */
export async function measurePhotographs(model: ModelUnderTest, data: string): Promise<number> {
  return model.top1(readPhotographs(join(data, 'flowers', 'val'), model.labels));
}

/** Share of the validation daisies that SqueezeNet, trained on ImageNet, calls a daisy. */
export async function measureSqueezenet(data: string): Promise<number> {
  const folder = join(data, 'models', 'squeezenet');
  const labels = join(folder, 'labels.txt');
  const manifest = readManifest('examples/squeezenet');
  const model = await ModelUnderTest.load(join(folder, 'model.onnx'), labels, manifest);
  if (!readLines(labels).includes('daisy')) throw new Error('ImageNet labels without a daisy');
  return model.top1(readPhotographs(join(data, 'flowers', 'val'), ['daisy']));
}
