/**
 * `node main.js OUT_DIR KIND COUNT SEED`: writes COUNT drawings as OUT_DIR/KIND_LABEL_NNNN.png,
 * and OUT_DIR/labels.json, an object from file name to label.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DRAWING_KINDS, drawSet } from './sets.js';

const USAGE = `usage: main.js OUT_DIR ${DRAWING_KINDS.join('|')} COUNT SEED`;

/** Runs the command; returns its exit code. */
export function main(args: readonly string[]): number {
  const [folder, kindText, countText, seedText] = args;
  const kind = DRAWING_KINDS.find((name) => name === kindText);
  const count = Number(countText);
  const seed = Number(seedText);
  if (folder === undefined || kind === undefined) return usage();
  if (!Number.isInteger(count) || count < 1 || !Number.isInteger(seed)) return usage();

  mkdirSync(folder, { recursive: true });
  const labels: Record<string, string> = {};
  const digits = Math.max(4, String(count - 1).length);
  let index = 0;
  for (const { png, label } of drawSet(kind, count, seed)) {
    const name = `${kind}_${label}_${String(index).padStart(digits, '0')}.png`;
    writeFileSync(join(folder, name), png);
    labels[name] = label;
    index += 1;
  }
  writeFileSync(join(folder, 'labels.json'), `${JSON.stringify(labels, undefined, 1)}\n`);
  process.stderr.write(`wrote ${count} ${kind} to ${folder}\n`);
  return 0;
}

function usage(): number {
  process.stderr.write(`${USAGE}\n`);
  return 2;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = main(process.argv.slice(2));
