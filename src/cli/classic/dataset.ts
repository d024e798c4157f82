/**
 * Datasets as the classic commands name them: `lenet.png` means the files `lenet.*.png`, where `.*`
 * stands for anything, so `lenet.1.png`, `lenet_7.png` and `lenet.png` itself. Pure.
 */
import { extname } from 'node:path';
import type { JobSpec } from '../../idunno/index.js';

/** Which local files an upload takes. */
export function datasetPattern(dataset: string): RegExp {
  const [stem, extension] = splitDataset(dataset);
  const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${literal(stem)}.*${literal(extension)}$`, 's');
}

/** `lenet.png` → `lenet*.png`: what selects an uploaded dataset. */
export function globOf(dataset: string): string {
  const [stem, extension] = splitDataset(dataset);
  const literal = (text: string): string => text.replace(/[*?[\\]/g, '\\$&');
  return `${literal(stem)}*${literal(extension)}`;
}

/** The inputs of a job on a dataset: a folder that was put (`digits/`), a pattern, or a dataset. */
export function inputsOf(dataset: string): JobSpec['inputs'] {
  if (dataset.endsWith('/')) return { prefix: dataset };
  return { glob: /[*?[]/.test(dataset) ? dataset : globOf(dataset) };
}

/** `lenet.*.png`, as the classic systems wrote it. */
export function classicPattern(dataset: string): string {
  const [stem, extension] = splitDataset(dataset);
  return `${stem}.*${extension}`;
}

function splitDataset(dataset: string): [stem: string, extension: string] {
  const extension = extname(dataset);
  return [dataset.slice(0, dataset.length - extension.length), extension];
}
