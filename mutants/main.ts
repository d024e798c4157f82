/**
 * `npm run mutants`: makes each mistake of the catalogue in a copy of the code, one at a time, and
 * requires that a named test or the simulator notices it within so many seeds. The code as it is
 * must pass all the same tests and seeds first: else a catch would mean nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { optionsOrUsage } from '../drills/lib/options-or-usage.js';
import { createReport, describeTargets, type Report, target } from '../src/base/index.js';
import { CATALOGUE } from './catalogue.js';
import { renderTable, replaceRows } from './table.js';
import { type Effort, isCaught, problemsOf, type Trial, tryControl, tryMutation } from './trial.js';
import type { Mutation } from './types.js';

const USAGE = `usage: npm run mutants -- [ID ...] [--seeds N] [--write] [-o text|json]
  --seeds N   within so many seeds (1000); where a test has noticed, 250 of them
  --thorough  all seeds also where a test has noticed
  --write     puts the rows of what was tried into the table in docs/raft.md`;

const SEEDS = 1_000;
/** Most mistakes show within these; the others were noticed by a test. */
const SEEDS_AFTER_TEST = 250;
const CAUGHT_GOAL = 20;
/** Compiled, this file is in dist/mutants. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Options {
  readonly chosen: readonly Mutation[];
  readonly effort: Effort;
  readonly isWritten: boolean;
  readonly isJson: boolean;
}

/** Returns what is wrong with the arguments as text. */
function readOptions(args: readonly string[]): Options | string {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seeds: { type: 'string', default: `${SEEDS}` },
      thorough: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const chosen = CATALOGUE.filter(({ id }) => positionals.length === 0 || positionals.includes(id));
  const unknown = positionals.find((id) => !chosen.some((mutation) => mutation.id === id));
  if (unknown !== undefined) return `there is no mutation "${unknown}"`;
  if (!/^[1-9]\d{0,6}$/.test(values.seeds)) return `"${values.seeds}" is not a number of seeds`;
  if (!['text', 'json'].includes(values.output))
    return `"${values.output}" is not an output format`;
  const seeds = Number(values.seeds);
  const seedsAfterTest = values.thorough ? seeds : Math.min(seeds, SEEDS_AFTER_TEST);
  return {
    chosen,
    effort: { seeds, seedsAfterTest },
    isWritten: values.write,
    isJson: values.output === 'json',
  };
}

async function main(): Promise<number> {
  const options = optionsOrUsage(readOptions, USAGE);
  if (options === undefined) return 2;
  const { report, trials } = await run(options);
  const table = renderTable(trials);
  if (options.isWritten && report.ok) writeTable(table);
  const text = options.isJson
    ? JSON.stringify(report, null, 2)
    : `${table}\n\n${describeTargets(report)}`;
  process.stdout.write(`${text}\n`);
  return report.ok ? 0 : 1;
}

async function run(options: Options): Promise<{ report: Report; trials: readonly Trial[] }> {
  const { chosen, effort } = options;
  const tests = [...new Set(chosen.flatMap((mutation) => mutation.tests))].sort();
  const trials = new Map<string, Trial>();
  let control: string[] = [];
  const work = [
    async () => {
      control = await tryControl(ROOT, tests, effort.seeds);
      say(`control: ${control.length === 0 ? 'passes' : control.join('; ')}`);
    },
    ...chosen.map((mutation) => async () => {
      const trial = await tryMutation(ROOT, mutation, effort);
      trials.set(mutation.id, trial);
      say(describe(trial));
    }),
  ];
  await inParallel(work, availableParallelism());
  const ordered = chosen.flatMap(({ id }) => trials.get(id) ?? []);
  return { report: judge(ordered, control, effort.seeds), trials: ordered };
}

function judge(trials: readonly Trial[], control: readonly string[], seeds: number): Report {
  const caught = trials.filter(isCaught);
  const missed = trials.filter((trial) => !isCaught(trial)).map(({ mutation }) => mutation.id);
  const bySimulation = trials.filter(({ simulation }) => simulation?.kind === 'caught').length;
  const goal = Math.min(CAUGHT_GOAL, trials.length);
  const problems = trials.flatMap(problemsOf);
  const targets = [
    target('failures without a mutation', 'count', 'equal', 0, control.length),
    target('caught', 'mutations', 'at-least', goal, caught.length),
    target('not caught', 'mutations', 'equal', 0, missed.length),
    target('runs that said nothing', 'count', 'equal', 0, problems.length),
  ];
  return createReport(
    'mutants',
    targets,
    {
      caught: caught.length,
      of: trials.length,
      caughtBySimulation: bySimulation,
      simulated: trials.filter(({ simulation }) => simulation !== undefined).length,
      missed,
      seeds,
      mutations: trials.map(({ mutation, simulation, test }) => ({
        id: mutation.id,
        mistake: mutation.mistake,
        simulation,
        test,
      })),
    },
    [...control, ...problems],
  );
}

/** At most so many at a time, begun in order. A failure ends it all. */
async function inParallel(work: readonly (() => Promise<void>)[], count: number): Promise<void> {
  const left = [...work];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await next();
  };
  await Promise.all(Array.from({ length: count }, worker));
}

function writeTable(table: string): void {
  const path = join(ROOT, 'docs/raft.md');
  writeFileSync(path, replaceRows(readFileSync(path, 'utf8'), table));
  say(`the table is in ${path}`);
}

function describe({ mutation, simulation, test }: Trial): string {
  const words = [simulation, test].map((verdict) => {
    if (verdict === undefined) return 'not simulated';
    if (verdict.kind === 'broken') return verdict.why;
    if (verdict.kind === 'missed') return 'not noticed';
    return verdict.seed === undefined ? verdict.by : `${verdict.by} at seed ${verdict.seed}`;
  });
  return `${mutation.id} ${mutation.mistake}: ${words.join(' · ')}`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

process.exitCode = await main();
