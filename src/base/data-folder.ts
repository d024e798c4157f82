/**
 * A node's data folder: whose it is, who uses it, and how often it was started.
 *
 *     lock            the process that has it (real-lock.ts)
 *     identity.json   cluster, node, coordinators at first boot, incarnation; never changes
 *     epoch.json      the boot epoch of the last start
 *
 * It refuses data of another cluster or node (FOREIGN_DATA) and of a newer format. The boot epoch
 * is durable before it is used. It starts at the seconds of the wall clock, so that a node whose
 * disk was replaced is still newer than its former self, and grows by one with each start.
 */
import { join } from 'node:path';
import type { ClusterConfig } from './config-types.js';
import { IdunnoError, isIdunnoError } from './errors.js';
import type { BootEpoch, NodeId } from './ids.js';
import { KIB } from './limits.js';
import type { FolderLock } from './real-lock.js';
import type { Clock, Disk, Rng } from './runtime.js';

/** Version of everything below the folder. */
const FORMAT_VERSION = 1;

const FILE_BYTES_MAX = 64 * KIB;

export interface DataIdentity {
  readonly formatVersion: number;
  readonly cluster: string;
  readonly fingerprint: string;
  readonly coordinators: readonly string[];
  readonly node: string;
  /** Drawn when the folder was made: a wiped node comes back as another incarnation. */
  readonly incarnation: string;
}

export interface DataFolder {
  readonly path: string;
  readonly identity: DataIdentity;
  readonly bootEpoch: BootEpoch;
  /** Was the folder made just now? */
  readonly isNew: boolean;
  /** Lets another process have it. */
  close(): Promise<void>;
}

export interface DataFolderOptions {
  readonly path: string;
  readonly config: Pick<ClusterConfig, 'cluster' | 'fingerprint' | 'coordinators'>;
  readonly node: NodeId;
  readonly disk: Disk;
  readonly clock: Pick<Clock, 'wall'>;
  readonly rng: Rng;
  /** `lockFolder` on a real machine; absent in the simulator, which has no processes. */
  readonly lock?: (path: string) => Promise<FolderLock>;
}

/** Throws FOLDER_LOCKED, FOREIGN_DATA, CORRUPT and the disk's errors. */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, disk } = options;
  await disk.mkdir(path);
  const lock = await options.lock?.(path);
  try {
    const known = await readJson(disk, join(path, 'identity.json'));
    const isNew = known === undefined;
    const identity = isNew ? await createIdentity(options) : checkIdentity(known, options);
    const bootEpoch = await nextEpoch(options);
    const close = async () => lock?.release();
    return { path, identity, bootEpoch, isNew, close };
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

async function createIdentity(options: DataFolderOptions): Promise<DataIdentity> {
  const { config, rng } = options;
  const words = [rng.nextU32(), rng.nextU32(), rng.nextU32(), rng.nextU32()];
  const identity: DataIdentity = {
    formatVersion: FORMAT_VERSION,
    cluster: config.cluster,
    fingerprint: config.fingerprint,
    coordinators: [...config.coordinators],
    node: options.node,
    incarnation: words.map((word) => word.toString(16).padStart(8, '0')).join(''),
  };
  await writeJson(options.disk, join(options.path, 'identity.json'), identity);
  return identity;
}

function checkIdentity(known: Record<string, unknown>, options: DataFolderOptions): DataIdentity {
  const { path, config, node } = options;
  const identity = parseIdentity(known, join(path, 'identity.json'));
  if (identity.formatVersion > FORMAT_VERSION) {
    const text = `${path} was written by a newer idunno (format ${identity.formatVersion})`;
    throw new IdunnoError('FOREIGN_DATA', `${text}: run that version, or choose another dataDir`);
  }
  const differences = [
    describeDifference('cluster', identity.cluster, config.cluster),
    describeDifference('node', identity.node, node),
  ].filter((text) => text !== undefined);
  if (differences.length === 0 && identity.fingerprint !== config.fingerprint) {
    const before = identity.coordinators.join(', ');
    differences.push(
      `coordinators ${before}, and the config says ${config.coordinators.join(', ')}`,
    );
  }
  if (differences.length > 0) {
    const text = `${path} holds the data of ${differences.join('; ')}`;
    const data = { path, cluster: identity.cluster, node: identity.node };
    throw new IdunnoError(
      'FOREIGN_DATA',
      `${text}: correct the config or choose another dataDir`,
      data,
    );
  }
  return identity;
}

function describeDifference(what: string, found: string, wanted: string): string | undefined {
  return found === wanted ? undefined : `${what} "${found}", and the config says "${wanted}"`;
}

function parseIdentity(known: Record<string, unknown>, file: string): DataIdentity {
  const { formatVersion, cluster, fingerprint, coordinators, node, incarnation } = known;
  const texts = [cluster, fingerprint, node, incarnation];
  const isSound =
    typeof formatVersion === 'number' &&
    Array.isArray(coordinators) &&
    texts.every((text) => typeof text === 'string');
  if (!isSound) throw damaged(file);
  return {
    formatVersion,
    cluster: String(cluster),
    fingerprint: String(fingerprint),
    coordinators: coordinators.map(String),
    node: String(node),
    incarnation: String(incarnation),
  };
}

async function nextEpoch(options: DataFolderOptions): Promise<BootEpoch> {
  const file = join(options.path, 'epoch.json');
  const known = await readJson(options.disk, file);
  let epoch = Math.floor(options.clock.wall() / 1000);
  if (known !== undefined) {
    const last = known['epoch'];
    if (typeof last !== 'number' || !Number.isSafeInteger(last)) throw damaged(file);
    epoch = last + 1;
  }
  await writeJson(options.disk, file, { epoch });
  return epoch;
}

async function readJson(disk: Disk, file: string): Promise<Record<string, unknown> | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await disk.readFile(file, FILE_BYTES_MAX);
  } catch (error) {
    if (isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND')) return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below: what is not JSON is as damaged as what is not an object.
  }
  throw damaged(file);
}

async function writeJson(disk: Disk, file: string, value: object): Promise<void> {
  await disk.writeFileDurable(file, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

function damaged(file: string): IdunnoError {
  const text = `${file} is damaged: restore it, or move the whole folder away to start anew`;
  return new IdunnoError('CORRUPT', text, { path: file });
}
