/**
 * SDFS: the versioned, replicated, flat file system.
 *
 * How a node is composed of it (src/node):
 *
 *     sdfsModule                      is one of the state machine's modules, on coordinators
 *     const sdfs = createSdfs(options, parts)
 *     await sdfs.start()              opens the blob store, answers transfer calls
 *     sdfs.client                     SdfsClient for everyone on this node
 *     sdfs.duties                     on coordinators: store.addDuty(duty) for each
 *     sdfs.leaderMethods              on coordinators: store.registerLeaderMethod(name, method)
 *     await sdfs.stop()               ends what this node does by itself (scrubbing)
 *
 * `parts.localStore` is the store on this node, or undefined where the node is no coordinator:
 * then `duties` and `leaderMethods` are empty.
 */
import type { Clock, Disk, Logger, NodeId, Rng } from '../base/index.js';
import type { Rpc } from '../net/index.js';
import type { LeaderDuty, LeaderMethod, LocalStore, StoreClient } from '../store/index.js';
import { BlobStore } from './blob-store.js';
import { SdfsNodeClient } from './client.js';
import { Collector } from './collect.js';
import { Housekeeper } from './housekeeping.js';
import { createLeaderMethods } from './leader-methods.js';
import { NodeCalls } from './node-calls.js';
import { Repair } from './repair.js';
import { Scrubber } from './scrub.js';
import { SdfsService, SERVICE_DEFAULTS } from './service.js';
import { SpaceWatch } from './space-watch.js';
import type { SdfsClient } from './types.js';

export { sdfsModule } from './module.js';
export { validateFileName } from './names.js';
export * from './types.js';

export interface SdfsOptions {
  readonly self: NodeId;
  readonly bootEpoch: number;
  /** Absolute folder of this node's blobs, e.g. `DATADIR/sdfs`. */
  readonly root: string;
  /** Copies of each file, and how long one missing copy is waited for: config.sdfs. */
  readonly copies: number;
  readonly repairDelayMs: number;
  /** Versions of a deleted file stay readable to those who pinned them. Default: one hour. */
  readonly pruneAfterMs?: number;
  /** A full pass over this node's blobs. Default: seven days. */
  readonly scrubPeriodMs?: number;
}

export interface SdfsParts {
  readonly rpc: Rpc;
  readonly store: StoreClient;
  readonly localStore: LocalStore | undefined;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly logger: Logger;
  /** Nodes of one failure domain get different copies; by default each node is its own. */
  readonly domainOf?: (node: string) => string;
}

export interface Sdfs {
  readonly client: SdfsClient;
  readonly duties: readonly LeaderDuty[];
  readonly leaderMethods: Readonly<Record<string, LeaderMethod>>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const HOUR_MS = 3_600_000;

export function createSdfs(options: SdfsOptions, parts: SdfsParts): Sdfs {
  const { rpc, store, clock, disk, logger } = parts;
  const rng = parts.rng.fork('sdfs');
  const { self, bootEpoch, root, copies } = options;
  const calls = new NodeCalls({ self, bootEpoch }, { rpc });
  const blobs = new BlobStore({ root }, { disk, clock, logger });
  const client = new SdfsNodeClient({ copies }, { calls, store, clock, rng, logger });
  const service = new SdfsService(SERVICE_DEFAULTS, {
    calls,
    blobs,
    clock,
    logger,
    onBadCopy: (blob, error) => client.reportBad(blob, self, error),
  });
  const scrubber = new Scrubber(
    { periodMs: options.scrubPeriodMs ?? 7 * 24 * HOUR_MS },
    { blobs, clock, logger, onBadCopy: (blob, error) => client.reportBad(blob, self, error) },
  );
  return {
    client,
    ...createLeaderParts(options, { ...parts, rng }, calls),
    start: async () => {
      await service.start();
      scrubber.start();
    },
    stop: async () => scrubber.stop(),
  };
}

function createLeaderParts(
  options: SdfsOptions,
  parts: SdfsParts,
  calls: NodeCalls,
): Pick<Sdfs, 'duties' | 'leaderMethods'> {
  const { localStore, clock, logger, rng } = parts;
  if (localStore === undefined) return { duties: [], leaderMethods: {} };
  const domainOf = parts.domainOf ?? ((node: string) => node);
  const store = localStore;
  const spaces = new SpaceWatch({ calls, clock, logger, store, domainOf });
  const repair = new Repair(
    { delayMs: options.repairDelayMs },
    { calls, clock, logger, store, spaces },
  );
  const collector = new Collector({ calls, clock, logger, store, repair });
  const housekeeper = new Housekeeper(
    { pruneAfterMs: options.pruneAfterMs ?? HOUR_MS },
    { clock, logger, store },
  );
  return {
    duties: [spaces, repair, collector, housekeeper],
    leaderMethods: createLeaderMethods({ store, spaces, repair, rng }),
  };
}
