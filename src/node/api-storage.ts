/** What a coordinator knows about the soundness of its own log and state. */
import { API, type StorageHealth, toWire } from '../cli/index.js';
import type { Rpc } from '../net/index.js';
import { nothing, serve } from './api-parts.js';
import type { Coordinator } from './coordinator.js';

export function serveStorage(rpc: Pick<Rpc, 'handle'>, coordinator: Coordinator): void {
  serve(rpc, API.raftStorage, nothing, async () => ({ value: toWire(healthOf(coordinator)) }));
}

function healthOf(coordinator: Coordinator): StorageHealth {
  const { phase, doubt, stuck } = coordinator.driver.status();
  return { phase, doubt, stuck, ...coordinator.stateSum() };
}
