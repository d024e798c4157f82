/**
 * The list of members as one node believes it: the states, which claim beats which, the sorted
 * names that the ring is made of, and the digest by which two lists are compared.
 *
 *            accused, or heard so           hold is over            deleteAfter
 *   Active ─────────────────────▶ Suspicious ───────────▶ Failed ───────────────▶ Deleted
 *     ▲ ▲    evidence of life │        │                     │                       │
 *     │ └─────────────────────┘        │ higher incarnation  │ higher incarnation    │ tombstone
 *     └────────────────────────────────┴─────────────────────┴───────────────────────┘ expires
 *     any state ── its own farewell ──▶ Left ── its own return (higher incarnation) ──▶ Active
 *
 * Invariants: an identity is (name, boot epoch), and a newer epoch replaces an older one at once;
 * within an identity (incarnation, rank of state) never decreases except by evidence of life that
 * is newer than the suspicion. Only the member itself raises its incarnation (SWIM §4.2).
 * Deleted entries are tombstones: users do not see them, and they keep old rumours from reviving
 * the dead. The node itself is not in the table.
 */
import { assert, type BootEpoch, type Ms, type NodeId } from '../base/index.js';
import type { ClaimState, Digest, MemberRecord } from './messages.js';
import type { Member, MemberState } from './types.js';

/** One member as this node believes it. Changed only through `MemberTable.change`. */
export interface MemberEntry {
  readonly name: NodeId;
  readonly epoch: BootEpoch;
  readonly bootWallMs: Ms;
  host: string;
  port: number;
  streamPort: number;
  incarnation: number;
  state: MemberState;
  /** When it came into this state, by this node's clock; may lie before we heard of it. */
  sinceMs: Ms;
  /** Since when its main thread stands still; undefined when it moves. */
  stalledSinceMs: Ms | undefined;
  /** Suspicious: by whom, for how long, and until when. Failed: this node, if by its verdict. */
  accuser: NodeId | undefined;
  holdMs: Ms;
  failAtMs: Ms;
  /** The verdict that a Deleted entry repeats to others. */
  verdict: 'failed' | 'left';
  /** This node's own last proof that the member lives; -Infinity without one. */
  evidenceMs: Ms;
  /** When this node last told the member what is said about it. */
  toldMs: Ms;
}

/** What is known about a member when it is met for the first time. */
export function createEntry(record: MemberRecord, state: MemberState, sinceMs: Ms): MemberEntry {
  return {
    name: record.name,
    epoch: record.epoch,
    bootWallMs: record.bootWallMs,
    host: record.host,
    port: record.port,
    streamPort: record.streamPort,
    incarnation: record.incarnation,
    state,
    sinceMs,
    stalledSinceMs: undefined,
    accuser: undefined,
    holdMs: 0,
    failAtMs: 0,
    verdict: record.state === 'left' ? 'left' : 'failed',
    evidenceMs: Number.NEGATIVE_INFINITY,
    toldMs: Number.NEGATIVE_INFINITY,
  };
}

/** A member that takes part: it is probed, gossiped to, and counted. */
export function isLive(entry: { readonly state: MemberState }): boolean {
  return entry.state === 'active' || entry.state === 'suspicious';
}

const RANK: Readonly<Record<ClaimState, number>> = { active: 0, suspicious: 1, failed: 2, left: 3 };

/** The state under which an entry is repeated to others. */
export function claimOf(entry: MemberEntry): ClaimState {
  return entry.state === 'deleted' ? entry.verdict : entry.state;
}

/**
 * Positive when the record says something newer about the identity than the entry does, negative
 * when older, zero when the same: incarnation first, then Left > Failed > Suspicious > Active.
 */
export function compareClaims(record: MemberRecord, entry: MemberEntry): number {
  assert(record.name === entry.name && record.epoch === entry.epoch, 'claims of two identities');
  if (record.incarnation !== entry.incarnation) return record.incarnation - entry.incarnation;
  return RANK[record.state] - RANK[claimOf(entry)];
}

/** The entry as a rumour of this moment. */
export function recordOf(entry: MemberEntry, nowMs: Ms): MemberRecord {
  const record = {
    name: entry.name,
    epoch: entry.epoch,
    incarnation: entry.incarnation,
    state: claimOf(entry),
    host: entry.host,
    port: entry.port,
    streamPort: entry.streamPort,
    bootWallMs: entry.bootWallMs,
    ageMs: Math.max(0, nowMs - entry.sinceMs),
    stalledMs: entry.stalledSinceMs === undefined ? 0 : nowMs - entry.stalledSinceMs,
  };
  if (entry.state !== 'suspicious' || entry.accuser === undefined) return record;
  return { ...record, accuser: entry.accuser, holdMs: entry.holdMs };
}

/**
 * What is held against that boot of the member and it should hear, so that it can refute it
 * (Lifeguard's buddy system): nothing while it is believed Active.
 */
export function claimsAgainst(
  entry: MemberEntry | undefined,
  epoch: BootEpoch,
  nowMs: Ms,
): MemberRecord[] {
  if (entry === undefined || entry.epoch !== epoch || entry.state === 'active') return [];
  return [recordOf(entry, nowMs)];
}

/** The entry as users see it. */
export function memberOf(entry: MemberEntry, nowMs: Ms): Member {
  return {
    name: entry.name,
    host: entry.host,
    port: entry.port,
    bootEpoch: entry.epoch,
    incarnation: entry.incarnation,
    state: entry.state,
    bootWallMs: entry.bootWallMs,
    sinceMs: entry.sinceMs,
    stalledMs: entry.stalledSinceMs === undefined ? 0 : nowMs - entry.stalledSinceMs,
  };
}

/** Two independent 32-bit hashes of a live identity; a digest is their exclusive or. */
export function identityHash(name: string, epoch: BootEpoch, incarnation: number): Digest {
  let low = 0x811c9dc5;
  let high = 0x2545f491;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x5bd1e995);
  }
  return [scramble(low, epoch, incarnation), scramble(high, incarnation, epoch)];
}

/** Murmur3's finalizer over the name's hash and two numbers below 2^53. */
function scramble(seed: number, a: number, b: number): number {
  let hash = seed ^ Math.imul(a | 0, 0x9e3779b1) ^ Math.floor(a / 2 ** 32);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash ^= Math.imul(b | 0, 0xc2b2ae35) ^ Math.floor(b / 2 ** 32);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** All known members but this node itself. */
export class MemberTable {
  readonly #entries = new Map<NodeId, MemberEntry>();
  /** Names in order; kept sorted so that ring neighbours are found by bisection. */
  readonly #active: NodeId[] = [];
  readonly #live: NodeId[] = [];
  #digest: Digest = [0, 0];
  #version = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Names of Active members, in ring order. */
  get active(): readonly NodeId[] {
    return this.#active;
  }

  /** Names of Active and Suspicious members, in ring order. */
  get live(): readonly NodeId[] {
    return this.#live;
  }

  /** Over the identities of all live members in the table. */
  get digest(): Digest {
    return this.#digest;
  }

  /** Grows whenever who is Active, or where they are, may have changed. */
  get version(): number {
    return this.#version;
  }

  get(name: NodeId): MemberEntry | undefined {
    return this.#entries.get(name);
  }

  all(): IterableIterator<MemberEntry> {
    return this.#entries.values();
  }

  add(entry: MemberEntry): void {
    assert(!this.#entries.has(entry.name), 'the member is in the table already');
    this.#entries.set(entry.name, entry);
    this.#enter(entry);
  }

  remove(entry: MemberEntry): void {
    assert(this.#entries.get(entry.name) === entry, 'the member is not in the table');
    this.#leave(entry);
    this.#entries.delete(entry.name);
  }

  /** The one way to change an entry: keeps the orders and the digest in step. */
  change(entry: MemberEntry, edit: (entry: MemberEntry) => void): void {
    assert(this.#entries.get(entry.name) === entry, 'the member is not in the table');
    this.#leave(entry);
    edit(entry);
    this.#enter(entry);
  }

  #enter(entry: MemberEntry): void {
    this.#version++;
    if (!isLive(entry)) return;
    insertSorted(this.#live, entry.name);
    if (entry.state === 'active') insertSorted(this.#active, entry.name);
    this.#toggleDigest(entry);
  }

  #leave(entry: MemberEntry): void {
    this.#version++;
    if (!isLive(entry)) return;
    removeSorted(this.#live, entry.name);
    if (entry.state === 'active') removeSorted(this.#active, entry.name);
    this.#toggleDigest(entry);
  }

  #toggleDigest(entry: MemberEntry): void {
    const hash = identityHash(entry.name, entry.epoch, entry.incarnation);
    this.#digest = combineDigests(this.#digest, hash);
  }
}

/** Exclusive or: order does not matter, and adding twice removes. */
export function combineDigests(a: Digest, b: Digest): Digest {
  return [(a[0] ^ b[0]) >>> 0, (a[1] ^ b[1]) >>> 0];
}

/** Where the name is, or would be, in the sorted list. */
export function lowerBound(names: readonly NodeId[], name: NodeId): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = names[middle];
    if (at !== undefined && at < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insertSorted(names: NodeId[], name: NodeId): void {
  const at = lowerBound(names, name);
  assert(names[at] !== name, 'a name is listed twice');
  names.splice(at, 0, name);
}

function removeSorted(names: NodeId[], name: NodeId): void {
  const at = lowerBound(names, name);
  assert(names[at] === name, 'a name is not listed');
  names.splice(at, 1);
}
