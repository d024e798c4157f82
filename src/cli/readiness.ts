/**
 * What a command needs before it begins. Asked of the node that will be asked anyway, which answers
 * from what it knows and waits for nobody: a refusal comes before anything was sent, so it can
 * truly say that nothing was changed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { IdunnoError } from '../base/index.js';
import type { ApiClient } from './api-client.js';
import type { ClusterStatus } from './contract.js';

const LOOK_MS = 50;

export interface ReadinessOptions {
  /** An election takes tens of milliseconds and is waited for, up to this. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The node whose prompt it is, or that was named: it must be a member. */
  readonly node?: string | undefined;
}

/** Throws NODE_LEFT, NO_LEADER, UNAVAILABLE. */
export async function requireCluster(client: ApiClient, options: ReadinessOptions): Promise<void> {
  const { timeoutMs, signal, node } = options;
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    const status = await client.status({ signal, timeoutMs: Math.max(LOOK_MS, timeoutMs) });
    if (status.node === node) assertMember(status, node);
    if (status.leader !== undefined) return;
    if (Date.now() >= endMs) throw noLeader(status, timeoutMs);
    await sleep(LOOK_MS, undefined, { signal });
  }
}

function assertMember(status: ClusterStatus, node: string): void {
  const own = status.nodes.find(({ name }) => name === node);
  if (own?.state !== 'left') return;
  const text = `${node} has left the group: let it join again, or ask another node`;
  throw new IdunnoError('NODE_LEFT', text, { node });
}

function noLeader({ nodes, node }: ClusterStatus, timeoutMs: number): IdunnoError {
  const coordinators = nodes.filter(({ isCoordinator }) => isCoordinator);
  const away = coordinators.filter(({ state }) => state !== 'active').map(({ name }) => name);
  const who =
    away.length === 0
      ? 'all of its coordinators can be reached'
      : `of its ${coordinators.length} coordinators ${node} cannot reach ${away.join(', ')}`;
  const text = `the cluster has had no leader for ${timeoutMs / 1_000} s: ${who}`;
  return new IdunnoError('NO_LEADER', text);
}
