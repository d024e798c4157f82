/**
 * MessagePack read the slow and obvious way, with the limits of src/net/codec.ts: the twin to which
 * the real reader is compared.
 */
import type { Wire } from '../../src/net/index.js';

const DEPTH_MAX = 32;

/** The one value that the bytes are, or undefined where they must be refused. */
export function readByTwin(bytes: Uint8Array): { readonly value: Wire } | undefined {
  const reader = new TwinReader(Buffer.from(bytes));
  try {
    const value = reader.value(0);
    return reader.isAtEnd ? { value } : undefined;
  } catch {
    return undefined;
  }
}

class TwinReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(depth: number): Wire {
    const type = this.#integer(1);
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type < 0x90) return this.#map(type - 0x80, depth);
    if (type < 0xa0) return this.#array(type - 0x90, depth);
    if (type < 0xc0) return this.#text(type - 0xa0);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Uint8Array.from(this.#take(this.#integer(1 << (type - 0xc4))));
      case 0xca:
        return honest(this.#take(4).readFloatBE());
      case 0xcb:
        return honest(this.#take(8).readDoubleBE());
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#integer(1 << (type - 0xcc));
      case 0xcf:
        return safe(this.#take(8).readBigUInt64BE());
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const width = 1 << (type - 0xd0);
        return this.#take(width).readIntBE(0, width);
      }
      case 0xd3:
        return safe(this.#take(8).readBigInt64BE());
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#integer(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#integer(2 << (type - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#integer(2 << (type - 0xde)), depth);
      default:
        throw new Error('a type that is not used');
    }
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new Error('too short');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #integer(width: number): number {
    return this.#take(width).readUIntBE(0, width);
  }

  #text(length: number): string {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#take(length));
  }

  #array(count: number, depth: number): Wire {
    this.#nest(depth);
    const items: Wire[] = [];
    for (let nth = 0; nth < count; nth += 1) items.push(this.value(depth + 1));
    return items;
  }

  #map(count: number, depth: number): Wire {
    this.#nest(depth);
    const fields: Record<string, Wire> = {};
    for (let nth = 0; nth < count; nth += 1) {
      const key = this.#key();
      if (key === '__proto__') throw new Error('a key that is not allowed');
      fields[key] = this.value(depth + 1);
    }
    return fields;
  }

  #key(): string {
    const key = this.value(DEPTH_MAX);
    if (typeof key !== 'string') throw new Error('a key that is no text');
    return key;
  }

  #nest(depth: number): void {
    if (depth >= DEPTH_MAX) throw new Error('too deep');
  }
}

function safe(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error('too large');
  return number;
}

/** An integer that could not be written again may not come in as a float either. */
function honest(float: number): number {
  if (Number.isInteger(float) && !Number.isSafeInteger(float)) throw new Error('too large');
  return float;
}
