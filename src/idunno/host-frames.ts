/**
 * Messages between a node and its model hosts, over a pipe of their own (never stdout, to which
 * native libraries may print). A frame is
 *
 *     u32 length of the header | u32 length of the body | header: JSON | body: raw bytes
 *
 * Both ends are of one build and one machine, but a host runs other people's models and may be
 * corrupted by them: what it sends is parsed like anything from outside, and lengths are capped
 * before memory is taken.
 */
import { IdunnoError } from '../base/index.js';

/** Node to host. */
export type HostRequest =
  /** Once, first: load the model of this folder and warm it up. */
  | { readonly type: 'load'; readonly dir: string; readonly threads: number }
  /** The body holds the inputs one after another; `bytes` are their lengths, -1 for an error. */
  | { readonly type: 'infer'; readonly id: number; readonly items: readonly HostItem[] };

export interface HostItem {
  readonly query: number;
  readonly item: number;
  readonly repetition: number;
  readonly input: string;
  readonly version: number;
  readonly bytes: number;
  readonly error?: string;
}

/** Host to node. */
export type HostReply =
  | { readonly type: 'loaded' }
  | { readonly type: 'load-failed'; readonly message: string }
  /** The body holds the JSON lines. */
  | {
      readonly type: 'result';
      readonly id: number;
      readonly failed: number;
      readonly named: readonly (readonly [number, string])[];
    };

export interface Frame {
  readonly header: unknown;
  readonly body: Buffer;
}

const HEADER_BYTES_MAX = 8 * 1024 * 1024;
export const BODY_BYTES_MAX = 128 * 1024 * 1024;

/** The pieces of a frame, to be written one after another. */
export function encodeFrame(
  header: HostRequest | HostReply,
  body: readonly Uint8Array[] = [],
): Uint8Array[] {
  const text = Buffer.from(JSON.stringify(header));
  const bytes = body.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32LE(text.length, 0);
  head.writeUInt32LE(bytes, 4);
  return [Buffer.concat([head, text]), ...body];
}

/** Cuts a stream of bytes into frames. Throws PROTOCOL on what is no frame. */
export class FrameReader {
  #parts: Buffer[] = [];
  #length = 0;
  #wanted = 8;

  /** The frames that are whole with these bytes. */
  push(chunk: Uint8Array): Frame[] {
    this.#parts.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
    this.#length += chunk.length;
    const frames: Frame[] = [];
    while (this.#length >= this.#wanted) {
      const whole = this.#parts.length === 1 ? this.#parts[0] : undefined;
      const bytes = whole ?? Buffer.concat(this.#parts);
      const headerBytes = bytes.readUInt32LE(0);
      const bodyBytes = bytes.readUInt32LE(4);
      if (headerBytes > HEADER_BYTES_MAX || bodyBytes > BODY_BYTES_MAX) {
        throw new IdunnoError('PROTOCOL', `a frame of ${headerBytes} + ${bodyBytes} bytes`);
      }
      this.#parts = [bytes];
      this.#wanted = 8 + headerBytes + bodyBytes;
      if (bytes.length < this.#wanted) break;
      frames.push(cutFrame(bytes, headerBytes, this.#wanted));
      this.#parts = [bytes.subarray(this.#wanted)];
      this.#length -= this.#wanted;
      this.#wanted = 8;
    }
    return frames;
  }
}

function cutFrame(bytes: Buffer, headerBytes: number, end: number): Frame {
  const text = bytes.toString('utf8', 8, 8 + headerBytes);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw new IdunnoError('PROTOCOL', `a frame whose header is no JSON: ${text.slice(0, 80)}`);
  }
  return { header, body: bytes.subarray(8 + headerBytes, end) };
}

/** Throws PROTOCOL. */
export function readReply(header: unknown): HostReply {
  if (typeof header !== 'object' || header === null) throw notUnderstood(header);
  const { type, id, failed, named, message } = header as Record<string, unknown>;
  if (type === 'loaded') return { type };
  if (type === 'load-failed' && typeof message === 'string') return { type, message };
  if (type === 'result' && isCount(id) && isCount(failed) && Array.isArray(named)) {
    return { type, id, failed, named: named.map(readNamed) };
  }
  throw notUnderstood(header);
}

function readNamed(value: unknown): readonly [number, string] {
  const [query, reason] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isCount(query) || typeof reason !== 'string') throw notUnderstood(value);
  return [query, reason];
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function notUnderstood(value: unknown): IdunnoError {
  const text = JSON.stringify(value)?.slice(0, 80);
  return new IdunnoError('PROTOCOL', `a model host said what is not understood: ${text}`);
}
