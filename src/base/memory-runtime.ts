/**
 * The Runtime of a node in memory: virtual time, seeded chance, a disk and databases that forget
 * what was not synced. The network comes from above, as for real nodes.
 */
import { MemoryDatabases } from './memory-database.js';
import { MemoryDisk } from './memory-disk.js';
import type { Clock, Network, Rng, Runtime } from './runtime.js';

/** A node's Runtime and the machine behind it, which survives the node's process. */
export interface MemoryRuntime extends Runtime {
  readonly disk: MemoryDisk;
  readonly databases: MemoryDatabases;
}

export function createMemoryRuntime(parts: {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly network: Network;
}): MemoryRuntime {
  const databases = new MemoryDatabases();
  return {
    ...parts,
    disk: new MemoryDisk({ nowMs: () => parts.clock.wall() }),
    databases,
    openDatabase: (path) => databases.open(path),
  };
}
