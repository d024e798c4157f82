/**
 * The frame that `npm run drill` and `npm run bench` share: `NAME [options]`, one suite at a time,
 * progress to stderr, the verdict to stdout, exit status 0 only if every target was met.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { describeTargets, type Report } from '../../src/base/index.js';

export interface Suite<Options> {
  readonly summary: string;
  run(options: Options): Promise<Report>;
}

export type OptionValues = Readonly<Record<string, string | boolean | undefined>>;

export interface SuiteCommand<Options> {
  /** What one of its suites is called in sentences. */
  readonly kind: string;
  readonly usage: string;
  readonly suites: Readonly<Record<string, Suite<Options>>>;
  /** Beside `--output` and `--help`. */
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Throws TypeError about what was typed. */
  read(values: OptionValues, say: (text: string) => void): Options;
}

/** Sets the exit status: 0 all met, 1 not, 2 usage. */
export async function runSuiteCommand<Options>(command: SuiteCommand<Options>): Promise<void> {
  try {
    process.exitCode = await runSuite(command);
  } catch (error) {
    const isUsage = error instanceof TypeError;
    process.stderr.write(
      `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    if (isUsage) process.stderr.write(`${describeUsage(command)}\n`);
    process.exitCode = isUsage ? 2 : 1;
  }
}

async function runSuite<Options>(command: SuiteCommand<Options>): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...command.options,
      output: { type: 'string', short: 'o', default: 'table' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values['help'] === true) {
    process.stdout.write(`${describeUsage(command)}\n`);
    return 0;
  }
  const name = positionals[0] ?? '';
  const suite = command.suites[name];
  if (suite === undefined) {
    throw new TypeError(
      name === '' ? `name a ${command.kind}` : `there is no ${command.kind} "${name}"`,
    );
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => process.exit(130));
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const report = await suite.run(command.read(values as OptionValues, say));
  const isJson = values['output'] === 'json';
  process.stdout.write(`${isJson ? JSON.stringify(report, null, 2) : describeTargets(report)}\n`);
  return report.ok ? 0 : 1;
}

function describeUsage<Options>(command: SuiteCommand<Options>): string {
  const names = Object.entries(command.suites).map(
    ([name, suite]) => `  ${name.padEnd(18)}${suite.summary}`,
  );
  return [`usage: ${command.usage}`, ...names].join('\n');
}

/** A count given as an option; undefined where none was given. */
export function readCount(values: OptionValues, name: string, max = 10_000): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= max) return count;
  throw new TypeError(`--${name} takes a whole number from 1 to ${max}, not "${text}"`);
}
