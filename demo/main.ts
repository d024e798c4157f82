/**
 * The demonstration: five real nodes on this machine, two image models, two jobs, the leader
 * killed in the middle. At the end it proves that nothing was lost: every query has exactly one
 * result, every acknowledged write reads back, and the labels are right as often as promised.
 *
 * Times and the rate gap are shown; they decide nothing. Correctness and accuracy do.
 */
import { parseArgs } from 'node:util';
import { createReport, describeTargets, isIdunnoError, target } from '../src/base/index.js';
import { writePictures } from './pictures.js';
import { type DemoOptions, type DemoResult, runDemo } from './run.js';
import { Screen } from './screen.js';
import { describeTable } from './table.js';

const USAGE = `usage: npm run demo -- [--quick] [--seed N] [--images N] [--out FOLDER] [-o table|json]`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      seed: { type: 'string', default: '2026' },
      images: { type: 'string' },
      out: { type: 'string', default: 'demo-output' },
      output: { type: 'string', short: 'o', default: 'table' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const options: DemoOptions = {
    seed: wholeNumber('--seed', values.seed),
    images: wholeNumber('--images', values.images ?? (values.quick ? '100' : '250')),
    workSeconds: values.quick ? 8 : 20,
  };
  const screen = new Screen();
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      screen.endLive();
      screen.say('interrupted: ending the nodes');
      interrupt.abort();
    });
  }
  const result = await runDemo(options, screen, interrupt.signal);
  const pictures = await writePictures(result, values.out);
  for (const path of pictures) screen.say(`wrote ${path}`);
  const report = reportOf(result, pictures);
  if (values.output === 'json') process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(`\n${describeTable(result)}\n${describeTargets(report)}\n`);
  for (const problem of result.problems) process.stderr.write(`problem: ${problem}\n`);
  return report.ok ? 0 : 1;
}

function reportOf(
  result: DemoResult,
  pictures: readonly string[],
): ReturnType<typeof createReport> {
  const targets = [
    target('lostWrites', 'writes', 'equal', 0, result.lostWrites),
    target('duplicatedWrites', 'writes', 'equal', 0, result.duplicatedWrites),
    target('missingResults', 'results', 'equal', 0, result.missingResults),
    target('duplicateResults', 'results', 'equal', 0, result.duplicateResults),
    ...result.jobs.map((job) =>
      target(`accuracy.${job.model}`, 'share', 'at-least', job.accuracyGoal, job.accuracy),
    ),
  ];
  const { jobs, timeline: _timeline, problems: _problems, ...figures } = result;
  const fields = {
    ...figures,
    accuracy: Object.fromEntries(jobs.map((job) => [job.model, job.accuracy])),
    jobs: jobs.map(({ tiles: _tiles, ...job }) => job),
    files: pictures,
  };
  return createReport('demo', targets, fields, result.problems);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 1_000_000) return value;
  throw new TypeError(`${name} takes a whole number from 1 to 1000000, not "${text}"`);
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof TypeError;
  const aborted =
    isIdunnoError(error, 'ABORTED') || (error instanceof Error && error.name === 'AbortError');
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  if (isUsage) process.stderr.write(`${USAGE}\n`);
  else if (!aborted && error instanceof Error && error.stack)
    process.stderr.write(`${error.stack}\n`);
  process.exitCode = isUsage ? 2 : aborted ? 130 : 1;
}
