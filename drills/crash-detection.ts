/**
 * P3 on real processes: how long until every living node's list shows a crashed node as Failed,
 * and until it is gone; for one crash and for three neighbours on the ring at once. Taken from the
 * nodes' own logs, against the moment of the signal.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createReport, type NodeId, type Report, target } from '../src/base/index.js';
import { LocalCluster, pause } from './lib/local-cluster.js';
import type { DrillOptions } from './main.js';

interface Detection {
  readonly victims: readonly string[];
  /** Slowest living node, slowest victim, ms after the signal. */
  readonly suspiciousMs: number;
  readonly failedMs: number;
  readonly goneMs: number;
  /** Nodes wrongly listed as Failed meanwhile. */
  readonly falseFailed: number;
}

const ROUNDS_DEFAULT = 3;
const SETTLE_MS = 2000;
const FAILED_GOAL_MS = 2000;
const GONE_GOAL_MS = 3000;
const GIVE_UP_MS = 15_000;

export async function crashDetection(options: DrillOptions): Promise<Report> {
  const cluster = await LocalCluster.create({
    config: options.config ?? 'local-10.yaml',
    say: options.say,
  });
  try {
    await cluster.startAll();
    const detections: Detection[] = [];
    const rounds = options.rounds ?? ROUNDS_DEFAULT;
    for (let i = 0; i < rounds; i += 1) {
      for (const size of [1, 3]) {
        const detection = await crash(cluster, neighbours(cluster, i, size));
        detections.push(detection);
        options.say(
          `${detection.victims.join(', ')}: Failed everywhere after ${detection.failedMs} ms, gone after ${detection.goneMs} ms`,
        );
      }
    }
    const max = (pick: (d: Detection) => number): number => Math.max(...detections.map(pick));
    const targets = [
      target(
        'failedMs.max',
        'ms',
        'at-most',
        FAILED_GOAL_MS,
        max((d) => d.failedMs),
      ),
      target(
        'goneMs.max',
        'ms',
        'at-most',
        GONE_GOAL_MS,
        max((d) => d.goneMs),
      ),
      target(
        'falseFailed',
        'verdicts',
        'equal',
        0,
        max((d) => d.falseFailed),
      ),
    ];
    return createReport('crash-detection', targets, { detections });
  } finally {
    await cluster.stop();
  }
}

/** `size` nodes next to each other in name order, another place each round. */
function neighbours(cluster: LocalCluster, round: number, size: number): NodeId[] {
  const names = cluster.nodes.map((node) => node.name).sort();
  const start = (round * 4 + size) % names.length;
  return Array.from({ length: size }, (_, i) => names[(start + i) % names.length]).filter(
    (name) => name !== undefined,
  );
}

async function crash(cluster: LocalCluster, victims: readonly NodeId[]): Promise<Detection> {
  await cluster.waitReady();
  await pause(SETTLE_MS);
  const killedAt = Date.now();
  const gone = victims.map((name) => cluster.kill(name));
  await Promise.all(gone);
  const witnesses = cluster.alive;
  const endsAt = killedAt + GIVE_UP_MS;
  for (;;) {
    const changes = witnesses.flatMap((name) => readChanges(cluster, name, killedAt));
    const latest = (state: string): number =>
      slowest(changes, witnesses, victims, state) - killedAt;
    if (Number.isFinite(latest('deleted')) || Date.now() > endsAt) {
      const wrong = changes.filter(
        (c) => c.after === 'failed' && !victims.some((v) => v === c.name),
      );
      for (const name of victims) cluster.start(name);
      return {
        victims,
        suspiciousMs: latest('suspicious'),
        failedMs: latest('failed'),
        goneMs: latest('deleted'),
        falseFailed: wrong.length,
      };
    }
    await pause(100);
  }
}

interface LoggedChange {
  readonly witness: NodeId;
  readonly name: string;
  readonly after: string;
  readonly atMs: number;
}

/** Infinity until every witness has logged the state of every victim. */
function slowest(
  changes: readonly LoggedChange[],
  witnesses: readonly NodeId[],
  victims: readonly NodeId[],
  state: string,
): number {
  let latest = 0;
  for (const witness of witnesses) {
    for (const victim of victims) {
      const times = changes
        .filter((c) => c.witness === witness && c.name === victim && c.after === state)
        .map((c) => c.atMs);
      latest = Math.max(latest, times.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...times));
    }
  }
  return latest;
}

/** The `member.change` lines of one node's log since the moment. */
function readChanges(cluster: LocalCluster, witness: NodeId, sinceMs: number): LoggedChange[] {
  const folder = join(cluster.dataDir(witness), 'logs');
  const changes: LoggedChange[] = [];
  for (const file of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      if (!line.includes('"member.change"')) continue;
      const fields = JSON.parse(line) as Record<string, unknown>;
      const { name, after, time } = fields;
      if (typeof name !== 'string' || typeof after !== 'string') continue;
      const atMs = Date.parse(String(time));
      if (atMs >= sinceMs) changes.push({ witness, name, after, atMs });
    }
  }
  return changes;
}
