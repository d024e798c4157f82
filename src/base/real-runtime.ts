/** The Runtime of a real node. The network comes from above: this module may not know it. */
import { openLevelDatabase } from './level-database.js';
import { createRealClock } from './real-clock.js';
import { createRealDisk } from './real-disk.js';
import { createSystemRng } from './rng.js';
import type { Network, Runtime } from './runtime.js';

export function createRealRuntime(parts: { readonly network: Network }): Runtime {
  return {
    clock: createRealClock(),
    rng: createSystemRng(),
    network: parts.network,
    disk: createRealDisk(),
    openDatabase: openLevelDatabase,
  };
}
