/**
 * Names of things that must not be swapped. A brand costs nothing at run time and makes the
 * compiler refuse a model's name where a node's is wanted.
 */
import { IdunnoError } from './errors.js';

/** The name of a node in the config file, e.g. `n1`. Unique in a cluster; at most 64 bytes. */
export type NodeId = string & { readonly __brand: 'NodeId' };

/** Counts the starts of one node's process; persisted, so a restart is a larger number. */
export type BootEpoch = number;

/** Raft term. A plain number: it is compared and added to, and stays below 2^53. */
export type Term = number;

/** Raft log index; the first entry has index 1. Stays below 2^53. */
export type LogIndex = number;

/** Milliseconds, monotonic unless the name says `wall`. */
export type Ms = number;

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Brands a node name. Throws `BAD_NAME` where it is not 1-64 letters, digits, `.`, `_` or `-`. */
export function nodeId(name: string): NodeId {
  if (!NAME_PATTERN.test(name)) {
    throw new IdunnoError(
      'BAD_NAME',
      `"${name}" cannot name a node: use 1 to 64 letters, digits, ".", "_" or "-"`,
    );
  }
  return name as NodeId;
}
