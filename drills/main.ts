/**
 * `npm run drill -- NAME [options]`: puts a cluster of real processes under one kind of trouble and
 * holds it to its promises. Progress goes to stderr, the verdict to stdout.
 */
import { parseArgs } from 'node:util';
import { describeTargets, type Report } from '../src/base/index.js';
import { crashDetection } from './crash-detection.js';
import { killLeader } from './kill-leader.js';
import { killThree } from './kill-three.js';

export interface DrillOptions {
  readonly rounds: number | undefined;
  /** A file of config/ or a path; each drill has its own default. */
  readonly config: string | undefined;
  readonly withJobs: boolean;
  readonly say: (text: string) => void;
}

interface Drill {
  readonly summary: string;
  run(options: DrillOptions): Promise<Report>;
}

const DRILLS: Readonly<Record<string, Drill>> = {
  'kill-leader': {
    summary: 'kill -9 the Raft leader again and again while writes (and tasks) are in flight',
    run: killLeader,
  },
  'kill-three': {
    summary: 'kill three of ten nodes at once while files are put and two jobs run',
    run: killThree,
  },
  'crash-detection': {
    summary: 'how fast every node learns of one crash, and of three neighbours at once',
    run: crashDetection,
  },
};

function usage(): string {
  const names = Object.entries(DRILLS).map(
    ([name, drill]) => `  ${name.padEnd(18)}${drill.summary}`,
  );
  return [
    'usage: npm run drill -- NAME [--rounds N] [--config FILE] [--with-jobs] [-o table|json]',
    ...names,
  ].join('\n');
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      config: { type: 'string' },
      'with-jobs': { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'table' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const name = positionals[0] ?? '';
  const drill = DRILLS[name];
  if (values.help) {
    process.stdout.write(`${usage()}\n`);
    return 0;
  }
  if (drill === undefined)
    throw new TypeError(name === '' ? 'name a drill' : `there is no drill "${name}"`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 10_000)) {
    throw new TypeError(`--rounds takes a whole number from 1 to 10000, not "${values.rounds}"`);
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => process.exit(130));
  const report = await drill.run({
    rounds,
    config: values.config,
    withJobs: values['with-jobs'],
    say: (text) => process.stderr.write(`${text}\n`),
  });
  const text = values.output === 'json' ? JSON.stringify(report, null, 2) : describeTargets(report);
  process.stdout.write(`${text}\n`);
  return report.ok ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage = error instanceof TypeError;
  process.stderr.write(
    `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  if (isUsage) process.stderr.write(`${usage()}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
