/**
 * A snapshot on its way in, on disk: chunks as they came, each with its checksum, so that a transfer
 * goes on after a broken connection, and after a restart of this node, where it was.
 *
 *     FILE.json   which snapshot this is: id, position, members
 *     FILE        per chunk: u32 length | u32 CRC32C | bytes
 *
 * A chunk counts when it is synced. A restart reads the file back and keeps the chunks that are
 * whole; what follows the first that is not is cut off and sent again.
 */
import { dirname } from 'node:path';
import { crc32c, type Disk, type DiskFile, IdunnoError } from '../base/index.js';
import { confFromWire, confToWire } from './conf.js';
import type { SnapshotMeta } from './types.js';

const FRAME_BYTES = 8;
const LABEL_BYTES_MAX = 64 * 1024;

export class SnapshotSpool {
  readonly id: string;
  readonly meta: SnapshotMeta;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #file: DiskFile;
  #chunks: number;
  #bytes: number;

  private constructor(
    place: { disk: Disk; path: string; file: DiskFile },
    label: { id: string; meta: SnapshotMeta },
    held: { chunks: number; bytes: number },
  ) {
    this.#disk = place.disk;
    this.#path = place.path;
    this.#file = place.file;
    this.id = label.id;
    this.meta = label.meta;
    this.#chunks = held.chunks;
    this.#bytes = held.bytes;
  }

  /** An empty one; whatever was there before is gone. */
  static async create(
    disk: Disk,
    path: string,
    id: string,
    meta: SnapshotMeta,
  ): Promise<SnapshotSpool> {
    await removeSpool(disk, path);
    const file = await disk.open(path, 'create');
    const { index, term, conf } = meta;
    const label = JSON.stringify({ version: 1, id, index, term, conf: confToWire(conf) });
    await disk.writeFileDurable(`${path}.json`, Buffer.from(label));
    await disk.syncDir(dirname(path));
    return new SnapshotSpool({ disk, path, file }, { id, meta }, { chunks: 0, bytes: 0 });
  }

  /** What a crash or a restart left; undefined: nothing of use. */
  static async open(disk: Disk, path: string): Promise<SnapshotSpool | undefined> {
    const label = await readLabel(disk, path);
    if (label === undefined || (await disk.stat(path)) === undefined) return undefined;
    const file = await disk.open(path, 'update');
    const held = { chunks: 0, bytes: 0 };
    for await (const chunk of framesOf(file)) {
      held.chunks += 1;
      held.bytes += FRAME_BYTES + chunk.length;
    }
    await file.truncate(held.bytes);
    return new SnapshotSpool({ disk, path, file }, label, held);
  }

  /** Chunks that are here, durably: the number of the next one. */
  get chunks(): number {
    return this.#chunks;
  }

  async append(chunk: Uint8Array): Promise<void> {
    const frame = Buffer.allocUnsafe(FRAME_BYTES + chunk.length);
    frame.writeUInt32BE(chunk.length, 0);
    frame.writeUInt32BE(crc32c(chunk), 4);
    frame.set(chunk, FRAME_BYTES);
    await this.#file.write(this.#bytes, frame);
    await this.#file.datasync();
    this.#bytes += frame.length;
    this.#chunks += 1;
  }

  /** All of it, in order, checked once more. Throws CORRUPT where the disk gives back less. */
  async *read(): AsyncGenerator<Uint8Array> {
    let chunks = 0;
    for await (const chunk of framesOf(this.#file)) {
      chunks += 1;
      yield chunk;
    }
    if (chunks === this.#chunks) return;
    throw new IdunnoError('CORRUPT', `a received snapshot is damaged: ${this.#path}`, {
      path: this.#path,
    });
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async remove(): Promise<void> {
    await this.#file.close();
    await removeSpool(this.#disk, this.#path);
  }
}

async function removeSpool(disk: Disk, path: string): Promise<void> {
  await disk.remove(`${path}.json`);
  await disk.remove(path);
}

/** As far as they are whole. */
async function* framesOf(file: DiskFile): AsyncGenerator<Uint8Array> {
  const size = await file.bytes();
  for (let at = 0; at + FRAME_BYTES <= size; ) {
    const head = Buffer.from(await file.read(at, FRAME_BYTES));
    const length = head.readUInt32BE(0);
    if (at + FRAME_BYTES + length > size) return;
    const chunk = await file.read(at + FRAME_BYTES, length);
    if (crc32c(chunk) !== head.readUInt32BE(4)) return;
    yield chunk;
    at += FRAME_BYTES + length;
  }
}

async function readLabel(
  disk: Disk,
  path: string,
): Promise<{ id: string; meta: SnapshotMeta } | undefined> {
  if ((await disk.stat(`${path}.json`)) === undefined) return undefined;
  try {
    const text = Buffer.from(await disk.readFile(`${path}.json`, LABEL_BYTES_MAX)).toString('utf8');
    const { version, id, index, term, conf } = JSON.parse(text) as Record<string, unknown>;
    const members = confFromWire(conf);
    const isWhole = version === 1 && typeof index === 'number' && typeof term === 'number';
    if (isWhole && typeof id === 'string' && members !== undefined) {
      return { id, meta: { index, term, conf: members } };
    }
  } catch {
    // A label that cannot be read labels nothing.
  }
  return undefined;
}
