/**
 * Restarts all nodes, one after the other, in good order (SIGTERM), while writes are in flight: what
 * an upgrade does. Leaders hand over, so clients should hardly notice.
 */
import { createReport, type NodeId, type Report, target } from '../src/base/index.js';
import { Load } from './lib/load.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import type { DrillOptions } from './main.js';

const ROUNDS_DEFAULT = 2;
/** Far above a handover, far below an election that nobody prepared on a busy machine. */
const GAP_MS_MAX = 3_000;

interface Restart {
  readonly node: NodeId;
  readonly wasLeader: boolean;
  readonly stopMs: number;
}

export async function rollingRestart(options: DrillOptions): Promise<Report> {
  const rounds = options.rounds ?? ROUNDS_DEFAULT;
  const config = options.config ?? 'local-5.yaml';
  const cluster = await LocalCluster.create({ config, say: options.say });
  const client = cluster.client();
  try {
    await cluster.startAll();
    const load = new Load(client);
    load.start();
    const restarts: Restart[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      for (const { name } of cluster.nodes) {
        const { leader } = await client.status();
        const startedAt = performance.now();
        await cluster.stopNode(name);
        const stopMs = Math.round(performance.now() - startedAt);
        cluster.start(name);
        await cluster.waitReady();
        await pause(200);
        restarts.push({ node: name, wasLeader: leader === name, stopMs });
        options.say(`round ${round}/${rounds}: ${name} stopped in ${stopMs} ms, is back`);
      }
    }
    await load.stop();
    const { targets, fields, problems } = await load.verdict(cluster);
    const gap = target('longest gap', 'ms', 'at-most', GAP_MS_MAX, Number(fields['longestGapMs']));
    const led = restarts.filter(({ wasLeader }) => wasLeader).length;
    const moved = target('leaders restarted', 'count', 'at-least', 1, led);
    return createReport(
      'rolling-restart',
      [...targets, gap, moved],
      { ...fields, restarts },
      problems,
    );
  } finally {
    await client.close();
    await cluster.stop();
  }
}
