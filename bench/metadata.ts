/**
 * The metadata store beside etcd: three processes each, every write synced, values of 200 bytes,
 * 1, 64 and 256 clients, writes and linearizable reads. One system after the other on the same
 * machine, the same client processes and the same load for both, both under load for some seconds
 * before anything is measured; clients of either talk to the leader. Clients are processes of their own; where one needs more than 80 % of a core it is the
 * client that was measured, and the run fails.
 */
import { LocalCluster } from '../drills/lib/local-cluster.js';
import { createReport, type Report, type Target, targetBesidePeer } from '../src/base/index.js';
import { ETCD_MISSING, EtcdCluster, etcdVersion } from './lib/etcd-cluster.js';
import type { BenchOptions } from './main.js';
import type { Subject } from './metadata/client-main.js';
import { ClientPool, type PoolResult } from './metadata/client-pool.js';
import type { Operation } from './metadata/load.js';

const CLIENTS = [1, 64, 256] as const;
const OPERATIONS: readonly Operation[] = ['write', 'read'];
const VALUE_BYTES = 200;
const CLIENT_PROCESSES = 2;
const CLIENT_CPU_MAX = 80;
const WARM_MS = 1_000;
const MEASURE_MS = 4_000;
/** Before anything is measured: a server that has just started is not what people run. */
const HEAT_MS = 5_000;
const HEAT_CLIENTS = 64;
const NOTHING: PoolResult = {
  perSecond: Number.NaN,
  p50Ms: Number.NaN,
  p99Ms: Number.NaN,
  failed: 0,
  clientCpuPercent: Number.NaN,
};

/** By operation and number of clients, e.g. `write.64`. */
type Cells = ReadonlyMap<string, PoolResult>;

export async function metadata({ rounds = 1, say }: BenchOptions): Promise<Report> {
  const version = etcdVersion();
  if (version === undefined) say(ETCD_MISSING);
  const ours: Cells[] = [];
  const peers: Cells[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    ours.push(await measureIdunno(say));
    if (version !== undefined) peers.push(await measureEtcd(say));
  }
  const mine = middleOf(ours);
  const theirs = middleOf(peers);
  const failures = [...problemsOf('idunno', mine), ...problemsOf('etcd', theirs)];
  if (version === undefined) failures.push(ETCD_MISSING);
  const fields = {
    peer: version === undefined ? 'none' : `etcd ${version}`,
    rounds,
    valueBytes: VALUE_BYTES,
    clientProcesses: CLIENT_PROCESSES,
    idunno: Object.fromEntries(mine),
    etcd: Object.fromEntries(theirs),
  };
  return createReport('metadata', targetsOf(mine, theirs), fields, failures);
}

async function measureIdunno(say: (text: string) => void): Promise<Cells> {
  const cluster = await LocalCluster.create({ config: 'local-3.yaml', say });
  try {
    await cluster.startAll();
    const { cluster: name } = cluster.config;
    const nodes = cluster.nodes.map(({ name: node, host, port }) => ({ name: node, host, port }));
    return await measure('idunno', { kind: 'idunno', cluster: name, nodes }, say);
  } finally {
    await cluster.stop();
  }
}

async function measureEtcd(say: (text: string) => void): Promise<Cells> {
  const etcd = await EtcdCluster.start();
  try {
    return await measure('etcd', { kind: 'etcd', endpoint: await etcd.leader() }, say);
  } finally {
    await etcd.stop();
  }
}

async function measure(
  name: string,
  subject: Subject,
  say: (text: string) => void,
): Promise<Cells> {
  const cells = new Map<string, PoolResult>();
  const pool = await ClientPool.open(CLIENT_PROCESSES, subject);
  const run = (operation: Operation, clients: number, measureMs: number): Promise<PoolResult> =>
    pool.run({
      operation,
      clients,
      warmMs: WARM_MS,
      measureMs,
      prefix: `bench/${operation}/${clients}`,
      valueBytes: VALUE_BYTES,
    });
  try {
    for (const operation of OPERATIONS) await run(operation, HEAT_CLIENTS, HEAT_MS);
    for (const operation of OPERATIONS) {
      for (const clients of CLIENTS) {
        const result = await run(operation, clients, MEASURE_MS);
        cells.set(`${operation}.${clients}`, result);
        say(`${name}: ${describe(operation, clients, result)}`);
      }
    }
  } finally {
    pool.close();
  }
  return cells;
}

function describe(operation: Operation, clients: number, result: PoolResult): string {
  const { perSecond, p50Ms, p99Ms, clientCpuPercent } = result;
  return (
    `${clients} × ${operation}: ${perSecond.toFixed(0)}/s, p50 ${p50Ms.toFixed(2)} ms, ` +
    `p99 ${p99Ms.toFixed(2)} ms, busiest client ${clientCpuPercent.toFixed(0)} % of a core`
  );
}

/** Of several rounds, for each cell the round of median throughput. */
function middleOf(rounds: readonly Cells[]): Cells {
  const names = [...(rounds[0]?.keys() ?? [])];
  return new Map(
    names.map((name) => {
      const results = rounds.flatMap((round) => round.get(name) ?? []);
      const sorted = results.sort((a, b) => a.perSecond - b.perSecond);
      return [name, sorted[Math.floor((sorted.length - 1) / 2)] ?? NOTHING];
    }),
  );
}

function targetsOf(mine: Cells, theirs: Cells): Target[] {
  const pair = (name: string): readonly [PoolResult, PoolResult] => [
    mine.get(name) ?? NOTHING,
    theirs.get(name) ?? NOTHING,
  ];
  const rate = (name: string, ratio: number): Target => {
    const [own, peer] = pair(name);
    return targetBesidePeer(name, '1/s', 'at-least', ratio, own.perSecond, peer.perSecond);
  };
  const [own, peer] = pair('write.1');
  return [
    rate('write.64', 2),
    rate('write.256', 2),
    targetBesidePeer('write.1.p50', 'ms', 'at-most', 1, own.p50Ms, peer.p50Ms),
    ...CLIENTS.map((clients) => rate(`read.${clients}`, 1)),
  ];
}

function problemsOf(name: string, cells: Cells): string[] {
  const problems: string[] = [];
  for (const [cell, { failed, clientCpuPercent }] of cells) {
    if (failed > 0) problems.push(`${name} ${cell}: ${failed} operations failed`);
    if (clientCpuPercent <= CLIENT_CPU_MAX) continue;
    const percent = clientCpuPercent.toFixed(0);
    problems.push(`${name} ${cell}: a client process used ${percent} % of a core`);
  }
  return problems;
}
