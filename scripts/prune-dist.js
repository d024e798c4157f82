/**
 * Removes compiled files whose source is gone, so that a deleted or renamed test does not run on.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = new URL('..', import.meta.url).pathname;
const dist = join(root, 'dist');

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.js(\.map)?$/.test(entry.name)) continue;
  const compiled = join(entry.parentPath, entry.name);
  const source = join(root, relative(dist, compiled)).replace(/\.js(\.map)?$/, '.ts');
  if (!existsSync(source)) rmSync(compiled);
}
