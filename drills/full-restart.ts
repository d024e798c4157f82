/**
 * All nodes end at once and come back: killed (kill -9) and in good order (SIGTERM) in turns, while
 * writes are in flight. Clients wait; whatever was acknowledged before is there after.
 */
import { createReport, type Report, target } from '../src/base/index.js';
import { Load } from './lib/load.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import type { DrillOptions } from './main.js';

const ROUNDS_DEFAULT = 6;
/** Five nodes that start at the same time on one machine, and an election. */
const BACK_MS_MAX = 10_000;

interface Round {
  readonly how: 'kill -9' | 'SIGTERM';
  /** From the start of the processes to the first acknowledged write. */
  readonly backMs: number;
}

export async function fullRestart(options: DrillOptions): Promise<Report> {
  const rounds = options.rounds ?? ROUNDS_DEFAULT;
  const config = options.config ?? 'local-5.yaml';
  const cluster = await LocalCluster.create({ config, say: options.say });
  const client = cluster.patientClient();
  try {
    await cluster.startAll();
    const load = new Load(client);
    load.start();
    const results: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await pause(1_000);
      const how = round % 2 === 0 ? 'kill -9' : 'SIGTERM';
      const names = cluster.nodes.map(({ name }) => name);
      await Promise.all(
        names.map((name) => (how === 'SIGTERM' ? cluster.stopNode(name) : cluster.kill(name))),
      );
      const startedAt = performance.now();
      for (const name of names) cluster.start(name);
      const backMs = Math.round((await load.ackAfter(startedAt)) - startedAt);
      results.push({ how, backMs });
      options.say(`round ${round + 1}/${rounds}: ${how}, writes again after ${backMs} ms`);
      await cluster.waitReady();
    }
    await load.stop();
    const { targets, fields, problems } = await load.verdict(cluster);
    const slowest = Math.max(...results.map(({ backMs }) => backMs));
    const back = target('back.max', 'ms', 'at-most', BACK_MS_MAX, slowest);
    const all = { ...fields, rounds: results };
    return createReport('full-restart', [...targets, back], all, problems);
  } finally {
    await client.close();
    await cluster.stop();
  }
}
