/** src/idunno/manifest.ts: model.yaml, and the labels beside it. */
import type { Rng } from '../../src/base/index.js';
import { parseLabels, parseManifest } from '../../src/idunno/manifest.js';
import type { FuzzTarget } from '../types.js';
import { config } from './config.js';
import { dictionaryOf, refusedWith, textOf } from './support.js';

function manifest(rng: Rng): string {
  return [
    'name: lenet',
    'version: 1',
    'description: digits',
    'weights: lenet.onnx',
    'labels: labels.txt',
    ...(rng.int(3) === 0 ? ['code: code.mjs', 'codeTimeoutMs: 100'] : []),
    'input:',
    '  width: 28',
    '  height: 28',
    ...(rng.int(2) === 0 ? ['  channels: GRAY', '  mean: 0.1', '  std: [0.3]'] : []),
    ...(rng.int(2) === 0 ? ['  layout: NHWC', '  scale: 0.00392'] : []),
    'output:',
    '  kind: classification',
    '  topK: 3',
    '  activation: softmax',
    'accuracy: {mnist: 0.99}',
    '',
  ].join('\n');
}

export const modelYaml: FuzzTarget = {
  name: 'model-yaml',
  summary: "a model's manifest and labels (src/idunno/manifest.ts)",
  cases: 5_000,
  casesInTests: 200,
  dictionary: [
    ...(config.dictionary ?? []),
    ...dictionaryOf('mean: []', 'std: 0', '../x', 'dtype: uint8', 'width: 1e9', 'crop: none\n'),
  ],
  sample: (rng) => new TextEncoder().encode(manifest(rng)),
  check(input) {
    const text = textOf(input);
    try {
      parseLabels(text, 'labels.txt');
    } catch (error) {
      refusedWith(error, 'BAD_MODEL');
    }
    try {
      const read = parseManifest(text);
      const { width, height, mean, std } = read.input;
      const numbers = [width, height, ...(mean ?? []), ...(std ?? []), read.output.topK];
      if (!numbers.every(Number.isFinite)) throw new Error('a number that is none was accepted');
      if (/[/\\]/.test(read.weights)) throw new Error('weights outside of the folder');
      return 'accepted';
    } catch (error) {
      return refusedWith(error, 'BAD_MODEL');
    }
  },
};
