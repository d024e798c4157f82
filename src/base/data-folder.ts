/**
 * A node's data folder: whose it is, who uses it, and how often it was started.
 *
 *     lock            the process that has it (real-lock.ts)
 *     identity.json   cluster, node, coordinators at first boot, incarnation; never changes
 *     identity.copy.json   the same, for when the first is damaged
 *     epoch.json      the boot epoch of the last start
 *
 * Each file carries its checksum. A damaged identity is taken from its copy, or drawn anew from the
 * config where both are gone (then this node is another incarnation); a damaged epoch starts at the
 * clock again. What was repaired is told to the caller.
 *
 * It refuses data of another cluster or node (FOREIGN_DATA) and of a newer format. The boot epoch
 * is durable before it is used. It starts at the seconds of the wall clock, so that a node whose
 * disk was replaced is still newer than its former self, and grows by one with each start.
 */
import { join } from 'node:path';
import type { ClusterConfig } from './config-types.js';
import { crc32c } from './crc.js';
import { IdunnoError, isIdunnoError } from './errors.js';
import type { BootEpoch, NodeId } from './ids.js';
import { KIB } from './limits.js';
import type { FolderLock } from './real-lock.js';
import type { Clock, Disk, Rng } from './runtime.js';

const IDENTITY_FILES = ['identity.json', 'identity.copy.json'] as const;

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
  /** Files that were damaged or missing and have been written anew. */
  readonly repaired: readonly string[];
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

/** Throws FOLDER_LOCKED, FOREIGN_DATA and the disk's errors; CORRUPT for a file of another shape. */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, disk } = options;
  await disk.mkdir(path);
  const lock = await options.lock?.(path);
  try {
    const repaired: string[] = [];
    const copies = await Promise.all(
      IDENTITY_FILES.map((file) => readSealed(disk, join(path, file))),
    );
    const isNew = copies.every((copy) => copy === 'missing');
    const known = copies.find((copy) => typeof copy === 'object');
    const identity = known === undefined ? createIdentity(options) : checkIdentity(known, options);
    for (const [at, file] of IDENTITY_FILES.entries()) {
      if (typeof copies[at] === 'object') continue;
      await writeSealed(disk, join(path, file), identity);
      if (!isNew) repaired.push(file);
    }
    const bootEpoch = await nextEpoch(options, repaired);
    const close = async () => lock?.release();
    return { path, identity, bootEpoch, isNew, repaired, close };
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

/** How the files of a folder are, without opening it. */
export async function checkDataFiles(
  disk: Disk,
  path: string,
): Promise<Record<string, 'sound' | 'missing' | 'damaged'>> {
  const states: Record<string, 'sound' | 'missing' | 'damaged'> = {};
  for (const file of [...IDENTITY_FILES, 'epoch.json']) {
    const found = await readSealed(disk, join(path, file));
    states[file] = typeof found === 'object' ? 'sound' : found;
  }
  return states;
}

function createIdentity(options: DataFolderOptions): DataIdentity {
  const { config, rng } = options;
  const words = [rng.nextU32(), rng.nextU32(), rng.nextU32(), rng.nextU32()];
  return {
    formatVersion: FORMAT_VERSION,
    cluster: config.cluster,
    fingerprint: config.fingerprint,
    coordinators: [...config.coordinators],
    node: options.node,
    incarnation: words.map((word) => word.toString(16).padStart(8, '0')).join(''),
  };
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

/** More starts than one a second are rarer than a clock that is right: it is newer than any before. */
async function nextEpoch(options: DataFolderOptions, repaired: string[]): Promise<BootEpoch> {
  const { disk, clock, path } = options;
  const file = join(path, 'epoch.json');
  const known = await readSealed(disk, file);
  const last = typeof known === 'object' ? known['epoch'] : undefined;
  const isKnown = typeof last === 'number' && Number.isSafeInteger(last);
  if (!isKnown && known !== 'missing') repaired.push('epoch.json');
  const epoch = isKnown ? last + 1 : Math.floor(clock.wall() / 1000);
  await writeSealed(disk, file, { epoch });
  return epoch;
}

/** The values of a file whose checksum is right. */
async function readSealed(
  disk: Disk,
  file: string,
): Promise<Record<string, unknown> | 'missing' | 'damaged'> {
  let bytes: Uint8Array;
  try {
    bytes = await disk.readFile(file, FILE_BYTES_MAX);
  } catch (error) {
    if (isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND')) return 'missing';
    throw error;
  }
  try {
    const { crc, ...value } = JSON.parse(new TextDecoder().decode(bytes)) as object & {
      crc?: unknown;
    };
    if (crc === crcOf(value)) return value as Record<string, unknown>;
  } catch {
    // What is not JSON is damaged.
  }
  return 'damaged';
}

async function writeSealed(disk: Disk, file: string, value: object): Promise<void> {
  const text = JSON.stringify({ ...value, crc: crcOf(value) });
  await disk.writeFileDurable(file, new TextEncoder().encode(`${text}\n`));
}

function crcOf(value: object): number {
  return crc32c(new TextEncoder().encode(JSON.stringify(value)));
}

function damaged(file: string): IdunnoError {
  const text = `${file} does not say whose data this is: restore it, or move the folder away`;
  return new IdunnoError('CORRUPT', text, { path: file });
}
