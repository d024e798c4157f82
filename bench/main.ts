/**
 * `npm run bench -- NAME [options]`: measures the system, beside a peer in the same run or beside
 * published figures, and holds it to its goals. Progress goes to stderr, the verdict to stdout.
 */
import { readCount, runSuiteCommand, type Suite } from '../drills/lib/suite-command.js';
import { classic } from './classic.js';

export interface BenchOptions {
  /** Trials or rounds; each suite has its own default. */
  readonly rounds: number | undefined;
  readonly say: (text: string) => void;
}

const SUITES: Readonly<Record<string, Suite<BenchOptions>>> = {
  classic: {
    summary: 'the evaluation of the classic systems, on ten nodes; writes docs/evaluation.md',
    run: classic,
  },
};

await runSuiteCommand<BenchOptions>({
  kind: 'benchmark',
  usage: 'npm run bench -- NAME [--rounds N] [-o table|json]',
  suites: SUITES,
  options: { rounds: { type: 'string' } },
  read: (values, say) => ({ rounds: readCount(values, 'rounds'), say }),
});
