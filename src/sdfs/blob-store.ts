/**
 * The blobs of one node on its disk.
 *
 *     ROOT/tmp/ID.N       being written; removed at start
 *     ROOT/blobs/XX/ID    whole and durable; XX = id modulo 256, in hex
 *
 * Never trusted: a file that is not renamed, a byte whose checksum was not verified. Nothing is
 * deleted here by its own decision: only `remove`, which the service calls on a leader's order.
 *
 * Invariant: an id is listed exactly when its file is in place. A crash leaves, for each blob, the
 * old file, the new file or none, and no part of one.
 */
import { CHUNK_BYTES, type Clock, type Disk, type DiskFile, type Logger } from '../base/index.js';
import {
  type BlobAbout,
  type BlobFooter,
  blockOffset,
  checkHeader,
  corrupt,
  decodeAbout,
  decodeFooter,
  endOfData,
  FOOTER_BYTES,
  HEADER_BYTES,
  openBlocks,
} from './blob-format.js';
import { type BlobContent, BlobWriter } from './blob-writer.js';
import { BLOCK_BYTES } from './limits.js';
import { bytesShort, type DiskLevel, diskLevel } from './placement.js';
import { SortedIds } from './sorted-ids.js';

export interface BlobStoreOptions {
  /** Absolute; made if it is not there. */
  readonly root: string;
}

export interface BlobStoreParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Footers kept in memory: a read of a small file out of a known blob is one disk operation. */
const FOOTERS_MAX = 10_000;
const SPACE_FRESH_MS = 1_000;
const FOLDERS = 256;
const BLOB_NAME = /^[1-9][0-9]{0,15}$/;

export class BlobStore {
  readonly #root: string;
  readonly #parts: BlobStoreParts;
  readonly #ids = new SortedIds();
  readonly #footers = new Map<number, BlobFooter>();
  readonly #folders = new Set<string>();
  #space: DiskSpace = { freeBytes: 0, totalBytes: 0 };
  #spaceAtMs = Number.NEGATIVE_INFINITY;
  #temporary = 0;
  #syncFailure: string | undefined;

  constructor(options: BlobStoreOptions, parts: BlobStoreParts) {
    this.#root = options.root;
    this.#parts = parts;
  }

  /** Removes what was half written and lists what is there. */
  async start(): Promise<void> {
    const { disk } = this.#parts;
    await disk.removeTree(`${this.#root}/tmp`);
    await disk.mkdir(`${this.#root}/tmp`);
    await disk.mkdir(`${this.#root}/blobs`);
    for (const folder of await disk.list(`${this.#root}/blobs`)) {
      this.#folders.add(folder);
      for (const name of await disk.list(`${this.#root}/blobs/${folder}`)) {
        const id = BLOB_NAME.test(name) ? Number(name) : 0;
        if (id > 0 && folderOf(id) === folder) this.#ids.add(id);
      }
    }
  }

  /** Blobs that are whole on this disk. */
  get count(): number {
    return this.#ids.size;
  }

  /** Text of the last failed sync; undefined once a blob was made durable after it. */
  get syncFailure(): string | undefined {
    return this.#syncFailure;
  }

  has(blob: number): boolean {
    return this.#ids.has(blob);
  }

  /** At most `limit` ids above `after`, in order. */
  page(after: number, limit: number): number[] {
    return this.#ids.page(after, limit);
  }

  /** As measured within the last second. */
  async space(): Promise<DiskSpace & { readonly level: DiskLevel }> {
    const { clock, disk } = this.#parts;
    if (clock.now() - this.#spaceAtMs > SPACE_FRESH_MS) {
      this.#space = await disk.space(this.#root);
      this.#spaceAtMs = clock.now();
    }
    return { ...this.#space, level: diskLevel(this.#space) };
  }

  /** Bytes missing below the mark at which writes are refused; 0 if this many fit. */
  async bytesShort(bytes: number): Promise<number> {
    return bytesShort(await this.space(), bytes, 'full');
  }

  /** A writer for this blob. Where the blob is there already it is replaced at the end, at once. */
  writer(blob: number, content: BlobContent): BlobWriter {
    const { disk, logger } = this.#parts;
    this.#temporary += 1;
    const temporary = `${this.#root}/tmp/${blob}.${this.#temporary}`;
    return new BlobWriter(
      { blob, content },
      {
        open: () => disk.open(temporary, 'create'),
        publish: (about) => this.#publish(temporary, about),
        discard: () => disk.remove(temporary),
        onSyncFailure: (error) => {
          this.#syncFailure = error instanceof Error ? error.message : String(error);
          logger.error('sdfs.sync-failed', { blob, error: this.#syncFailure });
        },
      },
    );
  }

  async #publish(temporary: string, about: BlobAbout): Promise<void> {
    const { disk } = this.#parts;
    const folder = folderOf(about.blob);
    const path = `${this.#root}/blobs/${folder}`;
    if (!this.#folders.has(folder)) {
      await disk.mkdir(path);
      this.#folders.add(folder);
    }
    this.#footers.delete(about.blob);
    await disk.rename(temporary, `${path}/${about.blob}`);
    // In place from here on, also should the folder's sync fail: then garbage, or a copy that may
    // vanish with the machine, which nobody was told of.
    this.#ids.add(about.blob);
    await disk.syncDir(path);
    this.#syncFailure = undefined;
  }

  /** What the blob says about itself. Throws LOCAL_FILE_NOT_FOUND, CORRUPT. */
  async about(blob: number): Promise<BlobAbout> {
    return this.#withFile(blob, async (file) => {
      const footer = await this.#footer(blob, file);
      const bytes = await file.read(endOfData(footer.dataBytes), footer.aboutBytes);
      return decodeAbout(bytes, footer, blob);
    });
  }

  /**
   * Verified bytes of a range, in pieces of at most 1 MiB. `length` undefined: to the end. Throws
   * LOCAL_FILE_NOT_FOUND, DISK_ERROR, and CORRUPT before a damaged block is handed out.
   */
  async *read(blob: number, offset: number, length?: number): AsyncGenerator<Uint8Array> {
    const file = await this.#parts.disk.open(this.#path(blob), 'read');
    try {
      const footer = await this.#footer(blob, file);
      const end = length === undefined ? footer.dataBytes : offset + length;
      if (end > footer.dataBytes) {
        throw corrupt(blob, `it has ${footer.dataBytes} bytes, ${end} were asked for`);
      }
      let at = offset;
      while (at < end) {
        const piece = await readBlocks(file, blob, footer, at, end);
        at += piece.length;
        yield piece;
      }
    } finally {
      await file.close();
    }
  }

  /** A range as one array: for small files. The caller bounds `length`. */
  async readWhole(blob: number, offset: number, length: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.read(blob, offset, length)) pieces.push(piece);
    return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  }

  /** Reads everything. Throws CORRUPT, naming what is damaged. */
  async verify(blob: number): Promise<BlobAbout> {
    await this.#withFile(blob, async (file) => checkHeader(await file.read(0, HEADER_BYTES), blob));
    for await (const piece of this.read(blob, 0)) void piece;
    return this.about(blob);
  }

  /** Only on a leader's order. Readers that have it open finish. */
  async remove(blob: number): Promise<void> {
    this.#ids.remove(blob);
    this.#footers.delete(blob);
    await this.#parts.disk.remove(this.#path(blob));
  }

  async #withFile<T>(blob: number, work: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.#parts.disk.open(this.#path(blob), 'read');
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }

  async #footer(blob: number, file: DiskFile): Promise<BlobFooter> {
    const known = this.#footers.get(blob);
    if (known !== undefined) return known;
    const bytes = await file.bytes();
    if (bytes < HEADER_BYTES + FOOTER_BYTES) throw corrupt(blob, `its file has ${bytes} bytes`);
    const tail = await file.read(bytes - FOOTER_BYTES, FOOTER_BYTES);
    const footer = decodeFooter(tail, blob, bytes);
    if (this.#footers.size >= FOOTERS_MAX) {
      const [oldest] = this.#footers.keys();
      if (oldest !== undefined) this.#footers.delete(oldest);
    }
    this.#footers.set(blob, footer);
    return footer;
  }

  #path(blob: number): string {
    return `${this.#root}/blobs/${folderOf(blob)}/${blob}`;
  }
}

function folderOf(blob: number): string {
  return (blob % FOLDERS).toString(16).padStart(2, '0');
}

/** The data from `at` to at most `end`: whole blocks are read and verified, then cut. */
async function readBlocks(
  file: DiskFile,
  blob: number,
  footer: BlobFooter,
  at: number,
  end: number,
): Promise<Uint8Array> {
  const first = Math.floor(at / BLOCK_BYTES);
  const blocks = Math.min(CHUNK_BYTES / BLOCK_BYTES, Math.ceil(end / BLOCK_BYTES) - first);
  const dataEnd = Math.min((first + blocks) * BLOCK_BYTES, footer.dataBytes);
  const from = blockOffset(first);
  const span = await file.read(from, endOfData(dataEnd) - from);
  const data = openBlocks(blob, first, span);
  if (data.length !== dataEnd - first * BLOCK_BYTES) throw corrupt(blob, 'its file is cut off');
  return data.subarray(at - first * BLOCK_BYTES, Math.min(end, dataEnd) - first * BLOCK_BYTES);
}
