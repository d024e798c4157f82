/**
 * Sets of bytes: what one place of a pattern may match. The locale is C, so a character is a byte.
 */

/** One cell for each byte: 1 where the byte is in the set. */
export type ByteSet = Uint8Array;

export const NEWLINE = 0x0a;

export function emptySet(): ByteSet {
  return new Uint8Array(256);
}

export function setOf(test: (byte: number) => boolean): ByteSet {
  return emptySet().map((_, byte) => (test(byte) ? 1 : 0));
}

export function single(byte: number): ByteSet {
  const set = emptySet();
  set[byte] = 1;
  return set;
}

export function addRange(set: ByteSet, from: number, to: number): void {
  set.fill(1, from, to + 1);
}

export function addAll(set: ByteSet, other: ByteSet): void {
  for (let byte = 0; byte < 256; byte += 1) if (other[byte] === 1) set[byte] = 1;
}

export function inverted(set: ByteSet): ByteSet {
  return set.map((cell) => 1 - cell);
}

/** With each letter its other case. */
export function folded(set: ByteSet): ByteSet {
  const both = set.slice();
  for (let byte = 0x41; byte <= 0x5a; byte += 1) {
    if (set[byte] === 1 || set[byte + 0x20] === 1) {
      both[byte] = 1;
      both[byte + 0x20] = 1;
    }
  }
  return both;
}

function isUpper(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

function isLower(byte: number): boolean {
  return byte >= 0x61 && byte <= 0x7a;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isAlnum(byte: number): boolean {
  return isUpper(byte) || isLower(byte) || isDigit(byte);
}

function isGraph(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

function isHexLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

/** POSIX character classes in the C locale. */
export const CLASSES: ReadonlyMap<string, ByteSet> = new Map([
  ['alpha', setOf((byte) => isUpper(byte) || isLower(byte))],
  ['upper', setOf(isUpper)],
  ['lower', setOf(isLower)],
  ['digit', setOf(isDigit)],
  ['xdigit', setOf((byte) => isDigit(byte) || isHexLetter(byte))],
  ['alnum', setOf(isAlnum)],
  ['space', setOf(isSpace)],
  ['blank', setOf((byte) => byte === 0x20 || byte === 0x09)],
  ['punct', setOf((byte) => isGraph(byte) && !isAlnum(byte))],
  ['print', setOf((byte) => byte === 0x20 || isGraph(byte))],
  ['graph', setOf(isGraph)],
  ['cntrl', setOf((byte) => byte < 0x20 || byte === 0x7f)],
]);

/** What `\w` matches and what words are made of. */
export const WORD: ByteSet = setOf((byte) => isAlnum(byte) || byte === 0x5f);
export const SPACE: ByteSet = setOf(isSpace);
export const ANY: ByteSet = setOf((byte) => byte !== NEWLINE);
