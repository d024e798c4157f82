/**
 * How a blob lies on disk: pure encoding and decoding, format version 1.
 *
 *     header   32 B   magic "IDBLOB" | u16 format | u64 id | u32 block bytes | 8 B zero | u32 crc
 *     blocks          up to 64 KiB of data | u32 crc      (only the last may be shorter)
 *     about           JSON: what this blob is, enough to rebuild its metadata record
 *     footer   32 B   u64 data bytes | u32 about bytes | u32 crc of about | 8 B zero |
 *                     u32 crc of the footer so far | magic "EOB1"
 *
 * Checksums stand beside the data, so that any range is verified by reading its blocks alone, and
 * a stream of unknown length is written in one pass. A block's checksum starts from the blob's id
 * and the block's number: a block at a wrong place is as bad as a flipped bit. Numbers are
 * little-endian; checksums are CRC-32C.
 */
import { assert, crc32c, IdunnoError } from '../base/index.js';
import { BLOCK_BYTES } from './limits.js';

const MAGIC = 0x424f_4c42_4449n; // "IDBLOB"
const FORMAT = 1;
const END_MAGIC = 0x3142_4f45; // "EOB1"
export const HEADER_BYTES = 32;
export const FOOTER_BYTES = 32;
export const CRC_BYTES = 4;
const STEP_BYTES = BLOCK_BYTES + CRC_BYTES;
/** About 100 files with names of 1 KiB each, and JSON's escapes. */
export const ABOUT_BYTES_MAX = 1024 * 1024;

/** A file inside a blob. */
export interface BlobFile {
  readonly name: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** What a blob says about itself. Its files lie one behind the other. */
export interface BlobAbout {
  readonly blob: number;
  readonly pack: boolean;
  readonly bytes: number;
  readonly sha256: string;
  readonly files: readonly BlobFile[];
}

export interface BlobFooter {
  readonly dataBytes: number;
  readonly aboutBytes: number;
  readonly aboutCrc: number;
}

export function encodeHeader(blob: number): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64LE(MAGIC | (BigInt(FORMAT) << 48n), 0);
  header.writeBigUInt64LE(BigInt(blob), 8);
  header.writeUInt32LE(BLOCK_BYTES, 16);
  header.writeUInt32LE(crc32c(header.subarray(0, 28)), 28);
  return header;
}

/** Throws CORRUPT where this is not the header of that blob. */
export function checkHeader(bytes: Uint8Array, blob: number): void {
  const wanted = Buffer.from(encodeHeader(blob));
  if (wanted.equals(bytes)) return;
  throw corrupt(blob, 'its header is not that of this blob or of another format');
}

/** The checksum of one block of data. */
export function blockCrc(blob: number, block: number, data: Uint8Array): number {
  return crc32c(data, (blob * 31 + block) >>> 0);
}

/** Where a block begins in the file. */
export function blockOffset(block: number): number {
  return HEADER_BYTES + block * STEP_BYTES;
}

/** Size of the file's part that holds this much data, header included. */
export function endOfData(dataBytes: number): number {
  const blocks = Math.ceil(dataBytes / BLOCK_BYTES);
  return HEADER_BYTES + dataBytes + blocks * CRC_BYTES;
}

/** What follows the blocks: about and footer. */
export function encodeTail(about: BlobAbout): Uint8Array {
  const text = Buffer.from(JSON.stringify(about), 'utf8');
  assert(text.length <= ABOUT_BYTES_MAX, `the description of blob ${about.blob} is too long`);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeBigUInt64LE(BigInt(about.bytes), 0);
  footer.writeUInt32LE(text.length, 8);
  footer.writeUInt32LE(crc32c(text), 12);
  footer.writeUInt32LE(crc32c(footer.subarray(0, 24)), 24);
  footer.writeUInt32LE(END_MAGIC, 28);
  return Buffer.concat([text, footer]);
}

/** Throws CORRUPT where the footer does not fit a file of that size. */
export function decodeFooter(bytes: Uint8Array, blob: number, fileBytes: number): BlobFooter {
  const footer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isWhole =
    footer.length === FOOTER_BYTES &&
    footer.readUInt32LE(28) === END_MAGIC &&
    footer.readUInt32LE(24) === crc32c(footer.subarray(0, 24));
  if (!isWhole) throw corrupt(blob, 'its footer is damaged');
  const dataBytes = Number(footer.readBigUInt64LE(0));
  const aboutBytes = footer.readUInt32LE(8);
  if (endOfData(dataBytes) + aboutBytes + FOOTER_BYTES !== fileBytes) {
    throw corrupt(blob, `its footer speaks of ${dataBytes} bytes, the file has ${fileBytes}`);
  }
  return { dataBytes, aboutBytes, aboutCrc: footer.readUInt32LE(12) };
}

/** Throws CORRUPT. */
export function decodeAbout(bytes: Uint8Array, footer: BlobFooter, blob: number): BlobAbout {
  if (crc32c(bytes) !== footer.aboutCrc) throw corrupt(blob, 'its description is damaged');
  const about = JSON.parse(Buffer.from(bytes).toString('utf8')) as BlobAbout;
  if (about.blob !== blob || about.bytes !== footer.dataBytes) {
    throw corrupt(blob, `it describes itself as blob ${about.blob} of ${about.bytes} bytes`);
  }
  return about;
}

/**
 * Verifies whole blocks, `first` being the number of the first, and returns their data. Throws
 * CORRUPT at the first block that does not match. `span` is changed: data moves over checksums.
 */
export function openBlocks(blob: number, first: number, span: Uint8Array): Uint8Array {
  let from = 0;
  let to = 0;
  for (let block = first; from < span.length; block += 1) {
    const length = Math.min(BLOCK_BYTES, span.length - from - CRC_BYTES);
    if (length <= 0) throw corrupt(blob, `block ${block} is cut off`);
    const data = span.subarray(from, from + length);
    const at = from + length;
    const view = new DataView(span.buffer, span.byteOffset + at, CRC_BYTES);
    if (view.getUint32(0, true) !== blockCrc(blob, block, data)) {
      throw corrupt(blob, `the checksum of block ${block} does not match its bytes`);
    }
    if (to !== from) span.copyWithin(to, from, at);
    to += length;
    from = at + CRC_BYTES;
  }
  return span.subarray(0, to);
}

export function corrupt(blob: number, what: string): IdunnoError {
  return new IdunnoError('CORRUPT', `blob ${blob} is damaged: ${what}`, { blob });
}
