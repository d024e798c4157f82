/**
 * The process in which a target's cases run: what hangs, crashes or eats memory there is seen and
 * ended from outside (watched.ts). It notes the number of each case in a file before it begins.
 */
import { openSync, writeSync } from 'node:fs';
import { must } from '../src/base/index.js';
import { readCorpus } from './corpus.js';
import { runCases } from './engine.js';
import type { FuzzTarget } from './types.js';
import { CASE_BYTES, type ChildOrder } from './watched.js';

async function main(order: ChildOrder): Promise<void> {
  const { TARGETS } = (await import(order.targets)) as { TARGETS: readonly FuzzTarget[] };
  const found = TARGETS.find(({ name }) => name === order.target);
  const target = must(found, `target ${order.target}`);
  const file = openSync(order.caseFile, 'w');
  const note = Buffer.alloc(CASE_BYTES);
  const result = await runCases(target, {
    ...order,
    corpus: order.isCorpusTried ? readCorpus(target.name) : [],
    onCase: (at) => {
      note.writeDoubleBE(at);
      writeSync(file, note, 0, CASE_BYTES, 0);
    },
  });
  process.send?.(result, () => process.disconnect());
}

process.once('message', (order: ChildOrder) => void main(order));
