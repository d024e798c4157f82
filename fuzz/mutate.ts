/** Damage to bytes, as accidents and liars do it. Pure: the generator decides everything. */
import type { Rng } from '../src/base/index.js';

/** Where integers go wrong: around powers of two, and the ends of each size. */
const BOUNDARIES: readonly number[] = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
  0xffffffff,
];
const NOISE_BYTES_MAX = 200;
const MUTATIONS_MAX = 4;

type Mutation = (bytes: Uint8Array, rng: Rng, other: Uint8Array) => Uint8Array;

/** Not one byte of sense. */
export function noise(rng: Rng): Uint8Array {
  return Uint8Array.from({ length: rng.int(NOISE_BYTES_MAX) }, () => rng.int(256));
}

/** One to four mutations; `other` is another valid sample, to splice with. */
export function mutated(
  bytes: Uint8Array,
  rng: Rng,
  other: Uint8Array,
  dictionary: readonly Uint8Array[] = [],
): Uint8Array {
  let now = bytes;
  for (let count = 1 + rng.int(MUTATIONS_MAX); count > 0; count -= 1) {
    if (dictionary.length > 0 && rng.int(4) === 0) {
      const piece = dictionary[rng.int(dictionary.length)];
      now = putInto(now, rng, piece ?? new Uint8Array(0));
    } else {
      const mutation = MUTATIONS[rng.int(MUTATIONS.length)];
      now = mutation?.(now, rng, other) ?? now;
    }
  }
  return now;
}

const flipBit: Mutation = (bytes, rng) => withByte(bytes, rng, (byte) => byte ^ (1 << rng.int(8)));
const setByte: Mutation = (bytes, rng) => withByte(bytes, rng, () => rng.int(256));
const stepByte: Mutation = (bytes, rng) => {
  const step = rng.int(2) === 0 ? 1 : 255;
  return withByte(bytes, rng, (byte) => (byte + step) & 0xff);
};

const cutEnd: Mutation = (bytes, rng) => bytes.slice(0, rng.int(bytes.length + 1));
const cutStart: Mutation = (bytes, rng) => bytes.slice(Math.min(bytes.length, 1 + rng.int(8)));

const removePiece: Mutation = (bytes, rng) => {
  const [from, to] = rangeOf(bytes, rng);
  return joined(bytes.subarray(0, from), bytes.subarray(to));
};

const repeatPiece: Mutation = (bytes, rng) => {
  const [from, to] = rangeOf(bytes, rng);
  const piece = bytes.subarray(from, to);
  const times = 1 + rng.int(3);
  return joined(bytes.subarray(0, to), ...Array(times).fill(piece), bytes.subarray(to));
};

const movePiece: Mutation = (bytes, rng) => {
  const [from, to] = rangeOf(bytes, rng);
  return putInto(
    joined(bytes.subarray(0, from), bytes.subarray(to)),
    rng,
    bytes.subarray(from, to),
  );
};

const insertNoise: Mutation = (bytes, rng) =>
  putInto(
    bytes,
    rng,
    Uint8Array.from({ length: 1 + rng.int(16) }, () => rng.int(256)),
  );

const splice: Mutation = (bytes, rng, other) =>
  joined(bytes.subarray(0, rng.int(bytes.length + 1)), other.subarray(rng.int(other.length + 1)));

/** An integer of 1, 2, 4 or 8 bytes becomes one at a boundary: lengths that lie, counts, offsets. */
const lie: Mutation = (bytes, rng) => {
  const width = 1 << rng.int(4);
  if (bytes.length < width) return bytes;
  const made = Uint8Array.from(bytes);
  const view = new DataView(made.buffer);
  const at = rng.int(bytes.length - width + 1);
  const value = BOUNDARIES[rng.int(BOUNDARIES.length)] ?? 0;
  if (width === 1) view.setUint8(at, value & 0xff);
  else if (width === 2) view.setUint16(at, value & 0xffff);
  else if (width === 4) view.setUint32(at, value);
  else
    view.setBigUint64(at, rng.int(2) === 0 ? BigInt(value) : (1n << 53n) - 1n + BigInt(rng.int(3)));
  return made;
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  stepByte,
  cutEnd,
  cutStart,
  removePiece,
  repeatPiece,
  movePiece,
  insertNoise,
  splice,
  lie,
  lie,
];

function withByte(bytes: Uint8Array, rng: Rng, change: (byte: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const made = Uint8Array.from(bytes);
  const at = rng.int(made.length);
  made[at] = change(made[at] ?? 0);
  return made;
}

function rangeOf(bytes: Uint8Array, rng: Rng): [from: number, to: number] {
  const from = rng.int(bytes.length + 1);
  return [from, Math.min(bytes.length, from + 1 + rng.int(32))];
}

function putInto(bytes: Uint8Array, rng: Rng, piece: Uint8Array): Uint8Array {
  const at = rng.int(bytes.length + 1);
  return joined(bytes.subarray(0, at), piece, bytes.subarray(at));
}

/** A copy of its own: nothing under test may see memory beyond its input. */
function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces));
}
