/**
 * Bounded reading and writing of the few forms that membership packets are made of. Reading checks
 * every length before it reads and fails with `Malformed`, which codec.ts turns into a result;
 * nothing else is ever thrown at malformed input.
 */
import { assert, type NodeId } from '../base/index.js';

/** The input is not what it claims to be. Never leaves codec.ts. */
export class Malformed extends Error {}

/** Seven bits per byte, least significant first; 2^53 - 1 needs eight. */
const VARINT_BYTES_MAX = 8;
/** Holds any UDP packet. */
const BUFFER_BYTES = 2048;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const HOST = /^[\x21-\x7e]{1,255}$/;

/** Bytes that `Writer.varint` takes for the value. */
export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Appends to one buffer that grows up to `bytesMax`; writing beyond it is a bug of the caller. */
export class Writer {
  readonly #bytesMax: number;
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#bytes = new Uint8Array(BUFFER_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value);
    this.#length += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value);
    this.#length += 4;
  }

  /** A whole number below 2^53. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a count is a whole number below 2^53');
    this.#reserve(VARINT_BYTES_MAX);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A length byte, then the characters; names and hosts are ASCII. */
  text(value: string): void {
    assert(value.length <= 255, 'a text is too long for a packet');
    this.#reserve(1 + value.length);
    this.#bytes[this.#length++] = value.length;
    for (let i = 0; i < value.length; i++) this.#bytes[this.#length++] = value.charCodeAt(i);
  }

  /** What was written, as bytes of its own. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Begins anew; a buffer that grew for one large frame is not kept. */
  reset(): void {
    this.#length = 0;
    if (this.#bytes.length <= BUFFER_BYTES) return;
    this.#bytes = new Uint8Array(BUFFER_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    // Numbers reserve their longest form, so the last one may ask for slightly too much.
    assert(needed <= this.#bytesMax + VARINT_BYTES_MAX, 'a packet grew above its bound');
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads from untrusted bytes. Every method throws Malformed rather than return nonsense. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new Malformed('it ends too early');
    this.#at++;
    return value;
  }

  u16(): number {
    return this.u8() * 256 + this.u8();
  }

  u32(): number {
    return this.u16() * 65536 + this.u16();
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (!Number.isSafeInteger(value)) throw new Malformed('a number is too large');
      if (byte < 128) return value;
      scale *= 128;
    }
    throw new Malformed('a number does not end');
  }

  name(): NodeId {
    const text = this.#text();
    if (!NAME.test(text)) throw new Malformed('a name is not a node name');
    return text as NodeId;
  }

  host(): string {
    const text = this.#text();
    if (!HOST.test(text)) throw new Malformed('a host is not a host');
    return text;
  }

  #text(): string {
    const length = this.u8();
    if (length > this.remaining) throw new Malformed('a text ends too early');
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.u8());
    return text;
  }
}
