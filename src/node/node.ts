/**
 * The composition root: one function constructs every part of a node by hand, in order, and starts
 * it; `stop` undoes it in reverse.
 *
 *     folder ─▶ rpc ─▶ consensus, state ─▶ store client ─▶ files ─▶ membership ─▶ jobs ─▶ api
 *                                                                        then: listen, start, register
 *
 * A part that cannot go on (a failed log or state write, a membership thread that ended) calls
 * `onFatal`; the process must end then, because what it would say from now on could not be trusted.
 */
import { join } from 'node:path';
import {
  assert,
  type ClusterConfig,
  type DataFolder,
  type FolderLock,
  type Logger,
  must,
  type NodeConfig,
  openDataFolder,
  type Runtime,
} from '../base/index.js';
import { createIdunno, type Engine, type Idunno } from '../idunno/index.js';
import { LogService, type NodeLogs } from '../logs/index.js';
import { createRpc, type RpcServer } from '../net/index.js';
import type { RaftDriver } from '../raft/index.js';
import { createSdfs, type Sdfs } from '../sdfs/index.js';
import { type StoreClient, StoreRpcClient, type StoreService } from '../store/index.js';
import type { Membership } from '../swim/index.js';
import { serveApi } from './api.js';
import { serveStorage } from './api-storage.js';
import { committedNodes } from './committed-nodes.js';
import { type Coordinator, createCoordinator } from './coordinator.js';
import { logLeaders, logMembers, logState } from './event-log.js';
import { CoordinatorsDuty } from './coordinators-duty.js';
import { Directory } from './directory.js';
import { createMembershipDuty } from './membership-duty.js';
import { raftView, registerLeaderMethods } from './raft-view.js';
import { Registration } from './registration.js';
import { FilesWithResults } from './result-files.js';

export interface NodeOptions {
  readonly config: ClusterConfig;
  readonly name: string;
  readonly version: string;
  /** Found the cluster without asking the other coordinators. */
  readonly forceBootstrap?: boolean;
}

export interface NodeParts {
  readonly runtime: Runtime;
  readonly log: Logger;
  /** Makes the data folder this process's own; absent in the simulator. */
  readonly lock?: (path: string) => Promise<FolderLock>;
  /** SWIM in a thread of its own, or on the caller's loop. */
  readonly createMembership: (
    node: NodeConfig,
    folder: DataFolder,
    onFatal: (error: Error) => void,
  ) => Promise<Membership>;
  /** Runs models: processes of their own, or a stand-in. */
  readonly createEngine: (node: NodeConfig) => Engine;
  /** The files behind `log`; absent where it has none. */
  readonly logs?: NodeLogs;
  readonly onFatal: (error: Error) => void;
}

/** A node that runs. */
export interface RunningNode {
  readonly node: NodeConfig;
  readonly bootEpoch: number;
  readonly membership: Membership;
  readonly store: StoreClient;
  /** Hands over what it leads, ends everything it started. Idempotent. */
  stop(): Promise<void>;
}

/** What is being computed may be finished and reported; what takes longer is done by others. */
const DRAIN_MS = 3_000;
/** For what clients have asked; a long transfer or a followed stream goes on at another node. */
const CLIENTS_MS = 500;

/** What has been started, to be undone in reverse. */
type Undo = readonly [what: string, undo: () => Promise<unknown> | unknown];

/** Throws FOLDER_LOCKED, FOREIGN_DATA, PORT_TAKEN, CORRUPT, DISK_ERROR; then nothing is left. */
export async function startNode(options: NodeOptions, parts: NodeParts): Promise<RunningNode> {
  const undo: Undo[] = [];
  try {
    return await build(options, parts, undo);
  } catch (error) {
    await unwind(undo, parts.log);
    throw error;
  }
}

async function build(options: NodeOptions, parts: NodeParts, undo: Undo[]): Promise<RunningNode> {
  const { config, version } = options;
  const { runtime, log } = parts;
  const { clock, rng } = runtime;
  const node = must(
    config.nodes.find(({ name }) => name === options.name),
    `node ${options.name} of the config`,
  );
  const folder = await openFolder(config, node, parts);
  undo.push(['folder', () => folder.close()]);
  if (folder.repaired.length > 0) {
    log.error('node.files-repaired', { files: folder.repaired.join(', '), folder: folder.path });
  }
  const { bootEpoch } = folder;

  const rpc = createRpc({
    self: { name: node.name, kind: 'node', bootEpoch },
    cluster: config.cluster,
    fingerprint: config.fingerprint,
    network: runtime.network,
    clock,
    logger: log,
  });
  undo.push(['rpc', () => rpc.close()]);
  for (const { name, host, port } of config.nodes) rpc.setAddress(name, { host, port });

  // On every node: whoever is no member now may be made one.
  const coordinator = await createCoordinator({ ...options, node }, { ...parts, rpc });
  undo.push(['coordinator', () => coordinator.stop()]);
  const { service: local, driver } = coordinator;
  const directory = createDirectory(node, config, { rpc, runtime, log });
  undo.push(['directory', () => directory.stop()]);
  const store = new StoreRpcClient(
    { self: node.name, coordinators: config.coordinators },
    { rpc, clock, rng: rng.fork('store'), local },
  );
  directory.onChange((names) => store.setCoordinators(names));
  driver.onMembers((members) => directory.onMembers(members, local.isLeader));
  // The leader before may have fallen, or left the group, before it could tell anybody.
  driver.onRole(({ isReady }) => {
    if (isReady) directory.onMembers(driver.members, true);
  });

  const sdfs = createFiles(node, config, { rpc, store, coordinator, runtime, log, bootEpoch });
  const membership = await parts.createMembership(node, folder, parts.onFatal);
  undo.push(['membership', () => membership.stop()]);
  const engine = parts.createEngine(node);
  const shared = { rpc, store, coordinator, runtime, log, bootEpoch };
  const idunno = createJobs(node, { ...shared, sdfs, membership, engine });
  const registration = new Registration({
    node,
    bootEpoch,
    bootWallMs: membership.self.bootWallMs,
    store,
    clock,
    log,
    onRegistered: () => idunno.start(),
  });

  const nodes = config.nodes.map(({ name }) => name);
  const duty = new CoordinatorsDuty({ self: node.name, nodes, driver, local, clock, log });
  local.addDuty(duty);
  local.addDuty(createMembershipDuty({ self: node.name, membership, local, clock, log }));
  addDuties(local, { driver, duty, sdfs, idunno });
  logLeaders(driver, log);
  logState({ local, isLeader: () => local.isLeader, clock, log });
  logMembers(membership, log);
  serveStorage(rpc, coordinator);
  serveApi(rpc, {
    config,
    node,
    version,
    membership,
    store,
    local,
    coordinators: () => directory.coordinators,
    raft: raftView(node, config, { driver, store, clock }),
    sdfs: new FilesWithResults({
      sdfs: sdfs.client,
      idunno: idunno.client,
      coordinators: () => directory.coordinators,
    }),
    idunno: idunno.client,
    logs: createLogs(config, parts.logs, { ...shared, membership }),
    clock,
    isRegistered: () => registration.isRegistered,
    log,
  });

  await sdfs.start();
  undo.push(['sdfs', () => sdfs.stop()]);
  await rpc.listen(node.host, node.port);
  await directory.start();
  await driver.start();
  undo.push(['engine', () => engine.stop()]);
  undo.push(['idunno', () => idunno.stop()]);
  registration.start();
  undo.push(['registration', () => registration.stop()]);
  log.info('node.start', { version, epoch: bootEpoch, host: node.host, port: node.port });

  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= stopNode(undo, { ...shared, idunno });
    return stopped;
  };
  return { node, bootEpoch, membership, store, stop };
}

function openFolder(
  config: ClusterConfig,
  node: NodeConfig,
  { runtime, lock }: NodeParts,
): Promise<DataFolder> {
  const { disk, clock, rng } = runtime;
  return openDataFolder({
    path: node.dataDir,
    config,
    node: node.name,
    disk,
    clock,
    rng: rng.fork('identity'),
    ...(lock === undefined ? {} : { lock }),
  });
}

interface Shared {
  readonly rpc: RpcServer;
  readonly store: StoreClient;
  readonly coordinator: Coordinator;
  readonly runtime: Runtime;
  readonly log: Logger;
  readonly bootEpoch: number;
}

function createFiles(node: NodeConfig, config: ClusterConfig, shared: Shared): Sdfs {
  const { rpc, store, coordinator, runtime, log, bootEpoch } = shared;
  const { clock, rng, disk } = runtime;
  const { copies, repairDelayMs } = config.sdfs;
  const rackOf = new Map(config.nodes.map(({ name, labels }) => [name as string, labels['rack']]));
  return createSdfs(
    { self: node.name, bootEpoch, root: `${node.dataDir}/sdfs`, copies, repairDelayMs },
    {
      rpc,
      store,
      localStore: coordinator.service,
      clock,
      rng,
      disk,
      logger: log,
      domainOf: (name) => rackOf.get(name) ?? name,
    },
  );
}

function createJobs(
  node: NodeConfig,
  shared: Shared & {
    readonly sdfs: Sdfs;
    readonly membership: Membership;
    readonly engine: Engine;
  },
): Idunno {
  const { rpc, store, coordinator, runtime, log, bootEpoch, sdfs, membership, engine } = shared;
  const { clock, disk } = runtime;
  return createIdunno(
    { self: node.name, bootEpoch, slots: node.slots, dir: `${node.dataDir}/idunno` },
    {
      rpc,
      store,
      localStore: coordinator.service,
      sdfs: sdfs.client,
      engine,
      membership,
      clock,
      disk,
      logger: log,
    },
  );
}

function createLogs(
  config: ClusterConfig,
  logs: NodeLogs | undefined,
  shared: Shared & { readonly membership: Membership },
): LogService | undefined {
  if (logs === undefined) return undefined;
  const { rpc, store, coordinator, membership, runtime } = shared;
  return new LogService({
    self: membership.self.name,
    rpc,
    clock: runtime.clock,
    membership,
    logs,
    configured: config.nodes.map(({ name }) => name),
    committedLeft: async () => {
      const rows = await committedNodes({ local: coordinator?.service, store });
      return new Set(rows.filter(({ status }) => status === 'left').map(({ name }) => name));
    },
  });
}

interface Duties {
  readonly driver: RaftDriver;
  readonly duty: CoordinatorsDuty;
  readonly sdfs: Sdfs;
  readonly idunno: Idunno;
}

function addDuties(local: StoreService, { driver, duty, sdfs, idunno }: Duties): void {
  registerLeaderMethods(local, driver, duty);
  for (const part of [sdfs, idunno]) {
    for (const duty of part.duties) local.addDuty(duty);
    for (const [name, method] of Object.entries(part.leaderMethods)) {
      local.registerLeaderMethod(name, method);
    }
  }
}

function createDirectory(
  node: NodeConfig,
  config: ClusterConfig,
  { rpc, runtime, log }: { rpc: RpcServer; runtime: Runtime; log: Logger },
): Directory {
  const { clock, disk } = runtime;
  return new Directory(
    {
      self: node.name,
      founders: config.coordinators,
      nodes: config.nodes.map(({ name }) => name),
      path: join(node.dataDir, 'coordinators.json'),
    },
    { rpc, clock, rng: runtime.rng.fork('directory'), disk, log },
  );
}

async function stopNode(
  undo: Undo[],
  {
    rpc,
    coordinator,
    idunno,
    log,
  }: Pick<Shared, 'rpc' | 'coordinator' | 'log'> & { idunno: Idunno },
): Promise<void> {
  log.info('node.stop', {});
  // First, while everything still answers: others need not wait for an election or a lease's end.
  await Promise.allSettled([coordinator.handOver(), idunno.drain(DRAIN_MS)]);
  // Their calls are passed on to the next leader meanwhile; the next ones they take elsewhere.
  await rpc.drain(CLIENTS_MS);
  await unwind(undo, log);
  assert(undo.length === 0, 'everything is undone');
}

/** Nothing is left running, whatever a part says about it. */
async function unwind(undo: Undo[], log: Logger): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    const [what, end] = step;
    try {
      await end();
    } catch (error) {
      log.warn('node.stop.failed', { part: what, error: String(error) });
    }
  }
}
