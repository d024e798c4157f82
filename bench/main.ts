/**
 * `npm run bench -- NAME [options]`: measures the system, beside a peer in the same run or beside
 * published figures, and holds it to its goals. Progress goes to stderr, the verdict to stdout.
 */
import { readCount, runSuiteCommand, type Suite } from '../drills/lib/suite-command.js';
import { classic } from './classic.js';
import { failover, FAILOVER_PARTS } from './failover.js';
import { metadata } from './metadata.js';

export interface BenchOptions {
  /** Trials or rounds; each suite has its own default. */
  readonly rounds: number | undefined;
  /** Rows of state that a node recovers with (failover). */
  readonly rows: number | undefined;
  /** Only this is measured (failover). */
  readonly part: (typeof FAILOVER_PARTS)[number] | undefined;
  readonly say: (text: string) => void;
}

const SUITES: Readonly<Record<string, Suite<BenchOptions>>> = {
  classic: {
    summary: 'the evaluation of the classic systems, on ten nodes; writes docs/evaluation.md',
    run: classic,
  },
  metadata: {
    summary: 'writes and linearizable reads of 1, 64 and 256 clients, beside etcd',
    run: metadata,
  },
  failover: {
    summary: 'kill -9, SIGSTOP and orderly stop of the leader, as a writing client feels them',
    run: failover,
  },
};

function readPart(text: unknown): BenchOptions['part'] {
  const part = FAILOVER_PARTS.find((each) => each === text);
  if (part !== undefined || text === undefined) return part;
  throw new TypeError(`--part takes ${FAILOVER_PARTS.join(', ')}, not "${String(text)}"`);
}

await runSuiteCommand<BenchOptions>({
  kind: 'benchmark',
  usage: 'npm run bench -- NAME [--rounds N] [--rows N] [--part PART] [-o table|json]',
  suites: SUITES,
  options: { rounds: { type: 'string' }, rows: { type: 'string' }, part: { type: 'string' } },
  read: (values, say) => ({
    rounds: readCount(values, 'rounds'),
    rows: readCount(values, 'rows', 10_000_000),
    part: readPart(values['part']),
    say,
  }),
});
