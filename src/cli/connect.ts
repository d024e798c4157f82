/** What a client runs on: the machine's clock and network, and calls that accept nobody. */
import { createRealClock, createSilentLogger } from '../base/index.js';
import { createRealNetwork, createRpc } from '../net/index.js';
import type { TransportDependencies } from './api-transport.js';

/**
 * Dials nothing by itself. A node of another cluster than the named one refuses, and is refused;
 * without a name any cluster will do.
 */
export function createClientDependencies(
  cluster: string | undefined,
  fingerprint: string | undefined,
): TransportDependencies {
  const clock = createRealClock();
  const rpc = createRpc({
    self: { name: `client-${process.pid}`, kind: 'client', bootEpoch: 0 },
    cluster: cluster ?? '',
    fingerprint: fingerprint ?? '',
    network: createRealNetwork(),
    clock,
    logger: createSilentLogger(),
  });
  return { rpc, clock };
}
