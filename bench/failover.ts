/**
 * How a failing leader is felt by a client (P2): killed, frozen, stopped in order, round after
 * round on three nodes with preset `local` and no inference, by one client that writes one
 * replicated command after the other and asks another node after 200 ms of silence. Beside etcd,
 * killed likewise. And how soon a node with a million rows is back.
 *
 * Killed and frozen: from the signal to the acknowledgement of the first write *sent after it*.
 * Stopped in order: the longest that any write took which was under way at the signal or later.
 */
import { createReport, percentile, type Report, type Target, target } from '../src/base/index.js';
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
  say,
}: BenchOptions): Promise<Report> {
  const results: KindResult[] = [];
  for (const kind of KINDS) {
    const subject = await IdunnoSubject.start(say);
    try {
      const done = await runRounds(subject, kind, rounds, say);
      const roles = await readRoles(subject.cluster.nodes.map(({ dataDir }) => dataDir));
      results.push(
        resultOf(
          kind,
          done.map((round) => ({ ...round, phases: phasesOf(round, roles) })),
        ),
      );
    } finally {
      await subject.stop();
    }
  }
  const etcd = await measureEtcd(Math.min(rounds, ETCD_ROUNDS_MAX), say);
  const recovery = await recover(rows, say);
  for (const result of results) say(describe(result));
  const fields = {
    rounds,
    idunno: results,
    etcd: etcd === undefined ? ETCD_MISSING : etcd,
    recovery,
  };
  return createReport('failover', targetsOf(results, recovery, etcd), fields);
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
  recovery: Recovery,
  etcd: KindResult | undefined,
): Target[] {
  const of = (kind: Kind): KindResult => {
    const found = results.find((result) => result.kind === kind);
    if (found === undefined) throw new Error(`${kind} was not measured`);
    return found;
  };
  const [kill, freeze, stop] = [of('kill'), of('freeze'), of('stop')];
  const beside = (judged: Target, peer: number | undefined): Target =>
    peer === undefined ? judged : { ...judged, peer, ratio: judged.measured / peer };
  return [
    beside(target('kill.p50', 'ms', 'at-most', 50, kill.p50), etcd?.p50),
    beside(target('kill.p99', 'ms', 'at-most', 150, kill.p99), etcd?.p99),
    target('freeze.p99', 'ms', 'at-most', 700, freeze.p99),
    target('stop.p99', 'ms', 'at-most', 20, stop.p99),
    target('stop.failedWrites', 'writes', 'equal', 0, stop.failedWrites),
    target('recovery.max', 'ms', 'at-most', 5_000, Math.max(...recovery.recoverMs)),
  ];
}
