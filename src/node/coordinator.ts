/**
 * A coordinator's own parts: the log, the state, the consensus driver between them, and the store
 * that the rest of the node speaks to.
 */
import { join } from 'node:path';
import {
  type ClusterConfig,
  type Logger,
  type NodeConfig,
  type Runtime,
  withTimeout,
} from '../base/index.js';
import { idunnoModule } from '../idunno/index.js';
import type { Rpc } from '../net/index.js';
import { LevelLogStore, RaftDriver } from '../raft/index.js';
import { sdfsModule } from '../sdfs/index.js';
import { type Checkpoint, StateCheck, StateMachine, StoreService } from '../store/index.js';
import { openLogDatabase } from './log-database.js';

export interface CoordinatorOptions {
  readonly config: ClusterConfig;
  readonly node: NodeConfig;
  readonly forceBootstrap?: boolean;
}

export interface CoordinatorParts {
  readonly runtime: Runtime;
  readonly rpc: Rpc;
  readonly log: Logger;
  readonly onFatal: (error: Error) => void;
}

export interface Coordinator {
  readonly driver: RaftDriver;
  readonly service: StoreService;
  /** The sum over all rows of the state now. */
  stateSum(): Checkpoint;
  /** If this node leads, lets another lead and serve; gives up after a moment. */
  handOver(): Promise<void>;
  stop(): Promise<void>;
}

/** A transfer takes a round trip; when nobody can take over there is no use in waiting. */
const HAND_OVER_MS = 1_500;

/** Opens both databases. The driver starts later, when the node can be reached. */
export async function createCoordinator(
  { config, node, forceBootstrap = false }: CoordinatorOptions,
  { runtime, rpc, log, onFatal }: CoordinatorParts,
): Promise<Coordinator> {
  const { clock, disk, openDatabase } = runtime;
  const rng = runtime.rng.fork('raft');
  const folder = join(node.dataDir, 'raft');
  await disk.mkdir(folder);
  const { db, damage, replace } = await openLogDatabase(join(folder, 'log'), runtime, log);
  const logStore = new LevelLogStore(
    { folder, watermarkPath: join(folder, 'watermark'), damage },
    { db, replaceDb: replace, disk, clock, log },
  );
  let machine: StateMachine;
  try {
    machine = await StateMachine.open(
      { folder: join(node.dataDir, 'state'), modules: [sdfsModule, idunnoModule] },
      { disk, log, openDatabase, onFatal, clock },
    );
  } catch (error) {
    await db.close();
    throw error;
  }
  let check: StateCheck | undefined;
  const driver = new RaftDriver(
    {
      self: node.name,
      coordinators: config.coordinators,
      timing: config.raft,
      bootFile: join(folder, 'boot.json'),
      forceBootstrap,
    },
    {
      ...{ rpc, clock, rng, disk, log, logStore, machine, onFatal },
      onSnapshotRefused: () => void check?.scrub().catch(onFatal),
    },
  );
  const service = new StoreService({ rpc, clock, log, driver, machine });
  check = new StateCheck({ rpc, clock, log, driver, machine });
  check.start();
  return {
    driver,
    service,
    stateSum: () => machine.stateSum(),
    handOver: async () => {
      if (driver.role.role !== 'leader') return;
      const handed = handOver(driver, service);
      await withTimeout(clock, handed, HAND_OVER_MS, 'handing over').catch(() => undefined);
    },
    stop: async () => {
      check?.stop();
      await driver.stop();
      await machine.close();
    },
  };
}

/** Resolves when the next leader serves: until then this node had better not begin to take itself apart. */
async function handOver(driver: RaftDriver, service: StoreService): Promise<void> {
  if ((await driver.transferLeadership()) !== undefined) await service.readBarrier();
}
