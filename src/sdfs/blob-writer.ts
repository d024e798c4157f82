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
} from './blob-format.js';
import { BLOCK_BYTES, SYNC_EVERY_BYTES } from './limits.js';

const NO_BYTES = new Uint8Array(0);

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
      while (this.#pendingBytes >= CHUNK_BYTES) await this.#flush(CHUNK_BYTES, NO_BYTES);
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
      await this.#flush(this.#pendingBytes, encodeTail(about));
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

  /**
   * Writes the header if nothing was written yet, the first `bytes` of what waits as blocks, and
   * `tail`. Bytes are copied once, into the piece that goes to the disk.
   */
  async #flush(bytes: number, tail: Uint8Array): Promise<void> {
    const header = this.#fileBytes === 0 ? encodeHeader(this.blob) : NO_BYTES;
    const blocks = Math.ceil(bytes / BLOCK_BYTES);
    const span = Buffer.allocUnsafe(header.length + bytes + blocks * CRC_BYTES + tail.length);
    span.set(header);
    let at = header.length;
    for (let left = bytes; left > 0; left -= BLOCK_BYTES) {
      const block = span.subarray(at, at + Math.min(BLOCK_BYTES, left));
      this.#takeInto(block);
      at += block.length;
      at = span.writeUInt32LE(blockCrc(this.blob, this.#block, block), at);
      this.#block += 1;
    }
    span.set(tail, at);
    assert(at + tail.length === span.length, 'a span is filled to its end');
    this.#file ??= await this.#files.open();
    await this.#file.write(this.#fileBytes, span);
    this.#fileBytes += span.length;
    if (this.#fileBytes - this.#syncedBytes >= SYNC_EVERY_BYTES) await this.#sync();
  }

  /** Moves the first of what waits into `block`, which it fills. */
  #takeInto(block: Uint8Array): void {
    let at = 0;
    while (at < block.length) {
      const [chunk] = this.#pending;
      assert(chunk !== undefined, 'what waits is as long as it was counted');
      const part = chunk.subarray(0, block.length - at);
      block.set(part, at);
      at += part.length;
      if (part.length < chunk.length) this.#pending[0] = chunk.subarray(part.length);
      else this.#pending.shift();
    }
    this.#pendingBytes -= block.length;
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
