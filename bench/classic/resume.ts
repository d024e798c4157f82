/**
 * Two jobs run, a node is killed (kill -9): how long until work goes on. "Resume" is from the
 * signal to the next accepted result of a task that was leased after it; for a worker also until
 * every task that it held has its result from somebody else.
 */
import { type NodeId, nodeId } from '../../src/base/index.js';
import { pause } from '../../drills/lib/local-cluster.js';
import type { JobVerdict } from '../../drills/lib/job-load.js';
import { HEAD_START_MS, type Stage } from './stage.js';
import { readTaskLog, redoneMs, resumeMs } from './task-log.js';

export type Failure = 'worker' | 'coordinator' | 'both';

export interface ResumeTrial {
  readonly failure: Failure;
  readonly killed: readonly string[];
  readonly resumeMs: number;
  /** Only where a worker failed alone. */
  readonly redoneMs: number | undefined;
  readonly verdicts: readonly JobVerdict[];
}

const TOGETHER_SECONDS = 5;
const BATCH = 3;
/** After the second job has joined, before the failure. */
const CALM_MS = 1_000;
const FINDING_MS = 5_000;

export async function resumeTrial(stage: Stage, failure: Failure): Promise<ResumeTrial> {
  const { cluster, client } = stage;
  const [first, second] = stage.plan(TOGETHER_SECONDS);
  const jobA = await stage.submit(first, BATCH);
  await pause(HEAD_START_MS);
  const jobB = await stage.submit(second, BATCH);
  await pause(CALM_MS);
  const ids = new Set([jobA.id, jobB.id]);
  const leader = nodeId((await client.status()).leader ?? '');
  const victims: NodeId[] = [];
  if (failure !== 'coordinator') victims.push(await workerWithLease(stage, ids, leader));
  if (failure !== 'worker') victims.push(leader);
  const failedAtMs = Date.now();
  const gone = victims.map((name) => cluster.kill(name));
  await Promise.all(gone);
  const verdicts = await stage.verdicts([jobA, jobB]);
  const log = await readTaskLog(stage.dataDirs());
  for (const name of victims) cluster.start(name);
  await stage.settle();
  const [worker] = victims;
  return {
    failure,
    killed: victims,
    resumeMs: resumeMs(log, ids, failedAtMs),
    redoneMs:
      failure === 'worker' && worker !== undefined
        ? redoneMs(log, ids, worker, failedAtMs)
        : undefined,
    verdicts,
  };
}

/** One that holds a task of these jobs at this moment, and does not lead. */
async function workerWithLease(
  stage: Stage,
  ids: ReadonlySet<number>,
  leader: NodeId,
): Promise<NodeId> {
  const endsAt = performance.now() + FINDING_MS;
  while (performance.now() < endsAt) {
    const stats = (await stage.client.jobStats()).filter(({ id }) => ids.has(id));
    const holders = [...new Set(stats.flatMap(({ assignedNodes }) => assignedNodes))];
    const found = holders.filter((name) => name !== leader);
    const chosen = found[Math.floor(Math.random() * found.length)];
    if (chosen !== undefined) return chosen;
    await pause(5);
  }
  throw new Error('no worker held a task while two jobs should have been running');
}
