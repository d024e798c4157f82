/**
 * Many small files in one body: `u16 name bytes | u32 file bytes | name | file`, repeated.
 *
 * Used for uploads of many files and for model folders. The reader refuses names longer than an
 * SDFS name, files above a limit and bodies above a limit before it allocates anything, and a body
 * that ends inside a file. Big files do not travel like this: they are streamed one by one.
 */
import { IdunnoError } from '../base/index.js';

export interface PackedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** An SDFS name is at most 1 KiB. */
export const NAME_BYTES_MAX = 1024;
const HEADER_BYTES = 6;

export interface PackLimits {
  readonly fileBytesMax: number;
  readonly filesMax: number;
  readonly totalBytesMax: number;
}

/** Chunks of a packed body, ready to send; file bytes are not copied. */
export function packFiles(files: readonly PackedFile[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const encoder = new TextEncoder();
  for (const file of files) {
    const name = encoder.encode(file.name);
    if (name.length > NAME_BYTES_MAX) {
      throw new IdunnoError('BAD_NAME', `"${file.name.slice(0, 60)}…" is longer than 1 KiB`);
    }
    const header = new Uint8Array(HEADER_BYTES + name.length);
    const view = new DataView(header.buffer);
    view.setUint16(0, name.length);
    view.setUint32(2, file.bytes.length);
    header.set(name, HEADER_BYTES);
    chunks.push(header, file.bytes);
  }
  return chunks;
}

/** Bytes that a file takes in a packed body. */
export function packedBytes(file: PackedFile): number {
  return HEADER_BYTES + Buffer.byteLength(file.name) + file.bytes.length;
}

/** The files of a packed body, one at a time, as they arrive. Throws PROTOCOL. */
export async function* unpackFiles(
  body: AsyncIterable<Uint8Array>,
  limits: PackLimits,
): AsyncGenerator<PackedFile> {
  const reader = new BodyReader(body, limits.totalBytesMax);
  for (let files = 0; ; files += 1) {
    const header = await reader.take(HEADER_BYTES);
    if (header === undefined) return;
    if (files >= limits.filesMax) throw refuse(`more than ${limits.filesMax} files`);
    const view = new DataView(header.buffer, header.byteOffset, HEADER_BYTES);
    const nameBytes = view.getUint16(0);
    const fileBytes = view.getUint32(2);
    if (nameBytes === 0 || nameBytes > NAME_BYTES_MAX) {
      throw refuse(`a file name of ${nameBytes} bytes`);
    }
    if (fileBytes > limits.fileBytesMax) throw refuse(`a file of ${fileBytes} bytes`);
    const name = await reader.take(nameBytes);
    const bytes = fileBytes === 0 ? new Uint8Array(0) : await reader.take(fileBytes);
    if (name === undefined || bytes === undefined) throw refuse('an end inside a file');
    yield { name: decodeName(name), bytes };
  }
}

function decodeName(name: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(name);
  } catch {
    throw refuse('a file name that is not UTF-8');
  }
}

function refuse(what: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `a packed upload with ${what} was refused`);
}

/** Takes exact amounts out of a stream of chunks. */
class BodyReader {
  private readonly source: AsyncIterator<Uint8Array>;
  private readonly bytesMax: number;
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  private seenBytes = 0;

  constructor(body: AsyncIterable<Uint8Array>, bytesMax: number) {
    this.source = body[Symbol.asyncIterator]();
    this.bytesMax = bytesMax;
  }

  /** Undefined when the stream is at its end exactly here; throws when it ends in between. */
  async take(length: number): Promise<Uint8Array | undefined> {
    while (this.pendingBytes < length) {
      const next = await this.source.next();
      if (next.done === true) {
        if (this.pendingBytes === 0) return undefined;
        throw refuse('an end inside a file');
      }
      this.seenBytes += next.value.length;
      if (this.seenBytes > this.bytesMax) throw refuse(`more than ${this.bytesMax} bytes`);
      this.pending.push(next.value);
      this.pendingBytes += next.value.length;
    }
    const all = this.pending.length === 1 ? this.pending[0] : Buffer.concat(this.pending);
    const whole = all ?? new Uint8Array(0);
    this.pending = whole.length > length ? [whole.subarray(length)] : [];
    this.pendingBytes = whole.length - length;
    return whole.subarray(0, length);
  }
}
