/**
 * Kills the leader with SIGKILL, round after round, on a three-node cluster with writes in flight
 * (and tasks, with --with-jobs), and measures the time to the next acknowledged write.
 *
 * Measured as promised in P2: from the signal to the acknowledgement of a write that was *sent
 * after it*, by a client that keeps connections to all nodes. The killed node is started again and
 * must be back, as a voter with all it acknowledged, before the next round.
 */
import { createReport, nodeId, percentile, type Report, target } from '../src/base/index.js';
import type { ApiClient } from '../src/cli/index.js';
import { type JobLoad, startJobLoad } from './lib/job-load.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import { checkFiles, checkSettings, FileWriter, nextAck, SettingsWriter } from './lib/oracle.js';
import type { DrillOptions } from './main.js';

interface Round {
  readonly killed: string;
  readonly nextWriteMs: number;
  readonly newLeader: string;
}

const ROUNDS_DEFAULT = 20;
const WRITERS = 4;
const PERCENTILE_SAMPLES_MIN = 200;

export async function killLeader(options: DrillOptions): Promise<Report> {
  const rounds = options.rounds ?? ROUNDS_DEFAULT;
  const config = options.config ?? 'local-3.yaml';
  const cluster = await LocalCluster.create({ config, say: options.say });
  const client = cluster.client();
  try {
    await cluster.startAll();
    const load = options.withJobs ? await startJobLoad(client, 'lenet', rounds) : undefined;
    const writers = Array.from(
      { length: WRITERS },
      (_, i) => new SettingsWriter(client, `w${i}`, 1),
    );
    const files = new FileWriter(client, {
      prefix: 'drill',
      names: 7,
      bytesMax: 20_000,
      filesMax: 100_000,
      pauseMs: 50,
    });
    for (const writer of writers) writer.start();
    files.start();
    const results: Round[] = [];
    for (let i = 0; i < rounds; i += 1) {
      const round = await killOnce(cluster, client, writers);
      results.push(round);
      options.say(
        `round ${i + 1}/${rounds}: killed ${round.killed}, next write after ${round.nextWriteMs.toFixed(1)} ms, ${round.newLeader} leads`,
      );
    }
    await Promise.all([...writers, files].map((writer) => writer.stop()));
    await cluster.waitReady();
    return await verdict(cluster, results, writers, files, load);
  } finally {
    await client.close();
    await cluster.stop();
  }
}

async function killOnce(
  cluster: LocalCluster,
  client: ApiClient,
  writers: readonly SettingsWriter[],
): Promise<Round> {
  // Let the cluster settle, so that the round measures a failover and not the last one's end.
  await cluster.waitReady();
  await pause(300);
  const killed = nodeId((await client.status()).leader ?? '');
  const killedAt = performance.now();
  const gone = cluster.kill(killed);
  const ackedAt = await nextAck(writers, killedAt);
  await gone;
  const { leader } = await client.status();
  await pause(200);
  cluster.start(killed);
  return { killed, nextWriteMs: ackedAt - killedAt, newLeader: leader ?? 'nobody' };
}

async function verdict(
  cluster: LocalCluster,
  rounds: readonly Round[],
  writers: readonly SettingsWriter[],
  files: FileWriter,
  load: JobLoad | undefined,
): Promise<Report> {
  const records = writers.flatMap((writer) => writer.records);
  const settings = await checkSettings(cluster, records);
  const fileVerdict = await checkFiles(cluster, files.records, { everyNode: true });
  const jobs = await load?.finish();
  const times = rounds.map((round) => round.nextWriteMs);
  const p50 = percentile(times, 50);
  const hasTail = times.length >= PERCENTILE_SAMPLES_MIN;
  const nextWriteMs = {
    p50,
    max: Math.max(...times),
    ...(hasTail ? { p99: percentile(times, 99) } : {}),
  };
  const lost = settings.lost + fileVerdict.lost + (jobs?.missing ?? 0);
  const duplicated = settings.duplicated + fileVerdict.duplicated + (jobs?.duplicated ?? 0);
  const targets = [
    target('lost', 'writes', 'equal', 0, lost),
    target('duplicated', 'writes', 'equal', 0, duplicated),
    // P2 in full (p50 ≤ 50, p99 ≤ 150) is held over 200 rounds and more by the failover benchmark;
    // a short drill on a busy machine must not fail on one slow round.
    target('nextWriteMs.p50', 'ms', 'at-most', 500, p50),
  ];
  const fields = {
    lost,
    duplicated,
    nextWriteMs,
    promise: { p50: 50, p99: 150 },
    acknowledged: records.filter((record) => record.ackedAt !== undefined).length,
    unknown: settings.unknown + fileVerdict.unknown,
    fileVersions: files.records.filter((record) => record.version !== undefined).length,
    jobs,
    rounds,
  };
  const problems = [...settings.problems, ...fileVerdict.problems, ...(jobs?.problems ?? [])];
  return createReport('kill-leader', targets, fields, problems);
}
