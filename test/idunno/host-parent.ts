/**
 * Stands for a node in model-host.proc.test.ts: loads the model of a folder, starts a run on an
 * image, prints the process id of the model host, and waits to be killed.
 */
import { readFileSync } from 'node:fs';
import { createRealClock, createSilentLogger, must } from '../../src/base/index.js';
import { ModelHostPool } from '../../src/idunno/model-host-pool.js';

const dir = must(process.argv[2], 'a folder');
const bytes = readFileSync(must(process.argv[3], 'an image'));
const pool = new ModelHostPool(
  { slots: 1, threads: 1 },
  { clock: createRealClock(), log: createSilentLogger() },
);
pool.onState((_, state) => {
  if (state !== 'warm') return;
  const seat = must(pool.acquire('loop', 1), 'a seat');
  const facts = { query: 0, item: 0, repetition: 0, input: 'i/0', version: 1, error: undefined };
  void seat.infer([{ ...facts, bytes }]);
  process.stdout.write(String(pool.processes('loop', 1)[0]));
});
pool.load({ name: 'loop', revision: 1, dir });
