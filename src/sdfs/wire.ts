/**
 * Arguments and answers of SDFS as they travel: small arrays of msgpack-safe values. What comes in
 * is parsed here or refused (BAD_ARGUMENT); nothing behind this file looks at a raw Wire value.
 */
import { IdunnoError, type NodeId, nodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { FileVersion } from './types.js';

const SHA256_HEX = /^[0-9a-f]{64}$/;

export function refuse(what: string): IdunnoError {
  return new IdunnoError('BAD_ARGUMENT', what);
}

export function readText(value: Wire | undefined, what: string): string {
  if (typeof value !== 'string') throw refuse(`${what} must be text`);
  return value;
}

/** An integer in [min, max]. */
export function readInt(
  value: Wire | undefined,
  what: string,
  min = 0,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw refuse(`${what} must be an integer from ${min} to ${max}`);
  }
  return value;
}

export function readFlag(value: Wire | undefined, what: string): boolean {
  if (typeof value !== 'boolean') throw refuse(`${what} must be true or false`);
  return value;
}

export function readNode(value: Wire | undefined, what: string): NodeId {
  return nodeId(readText(value, what));
}

export function readSha(value: Wire | undefined, what: string): string {
  const sha = readText(value, what);
  if (!SHA256_HEX.test(sha)) throw refuse(`${what} must be 64 hexadecimal digits`);
  return sha;
}

/** An array of at most `max` items, each read by `read`. */
export function readList<T>(
  value: Wire | undefined,
  what: string,
  max: number,
  read: (item: Wire | undefined, what: string) => T,
): T[] {
  if (!Array.isArray(value)) throw refuse(`${what} must be a list`);
  const items = value as readonly Wire[];
  if (items.length > max) throw refuse(`${what} has ${items.length} items, at most ${max} go`);
  return items.map((item, at) => read(item, `${what}[${at}]`));
}

/** The parts of a fixed-size array. */
export function readTuple(value: Wire | undefined, what: string, length: number): readonly Wire[] {
  if (!Array.isArray(value) || value.length < length) {
    throw refuse(`${what} must be a list of ${length} values`);
  }
  return value as readonly Wire[];
}

/** A version with all that a reader needs to fetch its bytes. */
export interface LocatedVersion extends FileVersion {
  /** The blob's id: the log index of the intent it was written under. */
  readonly blob: number;
  /** Where the file begins in the blob's data; not 0 only in packs. */
  readonly offset: number;
  /** So many of the first holders are on nodes that are up. */
  readonly up: number;
}

export function writeLocated(file: LocatedVersion): Wire {
  const { name, version, bytes, sha256, createdMs, holders, blob, offset, up } = file;
  return [name, version, bytes, sha256, createdMs, [...holders], blob, offset, up];
}

export function readLocated(value: Wire | undefined, what = 'a file version'): LocatedVersion {
  const parts = readTuple(value, what, 9);
  return {
    name: readText(parts[0], `${what}: name`),
    version: readInt(parts[1], `${what}: version`, 1),
    bytes: readInt(parts[2], `${what}: bytes`),
    sha256: readSha(parts[3], `${what}: sha256`),
    createdMs: readInt(parts[4], `${what}: created`),
    holders: readList(parts[5], `${what}: holders`, 1000, readNode),
    blob: readInt(parts[6], `${what}: blob`, 1),
    offset: readInt(parts[7], `${what}: offset`),
    up: readInt(parts[8], `${what}: holders that are up`),
  };
}

/** What others may see of a located version. */
export function publicVersion(file: LocatedVersion): FileVersion {
  const { name, version, bytes, sha256, createdMs, holders } = file;
  return { name, version, bytes, sha256, createdMs, holders };
}
