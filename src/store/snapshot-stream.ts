/**
 * The state as a stream of bytes: a header, all rows in key order, and a trailer with the number of
 * rows and a SHA-256 over everything before it.
 *
 *     header   "IDST" | u8 version | u64 index | u64 term
 *     row      u32 key length (≥ 1) | u32 value length | key | value
 *     trailer  u32 0 | u32 0 | u64 rows | 32 bytes SHA-256
 *
 * The reader trusts nothing: lengths are capped before memory is taken, keys must ascend, and what
 * does not end with its own checksum was cut off. It throws CORRUPT.
 */
import { createHash, type Hash } from 'node:crypto';
import { IdunnoError, type LogIndex, type Term } from '../base/index.js';
import { KEY_BYTES_MAX, keyToBytes, type RowKey } from './keys.js';
import { ROW_BYTES_MAX } from './tx.js';

export interface SnapshotHeader {
  readonly index: LogIndex;
  readonly term: Term;
}

export interface SnapshotRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const MAGIC = 0x49_44_53_54;
const VERSION = 1;
const HEADER_BYTES = 21;
const ROW_HEADER_BYTES = 8;
const TRAILER_BYTES = 8 + 32;
const CHUNK_BYTES = 64 * 1024;
const TWO_32 = 2 ** 32;

/** Chunks of about 64 KiB. */
export async function* encodeSnapshot(
  header: SnapshotHeader,
  rows: AsyncIterable<readonly [RowKey, Uint8Array]>,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let parts: Uint8Array[] = [encodeHeader(header)];
  let bytes = HEADER_BYTES;
  let count = 0;
  for await (const [rowKey, value] of rows) {
    const key = keyToBytes(rowKey);
    parts.push(encodeRowHeader(key.length, value.length), key, value);
    bytes += ROW_HEADER_BYTES + key.length + value.length;
    count += 1;
    if (bytes < CHUNK_BYTES) continue;
    const chunk = Buffer.concat(parts);
    hash.update(chunk);
    yield chunk;
    parts = [];
    bytes = 0;
  }
  const end = Buffer.alloc(ROW_HEADER_BYTES + 8);
  writeU64(end, count, ROW_HEADER_BYTES);
  const chunk = Buffer.concat([...parts, end]);
  hash.update(chunk);
  yield Buffer.concat([chunk, hash.digest()]);
}

/** Yields the rows; returns only after the trailer has proved them. Throws CORRUPT. */
export async function* decodeSnapshot(
  expected: SnapshotHeader,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<SnapshotRow> {
  const hash = createHash('sha256');
  const reader = new ByteReader(chunks);
  checkHeader(expected, await reader.take(HEADER_BYTES, hash));
  let before: Buffer = Buffer.alloc(0);
  for (let count = 0; ; count += 1) {
    const head = await reader.take(ROW_HEADER_BYTES, hash);
    const keyBytes = head.readUInt32BE(0);
    const valueBytes = head.readUInt32BE(4);
    if (keyBytes === 0) {
      if (valueBytes !== 0) throw corrupt(`row ${count + 1} has no key`);
      await checkTrailer(reader, hash, count);
      return;
    }
    if (keyBytes > KEY_BYTES_MAX || valueBytes > ROW_BYTES_MAX) {
      throw corrupt(`row ${count + 1} claims ${keyBytes} + ${valueBytes} bytes`);
    }
    const row = await reader.take(keyBytes + valueBytes, hash);
    const key = row.subarray(0, keyBytes);
    if (Buffer.compare(before, key) >= 0) throw corrupt(`row ${count + 1} is out of order`);
    before = key;
    yield { key, value: row.subarray(keyBytes) };
  }
}

function encodeHeader({ index, term }: SnapshotHeader): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header[4] = VERSION;
  writeU64(header, index, 5);
  writeU64(header, term, 13);
  return header;
}

function encodeRowHeader(keyBytes: number, valueBytes: number): Buffer {
  const header = Buffer.allocUnsafe(ROW_HEADER_BYTES);
  header.writeUInt32BE(keyBytes, 0);
  header.writeUInt32BE(valueBytes, 4);
  return header;
}

function checkHeader(expected: SnapshotHeader, header: Buffer): void {
  if (header.readUInt32BE(0) !== MAGIC) throw corrupt('it is no snapshot of a state');
  if (header[4] !== VERSION) throw corrupt(`it has format ${header[4]}`);
  const index = readU64(header, 5);
  const term = readU64(header, 13);
  if (index === expected.index && term === expected.term) return;
  throw corrupt(`it is of ${index} in term ${term}, not ${expected.index} in ${expected.term}`);
}

async function checkTrailer(reader: ByteReader, hash: Hash, count: number): Promise<void> {
  const trailer = await reader.take(TRAILER_BYTES, undefined);
  const claimed = readU64(trailer, 0);
  hash.update(trailer.subarray(0, 8));
  if (claimed !== count) throw corrupt(`it has ${count} of ${claimed} rows`);
  if (!hash.digest().equals(trailer.subarray(8))) throw corrupt('its checksum does not match');
  if (!(await reader.isAtEnd())) throw corrupt('bytes follow its end');
}

/** Exact pieces of a stream of chunks. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async take(bytes: number, hash: Hash | undefined): Promise<Buffer> {
    while (this.#rest.length < bytes) {
      const next = await this.#chunks.next();
      if (next.done === true) throw corrupt('it is cut off');
      this.#rest = Buffer.concat([this.#rest, next.value]);
    }
    const piece = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(bytes);
    hash?.update(piece);
    return piece;
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return true;
      this.#rest = Buffer.from(next.value);
    }
    return false;
  }
}

function corrupt(what: string): IdunnoError {
  return new IdunnoError('CORRUPT', `a received snapshot is refused: ${what}`);
}

function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / TWO_32), at);
  buffer.writeUInt32BE(value >>> 0, at + 4);
}

function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
}
