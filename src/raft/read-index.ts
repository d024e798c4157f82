/**
 * Linearizable reads without a log entry (dissertation §6.4, ReadIndex).
 *
 * 1. Until the leader has committed an entry of its own term its commit index may lie behind what
 *    earlier leaders acknowledged: reads are parked.
 * 2. A read takes the commit index as its read index, and then a number. Heartbeats carry the
 *    newest number; the read is answered when a quorum has confirmed that number or a later one,
 *    each in an answer to a heartbeat sent after the read came in.
 * 3. The state machine must then have applied the read index; the driver waits for that.
 *
 * Numbers grow by one per round and are never reused within a term, so a late answer to an old
 * heartbeat confirms old reads only (etcd-io/raft had a stale read by reusing request contexts).
 * One round is on its way at a time; reads that come meanwhile share the next one.
 */
import type { LogIndex, NodeId } from '../base/index.js';
import { quorumValue } from './quorum.js';
import type { RaftState } from './state.js';

interface PendingRead {
  readonly id: number;
  readonly index: LogIndex;
}

interface Round {
  readonly number: number;
  readonly reads: readonly PendingRead[];
}

export class ReadQueue {
  /** The newest number sent; heartbeats carry it. */
  number = 0;
  /** Ids that wait for this term's first commit. */
  parked: number[] = [];
  /** Reads that wait for the next round. */
  waiting: PendingRead[] = [];
  /** Rounds on their way, oldest first. More than one only after a lost one. */
  rounds: Round[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  park(id: number): void {
    this.#size += 1;
    this.parked.push(id);
  }

  add(id: number, index: LogIndex): void {
    this.#size += 1;
    this.waiting.push({ id, index });
  }

  /** The term's first commit: parked reads become ordinary ones. */
  release(index: LogIndex): void {
    for (const id of this.parked) this.waiting.push({ id, index });
    this.parked = [];
  }

  /** Numbers the waiting reads; the caller broadcasts the number. */
  startRound(): void {
    if (this.waiting.length === 0) return;
    this.number += 1;
    this.rounds.push({ number: this.number, reads: this.waiting });
    this.waiting = [];
  }

  /** Reads whose round a quorum has confirmed. */
  takeConfirmed(number: number): PendingRead[] {
    const confirmed: PendingRead[] = [];
    for (let first = this.rounds[0]; first !== undefined; first = this.rounds[0]) {
      if (first.number > number) break;
      confirmed.push(...first.reads);
      this.rounds.shift();
    }
    this.#size -= confirmed.length;
    return confirmed;
  }

  /** All ids, when leadership ends. */
  takeAll(): number[] {
    const ids = [...this.parked];
    for (const round of this.rounds) ids.push(...round.reads.map((read) => read.id));
    ids.push(...this.waiting.map((read) => read.id));
    this.parked = [];
    this.rounds = [];
    this.waiting = [];
    this.#size = 0;
    return ids;
  }
}

/** Answers every read whose number a quorum has confirmed. The leader confirms by itself. */
export function answerReads(state: RaftState): void {
  const leading = state.leading;
  if (leading === undefined || leading.reads.rounds.length === 0) return;
  const { reads, progress } = leading;
  const confirmed = quorumValue(state.conf, (voter: NodeId) =>
    voter === state.self ? reads.number : (progress.get(voter)?.readAck ?? 0),
  );
  for (const read of reads.takeConfirmed(confirmed)) {
    state.emit({ kind: 'read-ready', id: read.id, index: read.index });
  }
}

/** Leadership ended: nobody may be left waiting. */
export function rejectReads(state: RaftState, leader: NodeId | undefined): void {
  for (const id of state.leading?.reads.takeAll() ?? []) {
    state.emit({ kind: 'read-rejected', id, leader });
  }
}
