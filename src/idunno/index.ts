/**
 * Models, jobs and tasks.
 *
 * How a node is composed of it (src/node):
 *
 *     idunnoModule                    is one of the state machine's modules, on coordinators
 *     const idunno = createIdunno(options, parts)
 *     idunno.client                   IdunnoClient for everyone on this node
 *     idunno.duties                   on coordinators: store.addDuty(duty) for each
 *     idunno.leaderMethods            on coordinators: store.registerLeaderMethod(name, method)
 *     await idunno.start()            once the node is registered: asks for work
 *     await idunno.drain(timeoutMs)   takes no more, finishes and reports what it has
 *     await idunno.stop()             ends calls and model hosts at once
 *
 * `parts.localStore` is the store on this node, or undefined where the node is no coordinator:
 * then `duties` and `leaderMethods` are empty. `parts.engine` runs models; left out, it is a
 * process for each model (model-host-pool.ts). The simulator brings one of its own.
 */
import type { Clock, Disk, Logger, Ms, NodeId } from '../base/index.js';
import type { Rpc } from '../net/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import type { LeaderDuty, LeaderMethod, LocalStore, StoreClient } from '../store/index.js';
import type { Membership } from '../swim/index.js';
import { IdunnoNodeClient } from './client.js';
import { createCompactor } from './compactor.js';
import { Coordinator } from './coordinator.js';
import type { Engine } from './engine.js';
import { ModelHostPool } from './model-host-pool.js';
import { WORK_METHOD } from './protocol.js';
import { createScaler } from './scaler.js';
import type { IdunnoClient } from './types.js';
import { Worker } from './worker.js';

export {
  type ChunkResult,
  type Engine,
  type EngineItem,
  type EngineListener,
  type EngineModel,
  type EngineState,
  intraOpThreads,
  type Seat,
} from './engine.js';
export { eventsOf, type EventOptions, type StateEvent } from './events.js';
export { ModelHostPool, type ModelHostPoolOptions } from './model-host-pool.js';
export { checkFolder, type ModelManifest, parseManifest, validateManifest } from './manifest.js';
export { idunnoModule } from './module.js';
export { parseResultName, resultFileName } from './result-names.js';
export { checkSetting } from './scaling-settings.js';
export * from './types.js';

export interface IdunnoOptions {
  readonly self: NodeId;
  readonly bootEpoch: number;
  /** Tasks computed at once over all models. */
  readonly slots: number;
  /** Threads of one run: see intraOpThreads. Default 1. */
  readonly threads?: number;
  /** Absolute folder for copies of models and input lists, e.g. `DATADIR/idunno`. */
  readonly dir: string;
}

export interface IdunnoParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly logger: Logger;
  readonly rpc: Pick<Rpc, 'notify' | 'handleNotice'>;
  readonly store: StoreClient;
  readonly localStore: LocalStore | undefined;
  readonly sdfs: SdfsClient;
  readonly engine?: Engine;
  /** Lets tasks of a suspected worker be hedged before the verdict. */
  readonly membership: Pick<Membership, 'onChange'> | undefined;
}

export interface Idunno {
  readonly client: IdunnoClient;
  readonly duties: readonly LeaderDuty[];
  readonly leaderMethods: Readonly<Record<string, LeaderMethod>>;
  start(): Promise<void>;
  drain(timeoutMs: Ms): Promise<void>;
  stop(): Promise<void>;
}

export function createIdunno(options: IdunnoOptions, parts: IdunnoParts): Idunno {
  const { clock, disk, logger: log, rpc, store, sdfs } = parts;
  const { self: node, bootEpoch: epoch, slots, threads = 1, dir } = options;
  const engine = parts.engine ?? new ModelHostPool({ slots, threads }, { clock, log });
  const worker = new Worker(
    { node, epoch, slots, dir },
    { clock, disk, log, store, sdfs, rpc, engine },
  );
  return {
    client: new IdunnoNodeClient({ clock, store, sdfs }),
    ...createLeaderParts(parts),
    start: () => worker.start(),
    drain: (timeoutMs) => worker.drain(timeoutMs),
    stop: () => worker.stop(),
  };
}

function createLeaderParts(parts: IdunnoParts): Pick<Idunno, 'duties' | 'leaderMethods'> {
  const { clock, logger: log, rpc, sdfs, localStore: local, membership } = parts;
  if (local === undefined) return { duties: [], leaderMethods: {} };
  const coordinator = new Coordinator({ clock, log, local, rpc, membership });
  return {
    duties: [
      coordinator.duty,
      createCompactor({ clock, log, local, sdfs }),
      createScaler({ clock, log, local }),
    ],
    leaderMethods: { [WORK_METHOD]: coordinator.work },
  };
}
