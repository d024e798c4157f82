/**
 * Anti-entropy: when the digest in a member's ack differs from this node's twice in a row and there
 * is no news under way that would explain it, the two compare their lists bucket by bucket over
 * TCP, and exchange, both ways, only the buckets that differ.
 *
 * Bounds: one sync per `syncGapMs`, at most 8,192 records and one frame of 1 MiB each way. What
 * does not fit comes with the next sync, because the digests still differ.
 */
import type { Ms } from '../base/index.js';
import { recordBytes } from './codec.js';
import { FRAME_BYTES_MAX, SYNC_BUCKETS_MAX, SYNC_RECORDS_MAX } from './config.js';
import type { SwimContext } from './context.js';
import { identityHash, isLive, type MemberEntry, recordOf } from './members.js';
import type { Digest, MemberRecord, Message, Origin, Packet } from './messages.js';

/** Members per bucket that a sync aims at. */
const BUCKET_MEMBERS = 8;
/** Room for the header and the list of buckets in a frame. */
const FRAME_RESERVE_BYTES = 4096;

export class Syncer {
  readonly #context: SwimContext;
  #differences = 0;
  #lastMs: Ms = Number.NEGATIVE_INFINITY;

  constructor(context: SwimContext) {
    this.#context = context;
  }

  /** A member's ack says what it believes of everybody. */
  onDigest(entry: MemberEntry, digest: Digest): void {
    const own = this.#context.digest();
    if (own[0] === digest[0] && own[1] === digest[1]) {
      this.#differences = 0;
      return;
    }
    this.#differences++;
    const { now, timing, rumours } = this.#context;
    const isSettled = rumours.size === 0 && this.#differences >= 2;
    if (!isSettled || now < this.#lastMs + timing.syncGapMs || entry.streamPort === 0) return;
    this.#lastMs = now;
    this.#differences = 0;
    const { name, epoch, host, streamPort } = entry;
    const message = { type: 'sync', hashes: this.#hashes(this.#bucketCount()) } as const;
    const to = { name, epoch, host, streamPort };
    this.#context.emit({ kind: 'stream', to, dial: true, packet: this.#packet(message, []) });
  }

  /** A peer compares lists: answer with the records of the buckets that differ. */
  onSync(from: Origin, hashes: readonly number[]): void {
    const bucketCount = hashes.length / 2;
    const own = this.#hashes(bucketCount);
    const buckets: number[] = [];
    for (let i = 0; i < bucketCount; i++) {
      if (own[2 * i] !== hashes[2 * i] || own[2 * i + 1] !== hashes[2 * i + 1]) buckets.push(i);
    }
    const records = this.#records(bucketCount, buckets);
    const message = { type: 'sync-reply', bucketCount, buckets } as const;
    this.#context.emit({ kind: 'send', to: from, packet: this.#packet(message, records) });
  }

  /** The peer's records are heard already: give it ours of the same buckets. */
  onReply(from: Origin, bucketCount: number, buckets: readonly number[]): void {
    const records = this.#records(bucketCount, buckets);
    const packet = this.#packet({ type: 'sync-push' }, records);
    this.#context.emit({ kind: 'send', to: from, packet });
  }

  #packet(message: Message, rumours: readonly MemberRecord[]): Packet {
    return { sender: this.#context.sender, message, rumours };
  }

  #bucketCount(): number {
    const wanted = this.#context.table.live.length / BUCKET_MEMBERS;
    let count = 1;
    while (count < wanted && count < SYNC_BUCKETS_MAX) count *= 2;
    return count;
  }

  /** Per bucket the digest of its live identities, in two halves. */
  #hashes(bucketCount: number): number[] {
    const hashes = new Array<number>(2 * bucketCount).fill(0);
    const add = (name: string, epoch: number, incarnation: number) => {
      const at = 2 * bucketOf(name, bucketCount);
      const [low, high] = identityHash(name, epoch, incarnation);
      hashes[at] = ((hashes[at] ?? 0) ^ low) >>> 0;
      hashes[at + 1] = ((hashes[at + 1] ?? 0) ^ high) >>> 0;
    };
    const { self, table } = this.#context;
    if (self.state === 'active') add(self.name, self.epoch, self.incarnation);
    for (const entry of table.all()) {
      if (isLive(entry)) add(entry.name, entry.epoch, entry.incarnation);
    }
    return hashes;
  }

  #records(bucketCount: number, buckets: readonly number[]): MemberRecord[] {
    const { self, table, now } = this.#context;
    const wanted = new Set(buckets);
    const records: MemberRecord[] = [];
    if (wanted.has(bucketOf(self.name, bucketCount))) records.push(this.#context.selfRecord());
    let room = FRAME_BYTES_MAX - FRAME_RESERVE_BYTES;
    for (const entry of table.all()) {
      if (!wanted.has(bucketOf(entry.name, bucketCount))) continue;
      const record = recordOf(entry, now);
      room -= recordBytes(record);
      if (room < 0 || records.length >= SYNC_RECORDS_MAX) break;
      records.push(record);
    }
    return records;
  }
}

/** By the name only, so that all identities of a name meet in one bucket. */
function bucketOf(name: string, bucketCount: number): number {
  return identityHash(name, 0, 0)[0] & (bucketCount - 1);
}
