/**
 * How long the simulated cluster takes to notice crashes, and how often it is wrong: the figures
 * behind promise P3, from the same core and codec that run in production.
 */
import { assert, createSeededRng, type Ms, must, type NodeId, type Rng } from '../../base/index.js';
import type { MemberState } from '../../swim/index.js';
import { SwimCluster, type SwimClusterOptions } from './cluster.js';

/** Times after the crash, over all victims and all survivors. */
export interface CrashTimes {
  /** The last victim is suspected by somebody. */
  readonly suspectedMs: Ms;
  /** The last survivor lists the last victim as Failed. */
  readonly failedMs: Ms;
  /** The last victim is gone from the last list. */
  readonly deletedMs: Ms;
}

/** How long a crash is watched: longer than the promise, so that a miss shows. */
const WATCH_MS = 3_200;

/**
 * Crashes `victims` neighbours of the ring at once, at a random moment, and watches all lists; then,
 * in what is left of the cluster, the next number of victims, and so on.
 */
export function measureCrashes(
  options: SwimClusterOptions,
  rounds: readonly number[],
): readonly CrashTimes[] {
  const cluster = new SwimCluster({ isWarm: true, ...options });
  const rng = createSeededRng(`${options.seed}/crash`);
  return rounds.map((victims) => {
    cluster.run(600 + 500 * rng.float());
    return measureRound(cluster, rng, victims);
  });
}

function measureRound(cluster: SwimCluster, rng: Rng, victims: number): CrashTimes {
  const names = cluster.up();
  const first = rng.int(names.length);
  const dead = Array.from({ length: victims }, (_, i) =>
    must(names[(first + i) % names.length], 'a victim'),
  );
  cluster.observations.length = 0;
  const crashedAtMs = cluster.clock.now();
  cluster.crash(...dead);
  cluster.run(WATCH_MS);
  const survivors = names.length - victims;
  const lastOf = (state: MemberState) => {
    const seen = cluster.observations.filter((it) => it.member.state === state);
    return Math.max(...dead.map((name) => lastSeen(seen, name, survivors))) - crashedAtMs;
  };
  const suspicions = cluster.observations.filter((it) => it.member.state === 'suspicious');
  const firstOf = (name: NodeId) => suspicions.find((it) => it.member.name === name)?.atMs;
  const suspectedMs = Math.max(
    ...dead.map((name) => must(firstOf(name), `a suspicion of ${name}`) - crashedAtMs),
  );
  return { suspectedMs, failedMs: lastOf('failed'), deletedMs: lastOf('deleted') };
}

/** When the last of `survivors` lists shows the member; Infinity when not all do. */
function lastSeen(
  seen: readonly { atMs: Ms; observer: NodeId; member: { name: NodeId } }[],
  name: NodeId,
  survivors: number,
): Ms {
  const byObserver = new Map<NodeId, Ms>();
  for (const it of seen) if (it.member.name === name) byObserver.set(it.observer, it.atMs);
  assert(byObserver.size <= survivors, 'a victim still watches');
  return byObserver.size < survivors ? Number.POSITIVE_INFINITY : Math.max(...byObserver.values());
}

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Nearest-rank percentiles. */
export function spreadOf(values: readonly number[]): Spread {
  assert(values.length > 0, 'a percentile needs values');
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => must(sorted[Math.ceil(share * sorted.length) - 1], 'a value');
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Lists of live, reachable members as Failed, over a run with loss: there should be none. */
export function countFalseDeaths(options: SwimClusterOptions, virtualMs: Ms): number {
  const cluster = new SwimCluster({ isWarm: true, ...options });
  cluster.run(virtualMs);
  return cluster.observations.filter((it) => it.member.state === 'failed').length;
}
