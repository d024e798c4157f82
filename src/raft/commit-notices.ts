/**
 * Holds back, for a few milliseconds, appends that only say a new commit index: while writes go on
 * the next entries carry it anyway, so half of a leader's messages need not be sent at all. To the
 * protocol it is a message that is late or lost. Whoever reads through a follower learns the commit
 * index from the heartbeat that confirms the read, and does not wait for this.
 *
 * A notice is an append without entries that begins where the last one to this member ended and
 * says a larger commit index. Probes, and appends that ask for an acknowledgement, go at once.
 */
import type { Clock, LogIndex, Ms, NodeId, Term, Timer } from '../base/index.js';
import type { Message } from './types.js';

/** Less than what a follower takes to notice anything, more than a synced write takes. */
const HOLD_MS: Ms = 4;

interface Sent {
  readonly term: Term;
  /** Index of its last entry. */
  readonly end: LogIndex;
  readonly commit: LogIndex;
}

export class CommitNotices {
  readonly #clock: Pick<Clock, 'setTimer'>;
  readonly #send: (to: NodeId, message: Message) => void;
  readonly #sent = new Map<NodeId, Sent>();
  readonly #held = new Map<NodeId, Message>();
  #timer: Timer | undefined;

  constructor(clock: Pick<Clock, 'setTimer'>, send: (to: NodeId, message: Message) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  send(to: NodeId, message: Message): void {
    if (message.type !== 'append') {
      this.#send(to, message);
      return;
    }
    const { term, prevIndex, commit, entries } = message;
    const last = this.#sent.get(to);
    const isNotice =
      entries.length === 0 && last?.term === term && last.end === prevIndex && last.commit < commit;
    this.#sent.set(to, { term, end: prevIndex + entries.length, commit });
    if (isNotice) {
      this.#held.set(to, message);
      this.#timer ??= this.#clock.setTimer(HOLD_MS, () => this.#release());
      return;
    }
    // It says all that the notice would have said.
    this.#held.delete(to);
    this.#send(to, message);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#held.clear();
  }

  #release(): void {
    this.#timer = undefined;
    const held = [...this.#held];
    this.#held.clear();
    for (const [to, message] of held) this.#send(to, message);
  }
}
