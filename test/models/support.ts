/**
 * Runs a shipped model exactly as a model host does: bytes → decodeImage → writeTensor → ONNX.
 * Only builds; the tests judge. Test data that is not in the repository is found through the
 * environment variable IDUNNO_TEST_DATA alone.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { loadSession, type OnnxSession } from '../../src/idunno/onnx.js';
import {
  type Bitmap,
  createTensor,
  decodeImage,
  type InputSpec,
  tensorShape,
  writeTensor,
} from '../../src/image/index.js';

/** The folder that holds package.json, whichever output folder this runs from. */
export const ROOT = findRoot(dirname(fileURLToPath(import.meta.url)));

/** Folder of the images that are not in the repository, or undefined. */
export const TEST_DATA = process.env['IDUNNO_TEST_DATA'];

/** Option of a test that needs the data: false, or why it is skipped. */
export const SKIP_WITHOUT_DATA = TEST_DATA === undefined ? 'IDUNNO_TEST_DATA is not set' : false;

/** What these tests read of a manifest. */
export interface Manifest {
  readonly name: string;
  readonly weights: string;
  readonly labels: string;
  readonly input: InputSpec & { readonly name: string };
  readonly output: { readonly name: string };
  readonly accuracy: { readonly top1: number };
}

/** An image with the label it should get. */
export interface Labelled {
  readonly bytes: Uint8Array;
  readonly label: string;
}

/** Reads a manifest as it is; whether it is well formed is another test's question. */
export function readManifest(folder: string): Manifest {
  return parse(readFileSync(join(ROOT, 'models', folder, 'model.yaml'), 'utf8')) as Manifest;
}

/** A loaded model that names the top label of images. */
export class ModelUnderTest {
  readonly labels: readonly string[];
  private readonly session: OnnxSession;
  private readonly manifest: Pick<Manifest, 'input' | 'output'>;

  private constructor(
    session: OnnxSession,
    manifest: Pick<Manifest, 'input' | 'output'>,
    labels: readonly string[],
  ) {
    this.session = session;
    this.manifest = manifest;
    this.labels = labels;
  }

  /** Loads a model of the folder models/ with its own manifest. */
  static async shipped(name: string): Promise<ModelUnderTest> {
    const manifest = readManifest(name);
    const folder = join(ROOT, 'models', name);
    return ModelUnderTest.load(
      join(folder, manifest.weights),
      join(folder, manifest.labels),
      manifest,
    );
  }

  static async load(
    weights: string,
    labels: string,
    manifest: Pick<Manifest, 'input' | 'output'>,
  ): Promise<ModelUnderTest> {
    const session = await loadSession(weights, { threads: 1 });
    return new ModelUnderTest(session, manifest, readLines(labels));
  }

  /** Raw outputs, one row per image. */
  async run(bitmaps: readonly Bitmap[]): Promise<Float32Array[]> {
    const { input, output } = this.manifest;
    const data = createTensor(input, bitmaps.length);
    for (const [index, bitmap] of bitmaps.entries()) writeTensor(bitmap, input, data, index);
    const dims = tensorShape(input, bitmaps.length);
    const result = await this.session.run(input.name, { dims, data }, output.name);
    const flat = Float32Array.from(result.data, Number);
    const width = flat.length / bitmaps.length;
    return bitmaps.map((_, index) => flat.slice(index * width, (index + 1) * width));
  }

  /** Share of images whose best output is their label, in batches of 32. */
  async top1(images: Iterable<Labelled>): Promise<number> {
    let right = 0;
    let count = 0;
    for (const batch of batches(images, 32)) {
      const bitmaps = await Promise.all(batch.map(({ bytes }) => decodeImage(bytes)));
      const rows = await this.run(bitmaps);
      for (const [index, row] of rows.entries()) {
        count += 1;
        if (this.labels[argmax(row)] === batch[index]?.label) right += 1;
      }
    }
    return right / count;
  }
}

/** Index of the largest number; the first of equals. */
export function argmax(row: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < row.length; i += 1) {
    if ((row[i] ?? -Infinity) > (row[best] ?? -Infinity)) best = i;
  }
  return best;
}

/** Photographs under FOLDER/LABEL/, in name order. */
export function* readPhotographs(folder: string, labels: readonly string[]): Generator<Labelled> {
  for (const label of labels) {
    for (const name of readdirSync(join(folder, label)).toSorted()) {
      yield { bytes: readFileSync(join(folder, label, name)), label };
    }
  }
}

/** The MNIST test set as bitmaps with labels (IDX files: big-endian headers of 16 and 8 bytes). */
export function readMnistTest(folder: string): { bitmap: Bitmap; label: string }[] {
  const images = gunzipSync(readFileSync(join(folder, 't10k-images-idx3-ubyte.gz'))).subarray(16);
  const labels = gunzipSync(readFileSync(join(folder, 't10k-labels-idx1-ubyte.gz'))).subarray(8);
  return Array.from(labels, (label, index) => {
    const rgba = new Uint8ClampedArray(784 * 4);
    for (let i = 0; i < 784; i += 1) {
      const grey = images[index * 784 + i] ?? 0;
      rgba.set([grey, grey, grey, 255], i * 4);
    }
    return { bitmap: { width: 28, height: 28, rgba }, label: String(label) };
  });
}

/** Lines of a text file without the empty last one. */
export function readLines(file: string): string[] {
  return readFileSync(file, 'utf8').trimEnd().split('\n');
}

function* batches<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  const parent = dirname(from);
  if (parent === from) throw new Error('no package.json above this file');
  return findRoot(parent);
}
