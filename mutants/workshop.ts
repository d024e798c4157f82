/**
 * A copy of the compiled code in a temporary folder, with a mutation in it. The checkout itself is
 * never touched. Packages and the data of tests are links into the checkout.
 */
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PatchedFile } from './patch.js';

/** What tests and the simulator need of the compiled code. */
const COMPILED = ['dist/src', 'dist/test'];
/** Made anew by the copy, or of no use in it. */
const LEFT_OUT = ['dist', '.git', '.tap', '.out'];

export interface Workshop {
  readonly folder: string;
  remove(): void;
}

export function createWorkshop(root: string, patched: readonly PatchedFile[]): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'idunno-mutant-'));
  for (const name of readdirSync(root)) {
    if (!LEFT_OUT.includes(name)) symlinkSync(join(root, name), join(folder, name));
  }
  for (const part of COMPILED) {
    cpSync(join(root, part), join(folder, part), {
      recursive: true,
      filter: (path) => !path.endsWith('.map'),
    });
  }
  for (const { file, javascript } of patched) {
    writeFileSync(join(folder, 'dist/src', file.replace(/\.ts$/, '.js')), javascript);
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
