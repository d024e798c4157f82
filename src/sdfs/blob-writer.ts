/**
 * Writes one blob: blocks with checksums into a temporary file, synced every 2 MiB, then the
 * description, a last sync, the rename into place and a sync of the folder. Only after `finish`
 * has resolved may anyone be told that the bytes are durable.
 *
 *     open ── write* ──▶ finish ──▶ durable
 *        └───────┴──────────┴─ any error, or abort ──▶ the temporary file is gone
 *
 * A failed sync is final: the kernel may have thrown the dirty pages away and report success next
 * time (Rebello and others, "Can Applications Recover from fsync Failures?", ATC 2020), so the file
 * is given up and the disk reported.
 *
 * Memory: what was written last and is not yet a whole 1 MiB. Chunks must not change after `write`.
 */
import { createHash } from 'node:crypto';
import { assert, CHUNK_BYTES, type DiskFile, IdunnoError } from '../base/index.js';
import {
  type BlobAbout,
  type BlobFile,
  blockCrc,
  CRC_BYTES,
  encodeHeader,
  encodeTail,
  HEADER_BYTES,
} from './blob-format.js';
import { BLOCK_BYTES, SYNC_EVERY_BYTES } from './limits.js';

/** Where the writer's file comes from and goes to; the blob store's part of the work. */
export interface WriterFiles {
  open(): Promise<DiskFile>;
  /** Renames into place and syncs the folder. */
  publish(about: BlobAbout): Promise<void>;
  discard(): Promise<void>;
  onSyncFailure(error: unknown): void;
}

/** What the blob will hold: one file whose hash is found while writing, or a pack's files. */
export type BlobContent = { readonly name: string } | { readonly files: readonly BlobFile[] };

export class BlobWriter {
  readonly blob: number;
  readonly #content: BlobContent;
  readonly #files: WriterFiles;
  readonly #hash = createHash('sha256');
  #file: DiskFile | undefined;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #block = 0;
  #dataBytes = 0;
  #fileBytes = 0;
  #syncedBytes = 0;
  #isOver = false;

  constructor(options: { blob: number; content: BlobContent }, files: WriterFiles) {
    this.blob = options.blob;
    this.#content = options.content;
    this.#files = files;
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#dataBytes;
  }

  /** Resolves when there is room for the next. Throws DISK_FULL, DISK_ERROR; then it is over. */
  async write(chunk: Uint8Array): Promise<void> {
    assert(!this.#isOver, `blob ${this.blob} is written after its end`);
    this.#hash.update(chunk);
    this.#dataBytes += chunk.length;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes < CHUNK_BYTES) return;
    await this.#guard(async () => {
      while (this.#pendingBytes >= CHUNK_BYTES) await this.#flush(this.#take(CHUNK_BYTES), []);
    });
  }

  /**
   * Makes the blob durable and visible. Throws CORRUPT where the bytes are not those expected;
   * then, and on any other error, nothing of it stays.
   */
  async finish(expected?: { bytes: number; sha256: string }): Promise<BlobAbout> {
    assert(!this.#isOver, `blob ${this.blob} is finished twice`);
    const sha256 = this.#hash.digest('hex');
    await this.#guard(async () => this.#checkExpected(expected, sha256));
    const about = this.#about(sha256);
    await this.#guard(async () => {
      await this.#flush(this.#take(this.#pendingBytes), [encodeTail(about)]);
      await this.#sync();
      await this.#file?.close();
      this.#file = undefined;
      await this.#files.publish(about);
    });
    this.#isOver = true;
    return about;
  }

  /** Idempotent; does nothing after finish. */
  async abort(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pending = [];
    await this.#file?.close().catch(() => undefined);
    this.#file = undefined;
    await this.#files.discard();
  }

  #checkExpected(expected: { bytes: number; sha256: string } | undefined, sha256: string): void {
    const files = 'files' in this.#content ? this.#content.files : [];
    const listed = files.reduce((sum, file) => sum + file.bytes, 0);
    if (files.length > 0 && listed !== this.#dataBytes) {
      throw this.#unexpected(`${this.#dataBytes} bytes arrived, its files have ${listed}`);
    }
    if (expected === undefined) return;
    if (expected.bytes !== this.#dataBytes) {
      throw this.#unexpected(`${this.#dataBytes} bytes arrived, ${expected.bytes} were expected`);
    }
    if (expected.sha256 !== sha256) throw this.#unexpected(`its bytes hash to ${sha256}`);
  }

  #unexpected(what: string): IdunnoError {
    return new IdunnoError('CORRUPT', `blob ${this.blob} did not arrive whole: ${what}`, {
      blob: this.blob,
    });
  }

  #about(sha256: string): BlobAbout {
    const { blob } = this;
    const bytes = this.#dataBytes;
    if ('files' in this.#content) {
      return { blob, pack: true, bytes, sha256, files: this.#content.files };
    }
    const { name } = this.#content;
    return { blob, pack: false, bytes, sha256, files: [{ name, bytes, sha256 }] };
  }

  /** Any failure ends the writer and removes what it wrote. */
  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.abort().catch(() => undefined);
      throw error;
    }
  }

  /** The first `bytes` of what waits, as one piece. */
  #take(bytes: number): Uint8Array {
    const taken = Buffer.allocUnsafe(bytes);
    let at = 0;
    let used = 0;
    for (const chunk of this.#pending) {
      const part = chunk.subarray(0, bytes - at);
      taken.set(part, at);
      at += part.length;
      if (part.length < chunk.length) {
        this.#pending[used] = chunk.subarray(part.length);
        break;
      }
      used += 1;
      if (at === bytes) break;
    }
    this.#pending.splice(0, used);
    this.#pendingBytes -= bytes;
    return taken;
  }

  /** Writes the header if nothing was written yet, these data as blocks, and what follows them. */
  async #flush(data: Uint8Array, after: readonly Uint8Array[]): Promise<void> {
    const pieces: Uint8Array[] = this.#fileBytes === 0 ? [encodeHeader(this.blob)] : [];
    for (let at = 0; at < data.length; at += BLOCK_BYTES) {
      const block = data.subarray(at, at + BLOCK_BYTES);
      const crc = Buffer.alloc(CRC_BYTES);
      crc.writeUInt32LE(blockCrc(this.blob, this.#block, block));
      this.#block += 1;
      pieces.push(block, crc);
    }
    const span = Buffer.concat([...pieces, ...after]);
    this.#file ??= await this.#files.open();
    assert(this.#fileBytes > 0 || span.length >= HEADER_BYTES, 'a blob begins with its header');
    await this.#file.write(this.#fileBytes, span);
    this.#fileBytes += span.length;
    if (this.#fileBytes - this.#syncedBytes >= SYNC_EVERY_BYTES) await this.#sync();
  }

  async #sync(): Promise<void> {
    try {
      await this.#file?.datasync();
      this.#syncedBytes = this.#fileBytes;
    } catch (error) {
      this.#files.onSyncFailure(error);
      throw error;
    }
  }
}
