/**
 * Frames: how messages are cut out of a byte stream.
 *
 *     u32 length | u8 version+kind | u32 crc32c | msgpack header | raw body
 *
 * `length` counts what follows it. The checksum covers everything after itself, and the kind. The
 * header is one msgpack array; the body is what is left, so file data never passes through
 * msgpack. Lengths are checked before anything is kept or allocated. Whatever is wrong is thrown
 * as PROTOCOL with a stable `reason`, after which the stream cannot be read on: close it.
 */
import { crc32c, IdunnoError, MIB } from '../base/index.js';
import { decodePrefix, encode } from './codec.js';
import type { Wire } from './types.js';

const FRAME_VERSION = 1;

/** length + kind + checksum. */
export const FRAME_PREFIX_BYTES = 9;

/** Largest frame: a chunk of a file is at most 1 MiB, a listing's page or a log batch less than 8. */
export const FRAME_BYTES_MAX = 8 * MIB;

/** A frame of the largest size comes in half as many pieces of a socket's usual 64 KiB. */
const PIECES_MAX = 256;

/** Numbers are the protocol's: never reuse one. */
export const FRAME_KIND = {
  hello: 1,
  refuse: 2,
  call: 3,
  answer: 4,
  error: 5,
  requestChunk: 6,
  replyChunk: 7,
  requestCredit: 8,
  replyCredit: 9,
  cancel: 10,
  notice: 11,
  ping: 12,
  pong: 13,
  retire: 14,
} as const;

export type FrameKind = (typeof FRAME_KIND)[keyof typeof FRAME_KIND];

const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(FRAME_KIND));

/** Checksums of the kind bytes, from which each frame's goes on. */
const KIND_CRC = Array.from({ length: 256 }, (_, byte) => crc32c(Uint8Array.of(byte)));

export interface Frame {
  readonly kind: FrameKind;
  readonly header: readonly Wire[];
  readonly body: Uint8Array;
}

/** Why a stream was given up; counted by these names. */
export type FrameFault = 'too-long' | 'too-short' | 'version' | 'kind' | 'checksum' | 'header';

const NO_BYTES = new Uint8Array(0);

/**
 * One frame as pieces to be written in this order: the first owns its memory, the second is the
 * body itself, not a copy. Throws BAD_ARGUMENT when it would be too long.
 */
export function encodeFrame(
  kind: FrameKind,
  header: readonly (Wire | undefined)[],
  body: Uint8Array = NO_BYTES,
): [head: Uint8Array, body: Uint8Array] {
  const encoded = encode(header as readonly Wire[]);
  const length = FRAME_PREFIX_BYTES - 4 + encoded.length + body.length;
  if (length > FRAME_BYTES_MAX) {
    const text = `a message of ${length} bytes is too long: at most ${FRAME_BYTES_MAX}`;
    throw new IdunnoError('BAD_ARGUMENT', `${text}; send large data as a streamed body`);
  }
  const head = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + encoded.length);
  const versionAndKind = (FRAME_VERSION << 4) | kind;
  head.writeUInt32BE(length, 0);
  head.writeUInt8(versionAndKind, 4);
  let crc = crc32c(encoded, KIND_CRC[versionAndKind]);
  if (body.length > 0) crc = crc32c(body, crc);
  head.writeUInt32BE(crc, 5);
  head.set(encoded, FRAME_PREFIX_BYTES);
  return [head, body];
}

function fault(reason: FrameFault, text: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `the peer sent no valid frame: ${text}`, { reason });
}

/** Cuts frames out of pieces of any size. Holds less than one frame. */
export class FrameParser {
  readonly #bytesMax: number;
  #pieces: Uint8Array[] = [];
  #held = 0;

  /** Before the handshake a small bound keeps strangers from making us hold much. */
  constructor(bytesMax = FRAME_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that wait for the rest of their frame. */
  get heldBytes(): number {
    return this.#held;
  }

  /** The same stream under another bound: what is held goes on. */
  withBound(bytesMax: number): FrameParser {
    const parser = new FrameParser(bytesMax);
    parser.#pieces = this.#pieces;
    parser.#held = this.#held;
    return parser;
  }

  /** The frames that are whole now. They may share memory with `piece`. Throws PROTOCOL. */
  *push(piece: Uint8Array): Generator<Frame> {
    if (piece.length > 0) {
      this.#pieces.push(piece);
      this.#held += piece.length;
      if (this.#pieces.length > PIECES_MAX) this.#mergeTail();
    }
    for (;;) {
      if (this.#held < 4) return;
      const need = 4 + this.#peekLength();
      if (this.#held < need) return;
      yield parseFrame(this.#take(need));
    }
  }

  #peekLength(): number {
    let first = this.#pieces[0] ?? NO_BYTES;
    if (first.length < 4) {
      first = this.#join();
    }
    const length = (first[0] ?? 0) * 2 ** 24 + readU24(first, 1);
    if (length > this.#bytesMax) throw fault('too-long', `${length} bytes announced`);
    if (length < FRAME_PREFIX_BYTES - 4) throw fault('too-short', `${length} bytes announced`);
    return length;
  }

  /** The first `count` bytes in one piece, copied only when they lie in several. */
  #take(count: number): Uint8Array {
    const first = this.#pieces[0] ?? NO_BYTES;
    const whole = first.length >= count ? first : this.#join();
    const rest = whole.subarray(count);
    if (rest.length > 0) this.#pieces[0] = rest;
    else this.#pieces.shift();
    this.#held -= count;
    return whole.subarray(0, count);
  }

  /** Keeps a stream of tiny pieces from costing more memory than its bytes: like a binary counter. */
  #mergeTail(): void {
    for (;;) {
      const last = this.#pieces.at(-1);
      const before = this.#pieces.at(-2);
      if (last === undefined || before === undefined || before.length > 2 * last.length) return;
      this.#pieces.splice(-2, 2, Buffer.concat([before, last]));
    }
  }

  #join(): Uint8Array {
    const all = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
    this.#pieces = [all ?? NO_BYTES];
    return all ?? NO_BYTES;
  }
}

function readU24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

function parseFrame(bytes: Uint8Array): Frame {
  const versionAndKind = bytes[4] ?? 0;
  const version = versionAndKind >> 4;
  if (version !== FRAME_VERSION) {
    throw fault('version', `it speaks version ${version}, we speak ${FRAME_VERSION}`);
  }
  const kind = versionAndKind & 0x0f;
  if (!KNOWN_KINDS.has(kind)) throw fault('kind', `kind ${kind} is unknown`);
  const claimed = (bytes[5] ?? 0) * 2 ** 24 + readU24(bytes, 6);
  const content = bytes.subarray(FRAME_PREFIX_BYTES);
  if (crc32c(content, KIND_CRC[versionAndKind]) !== claimed) {
    throw fault('checksum', 'its checksum is wrong');
  }
  try {
    const [header, end] = decodePrefix(content, 0);
    if (!Array.isArray(header)) throw fault('header', 'its header is not an array');
    return { kind: kind as FrameKind, header, body: plain(content.subarray(end)) };
  } catch (error) {
    throw fault('header', error instanceof Error ? error.message : String(error));
  }
}

/** Pieces from sockets are Buffers; what leaves here is not. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
