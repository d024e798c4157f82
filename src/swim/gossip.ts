/**
 * Which members there is news about, and how often each was passed on. What is said is made from
 * the member's entry at the moment of sending, so a rumour is never out of date and its age is
 * right; a newer claim about the same member replaces the older one by itself.
 *
 * Order: fewest transmissions first (SWIM §4.1), then first come. A rumour is dropped after
 * 4 × ceil(log10(N + 1)) transmissions, when it has reached everybody with high probability.
 */
import { assert, type NodeId } from '../base/index.js';
import type { MemberRecord } from './messages.js';

/** Times that each rumour is sent by one node, in a cluster of `memberCount`. */
export function transmissionsMax(memberCount: number): number {
  return 4 * Math.max(1, Math.ceil(Math.log10(memberCount + 1)));
}

export class RumourQueue {
  /** #byCount[k]: names sent k times so far. */
  readonly #byCount: Set<NodeId>[] = [];
  readonly #countOf = new Map<NodeId, number>();

  get size(): number {
    return this.#countOf.size;
  }

  /** There is news about the member; what was said of it before no longer counts. */
  add(name: NodeId): void {
    this.remove(name);
    this.#place(name, 0);
  }

  remove(name: NodeId): void {
    const count = this.#countOf.get(name);
    if (count === undefined) return;
    this.#byCount[count]?.delete(name);
    this.#countOf.delete(name);
  }

  /**
   * Takes the rumours that fit into `bytes`, counting one transmission for each.
   * `describe` gives the record and its size, or undefined when there is nothing left to say.
   */
  take(
    bytes: number,
    limit: number,
    describe: (name: NodeId) => { record: MemberRecord; bytes: number } | undefined,
  ): MemberRecord[] {
    const taken: { name: NodeId; count: number }[] = [];
    const records: MemberRecord[] = [];
    let room = bytes;
    for (let count = 0; count < this.#byCount.length && room > 0; count++) {
      for (const name of this.#byCount[count] ?? []) {
        const described = describe(name);
        if (described === undefined) {
          this.remove(name);
          continue;
        }
        // Sizes differ little: the first that does not fit ends the packet.
        if (described.bytes > room) room = 0;
        if (room === 0) break;
        room -= described.bytes;
        records.push(described.record);
        taken.push({ name, count });
      }
    }
    for (const { name, count } of taken) this.#passOn(name, count + 1, limit);
    return records;
  }

  #passOn(name: NodeId, count: number, limit: number): void {
    this.remove(name);
    if (count < limit) this.#place(name, count);
  }

  #place(name: NodeId, count: number): void {
    assert(count >= 0 && count < 1000, 'a rumour is repeated without end');
    while (this.#byCount.length <= count) this.#byCount.push(new Set());
    this.#byCount[count]?.add(name);
    this.#countOf.set(name, count);
  }
}
