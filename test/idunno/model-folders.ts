/**
 * Builds model folders and images for tests: small ONNX files of fixtures/, manifests as asked for.
 */
import { copyFileSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDrawing, encodePng } from '../../src/image/index.js';

/** Files that are not compiled lie beside the sources: up from here to the package, then down. */
export function packageFile(...path: readonly string[]): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return join(dir, ...path);
}

export const TINY_MANIFEST = `name: tiny
version: 1
weights: model.onnx
labels: labels.txt
input:
  width: 2
  height: 2
  channels: GRAY
  scale: 1
output:
  kind: classification
  topK: 2
`;

export interface FolderParts {
  readonly manifest?: string;
  readonly labels?: string;
  /** A file of fixtures/, or the bytes themselves. */
  readonly weights?: 'tiny' | 'loop' | Uint8Array;
  /** Further files, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A folder on disk; removed with the test's directory. */
export function makeModelFolder(dir: string, parts: FolderParts = {}): string {
  const folder = mkdtempSync(join(dir, 'model-'));
  const weights = parts.weights ?? 'tiny';
  const target = join(folder, 'model.onnx');
  if (typeof weights === 'string') {
    copyFileSync(packageFile('test', 'idunno', 'fixtures', `${weights}.onnx`), target);
  } else {
    writeFileSync(target, weights);
  }
  writeFileSync(join(folder, 'labels.txt'), parts.labels ?? 'red\ngreen\nblue\n');
  writeFileSync(join(folder, 'model.yaml'), parts.manifest ?? TINY_MANIFEST);
  for (const [name, text] of Object.entries(parts.files ?? {})) {
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

export function makeTempDir(): string {
  return mkdtempSync(join(tmpdir(), 'idunno-test-'));
}

/** A PNG of one grey level. */
export function greyImage(level: number, side = 2): Uint8Array {
  const drawing = createDrawing(side, side);
  drawing.context.fillStyle = `rgb(${level},${level},${level})`;
  drawing.context.fillRect(0, 0, side, side);
  return encodePng(drawing);
}
