/** Damage to one file of a node's data folder: a byte flipped, or a tail cut off. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import type { Rng } from '../../src/base/index.js';

/** What of a data folder belongs to consensus: each place gets its share of the rounds. */
export const PLACES = ['log', 'state', 'watermark', 'identity'] as const;
export type Place = (typeof PLACES)[number];

export interface Damage {
  readonly place: Place;
  /** Relative to the data folder. */
  readonly file: string;
  readonly what: string;
}

/** Undefined where there is nothing to damage. */
export function damageOneFile(dataDir: string, place: Place, rng: Rng): Damage | undefined {
  const files = filesOf(dataDir, place).filter((path) => statSync(path).size > 0);
  const path = files[rng.int(Math.max(1, files.length))];
  if (path === undefined) return undefined;
  const { size } = statSync(path);
  const file = relative(dataDir, path);
  if (rng.int(3) === 0) {
    const keep = rng.int(2) === 0 ? rng.int(size) : Math.max(0, size - 1 - rng.int(64));
    truncateSync(path, keep);
    return { place, file, what: `cut from ${size} to ${keep} bytes` };
  }
  const bytes = readFileSync(path);
  const at = rng.int(size);
  const bit = rng.int(8);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  writeFileSync(path, bytes);
  return { place, file, what: `bit ${bit} of byte ${at} of ${size} flipped` };
}

function filesOf(dataDir: string, place: Place): string[] {
  switch (place) {
    case 'log':
      return below(join(dataDir, 'raft')).filter((path) => !path.endsWith('/watermark'));
    case 'state':
      return below(join(dataDir, 'state'));
    case 'watermark':
      return [join(dataDir, 'raft/watermark')].filter((path) => existsSync(path));
    case 'identity':
      return ['identity.json', 'epoch.json']
        .map((name) => join(dataDir, name))
        .filter((path) => existsSync(path));
  }
}

/** Not what was moved aside earlier: nobody reads that again. */
function below(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/\/(log\.damaged|damaged)\//.test(path));
}
