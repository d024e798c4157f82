/**
 * How a failing leader is felt by a client (P2): killed, frozen, stopped in order, round after
 * round on three nodes with preset `local` and no inference, by one client that writes one
 * replicated command after the other and asks another node after 200 ms of silence. Beside etcd,
 * killed likewise. And how soon a node with a million rows is back.
 *
 * `--part kill`, `freeze`, `stop` or `recovery` measures that alone, without etcd.
 *
 * Killed and frozen: from the signal to the acknowledgement of the first write *sent after it*.
 * Stopped in order: the longest that any write took which was under way at the signal or later.
 */
import {
  assertNever,
  createReport,
  percentile,
  type Report,
  type Target,
  target,
} from '../src/base/index.js';
import { EtcdSubject } from './failover/etcd-subject.js';
import { IdunnoSubject } from './failover/idunno-subject.js';
import { type Phases, phasesOf, readRoles } from './failover/phases.js';
import { measureRecovery, type Recovery } from './failover/recovery.js';
import { type Kind, type Round, runRound, type Subject } from './failover/rounds.js';
import { ETCD_MISSING, etcdVersion } from './lib/etcd-cluster.js';
import type { BenchOptions } from './main.js';

const ROUNDS_DEFAULT = 200;
const ETCD_ROUNDS_MAX = 50;
const ROWS_DEFAULT = 1_000_000;
const SLOWEST = 5;
const KINDS: readonly Kind[] = ['kill', 'freeze', 'stop'];

/** What can be measured alone. */
export const FAILOVER_PARTS: readonly (Kind | 'recovery')[] = [...KINDS, 'recovery'];

const NAMES: Readonly<Record<Kind, string>> = {
  kill: 'kill -9',
  freeze: 'SIGSTOP',
  stop: 'graceful stop',
};

interface ExplainedRound extends Round {
  readonly phases: Phases;
}

interface KindResult {
  readonly kind: Kind;
  readonly rounds: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly failedWrites: number;
  /** Rounds by time: [up to so many ms, rounds]. */
  readonly histogram: readonly (readonly [number, number])[];
  readonly slowest: readonly ExplainedRound[];
}

export async function failover({
  rounds = ROUNDS_DEFAULT,
  rows = ROWS_DEFAULT,
  part,
  say,
}: BenchOptions): Promise<Report> {
  const results: KindResult[] = [];
  for (const kind of KINDS) {
    if (part === undefined || part === kind) results.push(await measureKind(kind, rounds, say));
  }
  const etcdRounds = Math.min(rounds, ETCD_ROUNDS_MAX);
  const etcd = part === undefined ? await measureEtcd(etcdRounds, say) : undefined;
  const isRecovery = part === undefined || part === 'recovery';
  const recovery = isRecovery ? await recover(rows, say) : undefined;
  for (const result of results) say(describe(result));
  const fields = {
    rounds,
    idunno: results,
    ...(part === undefined ? { etcd: etcd ?? ETCD_MISSING } : { part }),
    ...(recovery === undefined ? {} : { recovery }),
  };
  return createReport('failover', targetsOf(results, recovery, etcd), fields);
}

async function measureKind(
  kind: Kind,
  rounds: number,
  say: (text: string) => void,
): Promise<KindResult> {
  const subject = await IdunnoSubject.start(say);
  try {
    const done = await runRounds(subject, kind, rounds, say);
    const roles = await readRoles(subject.cluster.nodes.map(({ dataDir }) => dataDir));
    return resultOf(
      kind,
      done.map((round) => ({ ...round, phases: phasesOf(round, roles) })),
    );
  } finally {
    await subject.stop();
  }
}

async function runRounds(
  subject: Subject,
  kind: Kind,
  count: number,
  say: (text: string) => void,
): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let i = 1; i <= count; i += 1) {
    const round = await runRound(subject, kind);
    rounds.push(round);
    const ms = msOf(round).toFixed(1);
    const failed = round.failedWrites === 0 ? '' : `, ${round.failedWrites} writes failed`;
    say(`${NAMES[kind]} ${i}/${count}: ${round.leader}, ${ms} ms${failed}`);
  }
  return rounds;
}

async function measureEtcd(
  rounds: number,
  say: (text: string) => void,
): Promise<KindResult | undefined> {
  if (etcdVersion() === undefined) {
    say(ETCD_MISSING);
    return undefined;
  }
  const subject = await EtcdSubject.start();
  try {
    const done = await runRounds(subject, 'kill', rounds, (text) => say(`etcd: ${text}`));
    const nothing = phasesOf(done[0] ?? NO_ROUND, []);
    return resultOf(
      'kill',
      done.map((round) => ({ ...round, phases: nothing })),
    );
  } finally {
    await subject.stop();
  }
}

const NO_ROUND: Round = {
  kind: 'kill',
  leader: '',
  struckAtMs: 0,
  nextWriteMs: 0,
  longestWriteMs: 0,
  failedWrites: 0,
  errors: [],
};

async function recover(rows: number, say: (text: string) => void): Promise<Recovery> {
  const subject = await IdunnoSubject.start(say);
  try {
    return await measureRecovery(subject, rows, say);
  } finally {
    await subject.stop();
  }
}

/** What a round is judged by. */
function msOf({ kind, nextWriteMs, longestWriteMs }: Round): number {
  return kind === 'stop' ? longestWriteMs : nextWriteMs;
}

function resultOf(kind: Kind, rounds: readonly ExplainedRound[]): KindResult {
  const times = rounds.map(msOf);
  const slowest = [...rounds].sort((a, b) => msOf(b) - msOf(a)).slice(0, SLOWEST);
  return {
    kind,
    rounds: rounds.length,
    p50: percentile(times, 50),
    p90: percentile(times, 90),
    p99: percentile(times, 99),
    max: Math.max(...times),
    failedWrites: rounds.reduce((sum, { failedWrites }) => sum + failedWrites, 0),
    histogram: histogramOf(times),
    slowest,
  };
}

const EDGES_MS = [5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 700, 1_000, 3_000, 10_000];

function histogramOf(times: readonly number[]): [number, number][] {
  return EDGES_MS.map((edge, at): [number, number] => {
    const from = EDGES_MS[at - 1] ?? 0;
    return [edge, times.filter((ms) => ms > from && ms <= edge).length];
  }).filter(([, count]) => count > 0);
}

function describe({ kind, rounds, p50, p99, max, slowest }: KindResult): string {
  const lines = slowest.map((round) => {
    const { detectMs, electMs, readyMs, answerMs, campaigns } = round.phases;
    const parts = [detectMs, electMs, readyMs, answerMs].map((ms) => ms?.toFixed(0) ?? '?');
    const [detect, elect, ready, answer] = parts;
    return `  ${msOf(round).toFixed(0)} ms: noticed ${detect}, elected ${elect} (${campaigns} campaigns), first commit ${ready}, answered ${answer}`;
  });
  const head = `${NAMES[kind]}, ${rounds} rounds: p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(1)} ms; the slowest:`;
  return [head, ...lines].join('\n');
}

function targetsOf(
  results: readonly KindResult[],
  recovery: Recovery | undefined,
  etcd: KindResult | undefined,
): Target[] {
  const targets = results.flatMap((result) => targetsOfKind(result, etcd));
  if (recovery === undefined) return targets;
  const slowestMs = Math.max(...recovery.recoverMs);
  return [...targets, target('recovery.max', 'ms', 'at-most', 5_000, slowestMs)];
}

function targetsOfKind(
  { kind, p50, p99, failedWrites }: KindResult,
  etcd: KindResult | undefined,
): Target[] {
  const beside = (judged: Target, peer: number | undefined): Target =>
    peer === undefined ? judged : { ...judged, peer, ratio: judged.measured / peer };
  switch (kind) {
    case 'kill':
      return [
        beside(target('kill.p50', 'ms', 'at-most', 50, p50), etcd?.p50),
        beside(target('kill.p99', 'ms', 'at-most', 150, p99), etcd?.p99),
      ];
    case 'freeze':
      return [target('freeze.p99', 'ms', 'at-most', 700, p99)];
    case 'stop':
      return [
        target('stop.p99', 'ms', 'at-most', 20, p99),
        target('stop.failedWrites', 'writes', 'equal', 0, failedWrites),
      ];
    default:
      return assertNever(kind, 'kind of failure');
  }
}
