/** The simulation of the consensus core, as far as an ordinary test run goes; more: npm run sim. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { FAULT_KINDS, OPERATIONS_MIN, type RunResult, runSeed } from '../../src/sim/index.js';
import { projectRoot } from '../raft/root.js';

const SEEDS = Array.from({ length: 20 }, (_, at) => at + 1);
const results = new Map<number, RunResult>();

function resultOf(seed: number): RunResult {
  const known = results.get(seed) ?? runSeed(seed);
  results.set(seed, known);
  return known;
}

t.test('20 seeds keep every promise under faults, and come back to work afterwards', (t) => {
  for (const seed of SEEDS) {
    const { violation } = resultOf(seed);
    t.equal(violation, undefined, `seed ${seed}`);
  }
  t.end();
});

t.test('a seed is at least 60 virtual seconds and 200 completed operations', (t) => {
  for (const seed of SEEDS) {
    const { virtualMs, operations } = resultOf(seed);
    t.ok(virtualMs >= 60_000, `seed ${seed}: ${virtualMs} ms`);
    t.ok(operations.done >= OPERATIONS_MIN, `seed ${seed}: ${operations.done} operations`);
  }
  t.end();
});

t.test('every kind of fault strikes, and leaders change', (t) => {
  for (const kind of FAULT_KINDS) {
    const struck = SEEDS.reduce((sum, seed) => sum + resultOf(seed).faults[kind], 0);
    t.ok(struck > 0, `${kind}: ${struck}`);
  }
  const elections = SEEDS.reduce((sum, seed) => sum + resultOf(seed).elections, 0);
  t.ok(elections / SEEDS.length > 4, `${elections / SEEDS.length} elections per seed`);
  t.end();
});

t.test('two runs of one seed are equal, line by line', (t) => {
  for (const seed of SEEDS.slice(0, 5)) {
    const lines: string[] = [];
    const again = runSeed(seed, { print: (line) => lines.push(line) });
    t.equal(again.traceHash, resultOf(seed).traceHash, `seed ${seed}`);
    t.ok(lines.length > 1_000);
  }
  t.end();
});

t.test('a fresh process tells the same story of a seed', (t) => {
  const main = join(projectRoot(), 'dist/src/sim/main.js');
  const args = [main, '--from', '1', '--seeds', '3', '-o', 'hashes'];
  const lines = execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n');
  t.same(
    lines,
    [1, 2, 3].map((seed) => `${seed} ${resultOf(seed).traceHash}`),
  );
  t.end();
});

t.test('different seeds are different runs', (t) => {
  t.equal(new Set(SEEDS.map((seed) => resultOf(seed).traceHash)).size, SEEDS.length);
  t.end();
});
