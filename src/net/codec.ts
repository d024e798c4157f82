/**
 * Values as bytes. What goes out is encoded by msgpack-lite; what comes in is read by a reader of our
 * own, because that of msgpack-lite trusts its input: unknown types, lengths beyond the input, deep
 * nesting, integers above 2^53, map keys that are no strings and broken UTF-8 are refused with
 * PROTOCOL, and nothing is allocated for a length that the input does not back.
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

/** The inner function of msgpack-lite's codec, which its types do not mention. */
interface OpenCodec {
  encode(encoder: unknown, value: unknown): void;
}

const codec = openCodec();

/**
 * msgpack-lite calls this for each value inside arrays and maps too. It knows Buffers but takes any
 * other Uint8Array for a map of numbers.
 */
function openCodec(): msgpack.Codec {
  // No preset: dates, errors and typed arrays as extensions have no place here.
  const made = msgpack.createCodec({ preset: false });
  const inner = made as unknown as OpenCodec;
  const { encode } = inner;
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
  const reader = new Reader(bytes, offset);
  return [reader.value(0), reader.at];
}

function malformed(text: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `a malformed value arrived: ${text}`);
}

/** Reads one value after the other, and checks each before anything is made of it. */
class Reader {
  /** Of the next value. */
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  value(depth: number): Wire {
    const type = this.#bytes[this.at];
    if (type === undefined) throw malformed('it ends too early');
    this.at += 1;
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type < 0x90) return this.#map(type & 0x0f, depth);
    if (type < 0xa0) return this.#array(type & 0x0f, depth);
    if (type < 0xc0) return this.#text(type & 0x1f);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4: // bin 8, 16, 32
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#unsigned(1 << (type - 0xc4)));
      case 0xca:
        return this.#float(this.#bytes.readFloatBE(this.#take(4)));
      case 0xcb:
        return this.#float(this.#bytes.readDoubleBE(this.#take(8)));
      case 0xcc: // uint 8, 16, 32
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (type - 0xcc));
      case 0xcf:
        return this.#safe(this.#bytes.readBigUInt64BE(this.#take(8)));
      case 0xd0:
        return this.#bytes.readInt8(this.#take(1));
      case 0xd1:
        return this.#bytes.readInt16BE(this.#take(2));
      case 0xd2:
        return this.#bytes.readInt32BE(this.#take(4));
      case 0xd3:
        return this.#safe(this.#bytes.readBigInt64BE(this.#take(8)));
      case 0xd9: // str 8, 16, 32
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned(1 << (type - 0xd9)));
      case 0xdc: // array 16, 32
      case 0xdd:
        return this.#array(this.#unsigned(2 << (type - 0xdc)), depth);
      case 0xde: // map 16, 32
      case 0xdf:
        return this.#map(this.#unsigned(2 << (type - 0xde)), depth);
      default:
        throw malformed(`type 0x${type.toString(16)} is not used here`);
    }
  }

  /** Where the next `length` bytes begin; they are behind us then. */
  #take(length: number): number {
    const { at } = this;
    if (length > this.#bytes.length - at) throw malformed('it ends too early');
    this.at += length;
    return at;
  }

  /** An unsigned integer of 1, 2 or 4 bytes. */
  #unsigned(length: number): number {
    const at = this.#take(length);
    if (length === 1) return this.#bytes[at] ?? 0;
    return length === 2 ? this.#bytes.readUInt16BE(at) : this.#bytes.readUInt32BE(at);
  }

  #safe(value: bigint): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw malformed(`${value} is beyond 2^53`);
    return number;
  }

  /** As a float, too, an integer beyond 2^53 could not be passed on: `encode` asserts it. */
  #float(value: number): number {
    if (!Number.isSafeInteger(value) && Number.isInteger(value)) {
      throw malformed(`${value} is beyond 2^53`);
    }
    return value;
  }

  #binary(length: number): Uint8Array {
    const at = this.#take(length);
    // Not a Buffer: its `slice` would share memory.
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  #text(length: number): string {
    const at = this.#take(length);
    const end = at + length;
    for (let i = at; i < end; i += 1) {
      if ((this.#bytes[i] ?? 0) < 0x80) continue;
      if (!isUtf8(this.#bytes.subarray(at, end))) throw malformed('a text is not UTF-8');
      return this.#bytes.toString('utf8', at, end);
    }
    return this.#bytes.toString('latin1', at, end);
  }

  #array(count: number, depth: number): Wire[] {
    this.#checkNest(count, depth);
    const values: Wire[] = [];
    for (let i = 0; i < count; i += 1) values.push(this.value(depth + 1));
    return values;
  }

  #map(count: number, depth: number): Wire {
    this.#checkNest(count * 2, depth);
    const map: Record<string, Wire> = {};
    for (let i = 0; i < count; i += 1) {
      const key = this.#key();
      map[key] = this.value(depth + 1);
    }
    return map;
  }

  /** Each element has at least a byte, so a count beyond the rest is a lie. */
  #checkNest(count: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw malformed(`it is nested deeper than ${DEPTH_MAX}`);
    if (count > this.#bytes.length - this.at) throw malformed('it ends too early');
  }

  #key(): string {
    const type = this.#bytes[this.at] ?? 0;
    const isText = (type >= 0xa0 && type < 0xc0) || (type >= 0xd9 && type <= 0xdb);
    const key = isText ? this.value(DEPTH_MAX) : undefined;
    if (typeof key !== 'string') throw malformed('a key of a map is not a text');
    // On a plain object this key would replace the prototype.
    if (key === '__proto__') throw malformed('a key is not allowed');
    return key;
  }
}
