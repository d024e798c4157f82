/**
 * Row keys as bytes whose order is the order of their parts.
 *
 * A key is the bucket's byte, then each part: a tag, then a number as eight bytes big-endian, or a
 * string as UTF-8 with 00 escaped to `00 FF` and ended by `00 01`. Parts delimit themselves, so the
 * bytes of a prefix of parts are a prefix of the bytes; numbers come before strings; strings order
 * by code point. In memory a key is a string of one char per byte (latin1): it hashes and compares
 * like the bytes do, and becomes a Buffer only at the database.
 *
 * Refuses (BAD_ARGUMENT, since parts often come from a client): numbers that are not integers in
 * [0, 2^53), strings that are not well-formed Unicode, keys longer than KEY_BYTES_MAX.
 */
import { assert, IdunnoError } from '../base/index.js';
import type { Key } from './types.js';

/** One char per byte. */
export type RowKey = string & { readonly __brand: 'RowKey' };

/** A file name is at most 1 KiB and may double by escapes; the rest is room for other parts. */
export const KEY_BYTES_MAX = 4096;
export const KEY_PARTS_MAX = 8;

const NUMBER_TAG = '\x10';
const STRING_TAG = '\x20';
const STRING_END = '\x00\x01';
/** Above every tag: ends the range of all keys that extend a prefix. */
const ABOVE = '\xff';
const TWO_32 = 2 ** 32;

/** The bytes of a key, or of a prefix of its parts. */
export function encodeKey(bucket: number, parts: Key): RowKey {
  if (parts.length > KEY_PARTS_MAX) {
    throw new IdunnoError('BAD_ARGUMENT', `a key has at most ${KEY_PARTS_MAX} parts`);
  }
  let key = String.fromCharCode(bucket);
  for (const part of parts) {
    key += typeof part === 'number' ? encodeNumber(part) : encodeString(part);
  }
  if (key.length > KEY_BYTES_MAX) {
    throw new IdunnoError(
      'BAD_ARGUMENT',
      `a key of ${key.length} bytes is longer than ${KEY_BYTES_MAX}: use a shorter name`,
    );
  }
  return key as RowKey;
}

/** The parts of a key that encodeKey made. A bug, or a database that is not ours, if it did not. */
export function decodeKey(key: RowKey): { bucket: number; parts: Key } {
  const parts: (string | number)[] = [];
  let at = 1;
  while (at < key.length) {
    const tag = key.charAt(at);
    at += 1;
    if (tag === NUMBER_TAG) {
      assert(at + 8 <= key.length, 'a number in a row key is cut off');
      parts.push(u32At(key, at) * TWO_32 + u32At(key, at + 4));
      at += 8;
    } else {
      assert(tag === STRING_TAG, `tag ${tag.charCodeAt(0)} in a row key`);
      const end = stringEnd(key, at);
      parts.push(decodeString(key.slice(at, end)));
      at = end + STRING_END.length;
    }
  }
  return { bucket: key.charCodeAt(0), parts };
}

/** The smallest bytes above every key that starts with this one. */
export function afterPrefix(key: RowKey): RowKey {
  return (key + ABOVE) as RowKey;
}

/** The smallest bytes above this key. */
export function justAfter(key: RowKey): RowKey {
  return `${key}\x00` as RowKey;
}

export function keyToBytes(key: RowKey): Buffer {
  return Buffer.from(key, 'latin1');
}

export function keyFromBytes(bytes: Uint8Array): RowKey {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1') as RowKey;
}

function encodeNumber(part: number): string {
  if (!Number.isSafeInteger(part) || part < 0) {
    throw new IdunnoError('BAD_ARGUMENT', `${part} cannot be part of a key: not an integer >= 0`);
  }
  const high = Math.floor(part / TWO_32);
  const low = part >>> 0;
  return (
    NUMBER_TAG +
    String.fromCharCode(
      high >>> 24,
      (high >>> 16) & 255,
      (high >>> 8) & 255,
      high & 255,
      low >>> 24,
      (low >>> 16) & 255,
      (low >>> 8) & 255,
      low & 255,
    )
  );
}

function encodeString(part: string): string {
  if (isPlain(part)) return STRING_TAG + part + STRING_END;
  const bytes = Buffer.from(part, 'utf8');
  // Lone surrogates become U+FFFD in UTF-8: two names would share one key.
  if (bytes.toString('utf8') !== part) {
    throw new IdunnoError('BAD_ARGUMENT', 'a name with half a character (lone surrogate) in it');
  }
  return STRING_TAG + bytes.toString('latin1').replaceAll('\x00', '\x00\xff') + STRING_END;
}

/** ASCII without NUL: the bytes are the chars. */
function isPlain(part: string): boolean {
  for (let at = 0; at < part.length; at += 1) {
    const code = part.charCodeAt(at);
    if (code === 0 || code > 127) return false;
  }
  return true;
}

function stringEnd(key: string, from: number): number {
  let at = key.indexOf('\x00', from);
  while (at !== -1 && key.charCodeAt(at + 1) === 255) at = key.indexOf('\x00', at + 2);
  assert(at !== -1 && key.charCodeAt(at + 1) === 1, 'a string in a row key is cut off');
  return at;
}

function decodeString(escaped: string): string {
  if (isPlain(escaped)) return escaped;
  return Buffer.from(escaped.replaceAll('\x00\xff', '\x00'), 'latin1').toString('utf8');
}

function u32At(key: string, at: number): number {
  return (
    key.charCodeAt(at) * 2 ** 24 +
    (key.charCodeAt(at + 1) << 16) +
    (key.charCodeAt(at + 2) << 8) +
    key.charCodeAt(at + 3)
  );
}
