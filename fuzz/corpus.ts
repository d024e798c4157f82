/** `fuzz/corpus/TARGET/*`: inputs that once failed, whole files, tried first in every run. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiled, this file is in dist/fuzz. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export function readCorpus(target: string): Uint8Array[] {
  const folder = folderOf(target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((name) => Uint8Array.from(readFileSync(join(folder, name))));
}

/** Returns where it is, from the project's folder. */
export function keepInCorpus(target: string, input: Uint8Array): string {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 12);
  mkdirSync(folderOf(target), { recursive: true });
  writeFileSync(join(folderOf(target), name), input);
  return `fuzz/corpus/${target}/${name}`;
}

function folderOf(target: string): string {
  return join(ROOT, 'fuzz/corpus', target);
}
