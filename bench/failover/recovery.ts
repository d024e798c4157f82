/**
 * How long a node with a million rows of state takes to be back: killed, started again, and a voter
 * that has applied all its leader has committed. The rows are written through the front door, as
 * settings, by many clients.
 */
import { nodeId } from '../../src/base/index.js';
import { pause } from '../../drills/lib/local-cluster.js';
import type { ApiClient } from '../../src/cli/index.js';
import { settledLeader, type IdunnoSubject } from './idunno-subject.js';

export interface Recovery {
  readonly rows: number;
  readonly writtenPerSecond: number;
  /** Of each restart, from the start of the process, ms. */
  readonly recoverMs: readonly number[];
}

const WRITERS = 400;
const RESTARTS = 3;
const VALUE = 'v'.repeat(40);
const CALM_MS = 1_000;
const RECOVER_TIMEOUT_MS = 60_000;

export async function measureRecovery(
  subject: IdunnoSubject,
  rows: number,
  say: (text: string) => void,
): Promise<Recovery> {
  const { cluster } = subject;
  const client = cluster.client();
  try {
    await client.warm();
    const writtenPerSecond = await fill(client, rows, say);
    const recoverMs: number[] = [];
    for (let i = 0; i < RESTARTS; i += 1) {
      const leader = await settledLeader(cluster, client);
      await pause(CALM_MS);
      const victim = cluster.nodes.map(({ name }) => name).find((name) => name !== leader);
      if (victim === undefined) throw new Error('there is no follower');
      await cluster.kill(victim);
      const { commitIndex } = await client.raftStatus({ node: leader });
      const startedMs = performance.now();
      cluster.start(victim);
      await caughtUp(client, victim, commitIndex);
      recoverMs.push(performance.now() - startedMs);
      say(`${victim} with ${rows} rows is back after ${recoverMs.at(-1)?.toFixed(0)} ms`);
    }
    return { rows, writtenPerSecond, recoverMs };
  } finally {
    await client.close();
  }
}

async function fill(client: ApiClient, rows: number, say: (text: string) => void): Promise<number> {
  say(`writing ${rows} rows`);
  const startedMs = performance.now();
  let next = 0;
  const writer = async (): Promise<void> => {
    for (let i = next++; i < rows; i = next++) {
      await client.settingsPut(`rows/${i}`, VALUE);
      if (i % 100_000 === 99_999) say(`${i + 1} rows`);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  return rows / ((performance.now() - startedMs) / 1000);
}

async function caughtUp(client: ApiClient, name: string, index: number): Promise<void> {
  const endsMs = performance.now() + RECOVER_TIMEOUT_MS;
  const node = nodeId(name);
  while (performance.now() < endsMs) {
    const status = await client.raftStatus({ node, timeoutMs: 500 }).catch(() => undefined);
    const isVoter = status?.voters.includes(name) === true && status.leader !== undefined;
    if (isVoter && status.appliedIndex >= index) return;
    await pause(5);
  }
  throw new Error(`${name} was not back within ${RECOVER_TIMEOUT_MS / 1000} s`);
}
