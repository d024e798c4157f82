/**
 * P1 on real processes: ten nodes, seven coordinators; while files are put and two jobs run, three
 * nodes are killed within 10 ms of each other and stay down. Everything acknowledged must read back
 * bit for bit from the rest, both jobs must end with one result per query, and every file must have
 * four copies again within 60 s after the failures are committed.
 *
 * Each round is a fresh cluster. In the first the leader and two more coordinators die; in the
 * others three random nodes do.
 */
import { createReport, nodeId, type NodeId, type Report, target } from '../src/base/index.js';
import type { ApiClient } from '../src/cli/index.js';
import { startJobLoad } from './lib/job-load.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import { checkFiles, FileWriter } from './lib/oracle.js';
import { undisturbed } from './lib/undisturbed.js';
import type { DrillOptions } from './main.js';

interface Round {
  readonly killed: readonly string[];
  readonly withLeader: boolean;
  /** Between the first and the last signal. */
  readonly killSpanMs: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly missingResults: number;
  readonly duplicateResults: number;
  /** From the commit of the last failure to four copies of everything. */
  readonly repairMs: number;
  readonly problems: readonly string[];
}

const ROUNDS_DEFAULT = 3;
const FILES_MAX = 300;
const REPAIR_GOAL_MS = 60_000;

export async function killThree(options: DrillOptions): Promise<Report> {
  const rounds: Round[] = [];
  const count = options.rounds ?? ROUNDS_DEFAULT;
  for (let i = 0; i < count; i += 1) {
    options.say(`round ${i + 1}/${count}: starting ten nodes`);
    rounds.push(await oneRound(options, i === 0));
  }
  const sum = (pick: (round: Round) => number): number => rounds.reduce((n, r) => n + pick(r), 0);
  const repairMs = Math.max(...rounds.map((round) => round.repairMs));
  const spanMs = Math.max(...rounds.map((round) => round.killSpanMs));
  const targets = [
    target(
      'lost',
      'versions',
      'equal',
      0,
      sum((r) => r.lost),
    ),
    target(
      'duplicated',
      'versions',
      'equal',
      0,
      sum((r) => r.duplicated),
    ),
    target(
      'missingResults',
      'results',
      'equal',
      0,
      sum((r) => r.missingResults),
    ),
    target(
      'duplicateResults',
      'results',
      'equal',
      0,
      sum((r) => r.duplicateResults),
    ),
    target('repairMs.max', 'ms', 'at-most', REPAIR_GOAL_MS, repairMs),
    target('killSpanMs.max', 'ms', 'at-most', 10, spanMs),
  ];
  return createReport(
    'kill-three',
    targets,
    { rounds },
    rounds.flatMap((r) => r.problems),
  );
}

async function oneRound(options: DrillOptions, withLeader: boolean): Promise<Round> {
  const cluster = await LocalCluster.create({
    config: options.config ?? 'local-10.yaml',
    say: options.say,
  });
  const client = cluster.client();
  try {
    await cluster.startAll();
    const jobs = [
      await startJobLoad(client, 'lenet', 60),
      await startJobLoad(client, 'resnet', 10),
    ];
    const files = new FileWriter(client, {
      prefix: 'drill',
      names: 40,
      bytesMax: 2 ** 20,
      filesMax: FILES_MAX,
    });
    files.start();
    while (files.records.length < FILES_MAX / 3) await pause(20);
    const victims = await chooseVictims(cluster, client, withLeader);
    const killSpanMs = await killTogether(cluster, victims);
    options.say(`killed ${victims.join(', ')} within ${killSpanMs.toFixed(1)} ms`);
    const committedAt = await untilCommitted(client, victims);
    const repaired = untilRepaired(client, committedAt);
    await files.done();
    const verdicts = await Promise.all(jobs.map((job) => job.finish()));
    const repairMs = await repaired;
    options.say(
      `four copies of everything ${(repairMs / 1000).toFixed(1)} s after the failures were committed`,
    );
    const check = await checkFiles(cluster, files.records, { everyNode: false });
    return {
      killed: victims,
      withLeader,
      killSpanMs,
      acknowledged: files.records.filter((record) => record.version !== undefined).length,
      lost: check.lost,
      duplicated: check.duplicated,
      missingResults: verdicts.reduce((n, v) => n + v.missing, 0),
      duplicateResults: verdicts.reduce((n, v) => n + v.duplicated, 0),
      repairMs,
      problems: [...check.problems, ...verdicts.flatMap((v) => v.problems)],
    };
  } finally {
    await client.close();
    await cluster.stop();
  }
}

async function chooseVictims(
  cluster: LocalCluster,
  client: ApiClient,
  withLeader: boolean,
): Promise<NodeId[]> {
  const { leader } = await client.status();
  const shuffled = cluster.nodes
    .map((node) => ({ name: node.name, rank: Math.random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ name }) => name);
  if (!withLeader || leader === undefined) return shuffled.slice(0, 3);
  const others = shuffled.filter(
    (name) => name !== leader && cluster.config.coordinators.includes(name),
  );
  return [nodeId(leader), ...others.slice(0, 2)];
}

async function killTogether(cluster: LocalCluster, victims: readonly NodeId[]): Promise<number> {
  const { gone, spanMs } = undisturbed(() => {
    const startedAt = performance.now();
    const gone = victims.map((name) => cluster.kill(name));
    return { gone, spanMs: performance.now() - startedAt };
  });
  await Promise.all(gone);
  return spanMs;
}

/** When the leader had committed all of them as down. */
async function untilCommitted(client: ApiClient, victims: readonly NodeId[]): Promise<number> {
  const endsAt = performance.now() + 60_000;
  while (performance.now() < endsAt) {
    const status = await client.status().catch(() => undefined);
    const down = new Set(status?.nodes.filter((n) => n.status === 'down').map((n) => n.name));
    if (victims.every((name) => down.has(name))) return performance.now();
    await pause(20);
  }
  throw new Error(`the failure of ${victims.join(', ')} was not committed within 60 s`);
}

async function untilRepaired(client: ApiClient, sinceMs: number): Promise<number> {
  const endsAt = sinceMs + 3 * REPAIR_GOAL_MS;
  let last = '';
  while (performance.now() < endsAt) {
    const report = await client.fileReport().catch(() => undefined);
    if (report !== undefined && report.underReplicated === 0 && report.lost === 0) {
      return performance.now() - sinceMs;
    }
    if (report !== undefined)
      last = `${report.underReplicated} short, ${report.lost} lost: ${report.reasons.join('; ')}`;
    await pause(100);
  }
  throw new Error(
    `files did not get four copies again within ${(3 * REPAIR_GOAL_MS) / 1000} s (${last})`,
  );
}
