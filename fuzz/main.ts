/**
 * `npm run fuzz`: feeds everything that reads bytes or text from outside, or from disk, with what no
 * honest writer wrote. It must read a value that means the same when written again, or refuse it
 * with a typed error; nothing else, and in bounded time and memory.
 */
import { parseArgs } from 'node:util';
import { optionsOrUsage } from '../drills/lib/options-or-usage.js';
import { createReport, describeTargets, type Report, target } from '../src/base/index.js';
import { keepInCorpus } from './corpus.js';
import { caseOf } from './engine.js';
import { TARGETS } from './targets/index.js';
import type { FuzzResult, FuzzTarget } from './types.js';
import { runWatched } from './watched.js';

const USAGE = `usage: npm run fuzz -- NAME|all [--cases N] [--seed S] [--case K] [--keep] [-o text|json]
  --cases N   so many cases of each target (its own number)
  --seed S    another seed gives other cases (1)
  --case K    only this case, and its bytes
  --keep      what failed goes into fuzz/corpus/NAME, where every later run tries it first
targets:
${TARGETS.map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`).join('\n')}`;

interface Options {
  readonly name: string;
  readonly chosen: readonly FuzzTarget[];
  readonly cases: number | undefined;
  readonly seed: string;
  readonly only: number | undefined;
  readonly isKept: boolean;
  readonly isJson: boolean;
}

/** Returns what is wrong with the arguments as text. */
function readOptions(args: readonly string[]): Options | string {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      cases: { type: 'string' },
      seed: { type: 'string', default: '1' },
      case: { type: 'string' },
      keep: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'text' },
    },
  });
  const [name = '', ...rest] = positionals;
  const chosen = TARGETS.filter((each) => name === 'all' || each.name === name);
  if (chosen.length === 0 || rest.length > 0) return `name one target, or all`;
  for (const text of [values.cases, values.case]) {
    if (text !== undefined && !/^\d{1,12}$/.test(text)) return `"${text}" is not a number`;
  }
  if (values.case !== undefined && name === 'all') return '--case is of one target';
  if (!['text', 'json'].includes(values.output)) return `"${values.output}" is not a format`;
  return {
    name,
    chosen,
    cases: values.cases === undefined ? undefined : Number(values.cases),
    seed: values.seed,
    only: values.case === undefined ? undefined : Number(values.case),
    isKept: values.keep,
    isJson: values.output === 'json',
  };
}

async function main(): Promise<number> {
  const options = optionsOrUsage(readOptions, USAGE);
  if (options === undefined) return 2;
  const results: FuzzResult[] = [];
  for (const each of options.chosen) results.push(await runTarget(each, options));
  const report = judge(options, results);
  const text = options.isJson ? JSON.stringify(report, null, 2) : describeTargets(report);
  process.stdout.write(`${text}\n`);
  return report.ok ? 0 : 1;
}

async function runTarget(each: FuzzTarget, options: Options): Promise<FuzzResult> {
  const { seed, only } = options;
  if (only !== undefined) {
    const { input } = caseOf(each, seed, only);
    say(`${each.name} case ${only} of seed ${seed}, ${input.length} bytes: ${hexOf(input)}`);
  }
  const result = await runWatched(each, {
    seed,
    from: only ?? 0,
    cases: only === undefined ? (options.cases ?? each.cases) : 1,
    isCorpusTried: only === undefined,
  });
  const { cases, accepted, refused, failures } = result;
  say(`${each.name}: ${cases} cases, ${accepted} accepted, ${refused} refused`);
  for (const { at, problem, shrunk } of failures) {
    say(`  FAILED ${problem}`);
    say(`    shrunk to ${shrunk.length} bytes: ${hexOf(shrunk)}`);
    if (at !== undefined)
      say(`    again: npm run fuzz -- ${each.name} --seed ${seed} --case ${at}`);
    if (options.isKept) say(`    kept: ${keepInCorpus(each.name, shrunk)}`);
  }
  return result;
}

function judge({ name, seed }: Options, results: readonly FuzzResult[]): Report {
  const failures = results.flatMap((result) => result.failures);
  return createReport(
    `fuzz ${name}`,
    [target('failing cases', 'cases', 'equal', 0, failures.length)],
    {
      seed,
      cases: results.reduce((sum, { cases }) => sum + cases, 0),
      results: results.map((result) => ({
        ...result,
        failures: result.failures.map(({ at, problem, shrunk }) => ({
          ...(at === undefined
            ? { from: 'corpus' }
            : { replay: `npm run fuzz -- ${result.target} --seed ${seed} --case ${at}` }),
          problem,
          shrunk: hexOf(shrunk),
        })),
      })),
    },
  );
}

/** Long inputs are in the corpus, or made again by the case. */
function hexOf(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, 400)).toString('hex');
  return bytes.length > 400 ? `${shown}…` : shown;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

process.exitCode = await main();
