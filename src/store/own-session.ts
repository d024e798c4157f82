/**
 * The node's own session: numbers its requests, says which answers have arrived, and keeps the
 * requests in flight within the window that the state machine remembers (sessions.ts).
 *
 * Registered when first needed, and anew after it was evicted.
 */
import { type Clock, IdunnoError, type LogIndex, type Ms } from '../base/index.js';
import { SESSION_WINDOW } from './sessions.js';

export interface NumberedRequest {
  readonly session: LogIndex;
  readonly seq: number;
  readonly ackedBelow: number;
}

export class OwnSession {
  readonly #clock: Clock;
  readonly #register: (timeoutMs: Ms) => Promise<LogIndex>;
  #session: Promise<LogIndex> | undefined;
  #id: LogIndex | undefined;
  #nextSeq = 1;
  /** Ascending, since numbers are given in order: the first is the oldest. */
  #unsettled = new Set<number>();
  #sleepers: (() => void)[] = [];

  constructor(clock: Clock, register: (timeoutMs: Ms) => Promise<LogIndex>) {
    this.#clock = clock;
    this.#register = register;
  }

  /** The next number; waits while the oldest request is a whole window behind. */
  async begin(timeoutMs: Ms): Promise<NumberedRequest> {
    const endsAtMs = this.#clock.now() + timeoutMs;
    for (;;) {
      const session = await this.#open(Math.max(1, endsAtMs - this.#clock.now()));
      if (session !== this.#id) this.#startNumbering(session);
      const ackedBelow = this.#oldest();
      if (this.#nextSeq - ackedBelow < SESSION_WINDOW) {
        const seq = this.#nextSeq;
        this.#nextSeq += 1;
        this.#unsettled.add(seq);
        return { session, seq, ackedBelow };
      }
      if (this.#clock.now() >= endsAtMs) {
        throw new IdunnoError('BUSY', `${SESSION_WINDOW} commands of this node wait for answers`);
      }
      await this.#oneSettles(endsAtMs);
    }
  }

  /** Its outcome has arrived, or nobody will ask for it again. */
  settle(request: NumberedRequest): void {
    if (request.session !== this.#id) return;
    this.#unsettled.delete(request.seq);
    for (const wake of this.#sleepers.splice(0)) wake();
  }

  /** The state machine does not know this session any more: the next request opens another. */
  async forget(session: LogIndex): Promise<void> {
    const current = await this.#session?.catch(() => undefined);
    if (current === session) this.#session = undefined;
  }

  /** Numbers belong to a session: requests of an older one do not count here any more. */
  #startNumbering(session: LogIndex): void {
    this.#id = session;
    this.#nextSeq = 1;
    this.#unsettled = new Set();
    for (const wake of this.#sleepers.splice(0)) wake();
  }

  #oldest(): number {
    const [oldest = this.#nextSeq] = this.#unsettled;
    return oldest;
  }

  #open(timeoutMs: Ms): Promise<LogIndex> {
    if (this.#session === undefined) {
      const session = this.#register(timeoutMs);
      this.#session = session;
      session.catch(() => {
        if (this.#session === session) this.#session = undefined;
      });
    }
    return this.#session;
  }

  #oneSettles(endsAtMs: Ms): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(endsAtMs - this.#clock.now(), resolve);
      this.#sleepers.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}
