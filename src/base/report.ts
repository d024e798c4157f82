/**
 * The one document that simulations, drills, benchmarks and the demo print with `-o json`:
 * what was promised, what was measured, on which commit and machine. `ok` only if every target
 * was met and nothing else failed.
 */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

export interface Target {
  readonly name: string;
  readonly unit: string;
  /** Is the measured value to be at most, at least, or exactly the goal? */
  readonly is: 'at-most' | 'at-least' | 'equal';
  readonly goal: number;
  readonly measured: number;
  /** The same measure of a peer in the same run, and ours divided by it. */
  readonly peer?: number;
  readonly ratio?: number;
  readonly ok: boolean;
}

/** Judges one measured value. A value that is not a number meets no goal. */
export function target(
  name: string,
  unit: string,
  is: Target['is'],
  goal: number,
  measured: number,
): Target {
  const met = {
    'at-most': measured <= goal,
    'at-least': measured >= goal,
    equal: measured === goal,
  };
  return { name, unit, is, goal, measured, ok: met[is] };
}

/**
 * A measure beside the same of a peer: the goal is `ratioGoal` times the peer's. Without a peer
 * (NaN) nothing is met.
 */
export function targetBesidePeer(
  name: string,
  unit: string,
  is: 'at-most' | 'at-least',
  ratioGoal: number,
  measured: number,
  peer: number,
): Target {
  const judged = target(name, unit, is, ratioGoal * peer, measured);
  return { ...judged, peer, ratio: measured / peer };
}

export interface Report {
  readonly name: string;
  readonly ok: boolean;
  readonly targets: readonly Target[];
  readonly commit: string;
  readonly machine: string;
  readonly [field: string]: unknown;
}

/** `failures`: sentences about what went wrong beside the targets. */
export function createReport(
  name: string,
  targets: readonly Target[],
  fields: Readonly<Record<string, unknown>>,
  failures: readonly string[] = [],
): Report {
  return {
    name,
    ok: failures.length === 0 && targets.every((t) => t.ok),
    targets,
    failures,
    ...fields,
    commit: commitName(),
    machine: machineName(),
  };
}

/** The table people read where no JSON was asked for. */
export function describeTargets(report: Report): string {
  const sign = { 'at-most': '≤', 'at-least': '≥', equal: '=' };
  const lines = report.targets.map((t) => {
    const [measured, goal] = [t.measured, t.goal].map(shortNumber);
    const peer =
      t.peer === undefined
        ? ''
        : `; peer ${shortNumber(t.peer)}, ratio ${shortNumber(t.ratio ?? Number.NaN)}`;
    return `  ${t.ok ? 'met   ' : 'MISSED'} ${t.name}: ${measured} ${t.unit} (goal ${sign[t.is]} ${goal}${peer})`;
  });
  return [`${report.name}: ${report.ok ? 'ok' : 'FAILED'}`, ...lines].join('\n');
}

function shortNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

function commitName(): string {
  try {
    const options: ExecFileSyncOptionsWithStringEncoding = {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    };
    const hash = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], options).trim();
    const dirty = execFileSync('git', ['status', '--porcelain', '-uno'], options).trim();
    return dirty === '' ? hash : `${hash}+changes`;
  } catch {
    return 'unknown';
  }
}

function machineName(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${all.length} × ${all[0]?.model ?? 'unknown'}, ${memory} GiB, Linux ${release()}, Node ${process.version}`;
}

/** Percentile by nearest rank; NaN of nothing. Below 200 samples say max, not p99. */
export function percentile(samples: readonly number[], p: number): number {
  if (samples.length === 0) return Number.NaN;
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((p / 100) * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}
