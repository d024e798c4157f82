/**
 * What a leader knows about one other member, and how it may send to it.
 *
 *            a rejection, silence,            an append
 *            a closed connection              is accepted
 *     ┌──────────────────────────── probe ─────────────────────┐
 *     │                             │   ▲                      ▼
 *  replicate                 needs  │   │ snapshot sent     replicate
 *                        compacted  ▼   │ or failed
 *                          entries  snapshot
 *
 * probe: one append at a time, looking for the point where the logs agree. replicate: optimistic,
 * `next` runs ahead of `match` by at most the in-flight window. snapshot: nothing but heartbeats.
 * (After etcd-io/raft `tracker/progress.go`.)
 *
 * Invariant: match < next. `match` may be lowered only when the follower proves that it lost data.
 */
import { assert, type LogIndex, type Ms } from '../base/index.js';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

interface Inflight {
  readonly lastIndex: LogIndex;
  readonly sentAt: Ms;
}

export class Progress {
  state: ProgressState = 'probe';
  /** The follower's log is known to equal ours, durably, up to here (Raft §5.3 matchIndex). */
  match: LogIndex = 0;
  /** The next entry to send (Raft §5.3 nextIndex). */
  next: LogIndex;
  /**
   * When it last answered anything in this term, or was given the benefit of the doubt: when the
   * leadership began, and when this process was held up itself. Feeds check-quorum.
   */
  activeAt: Ms;
  /** When it last really answered in this term. */
  answeredAt: Ms = Number.NEGATIVE_INFINITY;
  /** It may have forgotten what it once promised, by its own account; undefined: not yet known. */
  isSuspect: boolean | undefined;
  /** Largest read number it has confirmed. */
  readAck = 0;
  /** Largest commit index it was told in an append. */
  commitSent: LogIndex = 0;
  /** probe: a message is out; wait for an answer or the next heartbeat's. */
  isProbeSent = false;
  /** Needed a snapshot, and has not come near the end of the log since. */
  isRecovering = false;
  readonly #inflightMax: number;
  #inflights: Inflight[] = [];

  constructor(next: LogIndex, now: Ms, inflightMax: number) {
    this.next = next;
    this.activeAt = now;
    this.#inflightMax = inflightMax;
  }

  get isPaused(): boolean {
    if (this.state === 'probe') return this.isProbeSent;
    if (this.state === 'replicate') return this.#inflights.length >= this.#inflightMax;
    return true;
  }

  get inflightCount(): number {
    return this.#inflights.length;
  }

  onAnswer(now: Ms): void {
    this.activeAt = now;
    this.answeredAt = now;
  }

  /** Something was sent so long ago that its answer is overdue. */
  isOverdue(now: Ms, afterMs: Ms): boolean {
    const oldest = this.#inflights[0];
    return oldest !== undefined && now - oldest.sentAt >= afterMs;
  }

  becomeProbe(next: LogIndex = this.match + 1): void {
    this.state = 'probe';
    this.next = Math.max(next, this.match + 1);
    this.isProbeSent = false;
    this.#inflights = [];
  }

  becomeReplicate(): void {
    this.state = 'replicate';
    this.next = this.match + 1;
    this.#inflights = [];
  }

  becomeSnapshot(): void {
    this.state = 'snapshot';
    this.isRecovering = true;
    this.#inflights = [];
  }

  /** The follower proved that its log ends before `match`: it lost acknowledged entries. */
  regress(next: LogIndex): void {
    this.match = 0;
    this.becomeProbe(next);
  }

  /** An append ending at `lastIndex` left with `entryCount` entries. */
  onSent(lastIndex: LogIndex, entryCount: number, now: Ms): void {
    if (this.state === 'probe') {
      this.isProbeSent = true;
      return;
    }
    assert(this.state === 'replicate', 'appends are not sent while a snapshot is');
    if (entryCount === 0) return;
    this.next = lastIndex + 1;
    this.#inflights.push({ lastIndex, sentAt: now });
  }

  /** The follower's log equals ours up to `index`. True when that is news. */
  onAccepted(index: LogIndex): boolean {
    this.#inflights = this.#inflights.filter((sent) => sent.lastIndex > index);
    const isNews = index > this.match;
    this.match = Math.max(this.match, index);
    this.next = Math.max(this.next, this.match + 1);
    return isNews;
  }

  /** Sends everything after `index` again. */
  rewindTo(index: LogIndex): void {
    assert(index >= this.match, 'what is matched is not sent again');
    this.next = index + 1;
    this.#inflights = [];
  }
}
