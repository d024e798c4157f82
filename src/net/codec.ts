/**
 * Values as bytes: the one wrapper of msgpack-lite, made strict. What comes from outside is walked
 * before it is decoded: unknown types, lengths beyond the input, deep nesting, integers above
 * 2^53, map keys that are no strings and broken UTF-8 are refused with PROTOCOL, and nothing is
 * allocated for a length that the input does not back.
 *
 * What is encoded comes from inside, so a value that has no form on the wire is a bug.
 * Source: the MessagePack specification, github.com/msgpack/msgpack/blob/master/spec.md.
 */
import { isUtf8 } from 'node:buffer';
import msgpack from 'msgpack-lite';
import { assert, IdunnoError } from '../base/index.js';
import type { Wire } from './types.js';

/** Deep enough for any honest value, small enough for the stack. */
const DEPTH_MAX = 32;

/** The inner functions of msgpack-lite's codec, which its types do not mention. */
interface OpenCodec {
  encode(encoder: unknown, value: unknown): void;
  decode(decoder: unknown): unknown;
}

const codec = openCodec();

/**
 * msgpack-lite calls these for each value inside arrays and maps too. It knows Buffers but takes
 * any other Uint8Array for a map of numbers; and it hands out Buffers, whose `slice` shares memory.
 */
function openCodec(): msgpack.Codec {
  // No preset: dates, errors and typed arrays as extensions have no place here.
  const made = msgpack.createCodec({ preset: false });
  const inner = made as unknown as OpenCodec;
  const { encode, decode } = inner;
  inner.encode = (encoder, value) => {
    if (typeof value === 'object' && value instanceof Uint8Array && !Buffer.isBuffer(value)) {
      return encode(encoder, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    }
    if (typeof value === 'number' && Number.isInteger(value)) {
      assert(Number.isSafeInteger(value), `${value} is too large an integer for the wire`);
    }
    assert(typeof value !== 'bigint', 'a bigint has no form on the wire');
    encode(encoder, value);
  };
  inner.decode = (decoder) => {
    const value = decode(decoder);
    if (!Buffer.isBuffer(value)) return value;
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  };
  return made;
}

/** `undefined` becomes null. Integers beyond 2^53 and bigints are bugs. */
export function encode(value: Wire | undefined): Uint8Array {
  const bytes = msgpack.encode(value, { codec });
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** One value and nothing else. Throws PROTOCOL. */
export function decode(bytes: Uint8Array): Wire {
  const [value, end] = decodePrefix(bytes, 0);
  if (end !== bytes.length) throw malformed(`${bytes.length - end} bytes follow the value`);
  return value;
}

/** The value that starts at `offset`, and where it ends. Throws PROTOCOL. */
export function decodePrefix(bytes: Uint8Array, offset: number): [value: Wire, end: number] {
  const end = new Walker(bytes).skipValue(offset, 0);
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset + offset, end - offset);
  return [msgpack.decode(whole, { codec }) as Wire, end];
}

function malformed(why: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `a malformed value arrived: ${why}`);
}

/** Finds the end of a value without building it, and refuses what must not be built. */
class Walker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  skipValue(at: number, depth: number): number {
    const type = this.#bytes[at];
    if (type === undefined) throw malformed('it ends too early');
    if (type < 0x80 || type >= 0xe0) return at + 1;
    if (type < 0x90) return this.#skipMap(at + 1, type & 0x0f, depth);
    if (type < 0xa0) return this.#skipArray(at + 1, type & 0x0f, depth);
    if (type < 0xc0) return this.#skipText(at + 1, type & 0x1f);
    switch (type) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return at + 1;
      case 0xc4: // bin 8, 16, 32
      case 0xc5:
      case 0xc6:
        return this.#skipBytes(...this.#length(at + 1, type - 0xc4));
      case 0xca: // float 32
        return this.#skipBytes(at + 1, 4);
      case 0xcb: // float 64
        return this.#skipBytes(at + 1, 8);
      case 0xcc: // uint 8, 16, 32
      case 0xcd:
      case 0xce:
        return this.#skipBytes(at + 1, 1 << (type - 0xcc));
      case 0xd0: // int 8, 16, 32
      case 0xd1:
      case 0xd2:
        return this.#skipBytes(at + 1, 1 << (type - 0xd0));
      case 0xcf: // uint 64
      case 0xd3: // int 64
        return this.#skipInteger64(at + 1, type === 0xd3);
      case 0xd9: // str 8, 16, 32
      case 0xda:
      case 0xdb:
        return this.#skipText(...this.#length(at + 1, type - 0xd9));
      case 0xdc: // array 16, 32
      case 0xdd:
        return this.#skipArray(...this.#length(at + 1, type - 0xdb), depth);
      case 0xde: // map 16, 32
      case 0xdf:
        return this.#skipMap(...this.#length(at + 1, type - 0xdd), depth);
      default:
        throw malformed(`type 0x${type.toString(16)} is not used here`);
    }
  }

  /** A length of 1, 2 or 4 bytes: where its content starts, and how long it is. */
  #length(at: number, log2: number): [start: number, length: number] {
    const start = this.#skipBytes(at, 1 << log2);
    if (log2 === 0) return [start, this.#view.getUint8(at)];
    return [start, log2 === 1 ? this.#view.getUint16(at) : this.#view.getUint32(at)];
  }

  #skipBytes(at: number, length: number): number {
    if (length > this.#bytes.length - at) throw malformed('it ends too early');
    return at + length;
  }

  #skipInteger64(at: number, isSigned: boolean): number {
    const end = this.#skipBytes(at, 8);
    const value = isSigned ? this.#view.getBigInt64(at) : this.#view.getBigUint64(at);
    if (!Number.isSafeInteger(Number(value))) throw malformed(`${value} is beyond 2^53`);
    return end;
  }

  #skipText(at: number, length: number): number {
    const end = this.#skipBytes(at, length);
    for (let i = at; i < end; i++) {
      if ((this.#bytes[i] ?? 0) < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(at, end))) throw malformed('a text is not UTF-8');
      break;
    }
    return end;
  }

  #skipArray(at: number, count: number, depth: number): number {
    this.#checkNest(at, count, depth);
    let end = at;
    for (let i = 0; i < count; i++) end = this.skipValue(end, depth + 1);
    return end;
  }

  #skipMap(at: number, count: number, depth: number): number {
    this.#checkNest(at, count * 2, depth);
    let end = at;
    for (let i = 0; i < count; i++) {
      end = this.skipValue(this.#skipKey(end), depth + 1);
    }
    return end;
  }

  /** Each element has at least a byte, so a count beyond the rest is a lie. */
  #checkNest(at: number, count: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw malformed(`it is nested deeper than ${DEPTH_MAX}`);
    if (count > this.#bytes.length - at) throw malformed('it ends too early');
  }

  #skipKey(at: number): number {
    const type = this.#bytes[at] ?? 0;
    const isText = (type >= 0xa0 && type < 0xc0) || (type >= 0xd9 && type <= 0xdb);
    if (!isText) throw malformed('a key of a map is not a text');
    const end = this.skipValue(at, DEPTH_MAX);
    // On a plain object this key would replace the prototype. Most keys do not end like it.
    if (this.#bytes[end - 1] !== 0x5f || end - at < 10) return end;
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + end - 9, 9);
    if (text.toString('latin1') === '__proto__') throw malformed('a key is not allowed');
    return end;
  }
}
