/**
 * Changes of the members that wait for the core's answer. The core answers in the same step, so
 * none waits for long; what is accepted then goes on by itself.
 */
import { assertNever, IdunnoError, type LogIndex } from '../base/index.js';
import type { ReconfigureAnswer } from './core-loop.js';
import { notLeader } from './pending.js';

interface Waiting {
  readonly resolve: (index: LogIndex | undefined) => void;
  readonly reject: (error: IdunnoError) => void;
}

export class PendingChanges {
  readonly #byId = new Map<number, Waiting>();
  #lastId = 0;

  begin(feed: (id: number) => void): Promise<LogIndex | undefined> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#byId.set(id, { resolve, reject });
      feed(id);
    });
  }

  onAnswer(answer: ReconfigureAnswer): void {
    const waiting = this.#byId.get(answer.id);
    this.#byId.delete(answer.id);
    if (answer.kind === 'reconfigure-accepted') waiting?.resolve(answer.index);
    else waiting?.reject(errorOf(answer));
  }

  rejectAll(why: string): void {
    for (const { reject } of this.#byId.values()) reject(notLeader(undefined, why));
    this.#byId.clear();
  }
}

function errorOf(answer: Extract<ReconfigureAnswer, { kind: 'reconfigure-rejected' }>) {
  const { reason, why, leader } = answer;
  switch (reason) {
    case 'not-leader':
      return notLeader(leader, why);
    case 'not-ready':
    case 'transferring':
      return new IdunnoError('BUSY', `the members cannot be changed now: ${why}`, {
        retryAfterMs: 50,
      });
    case 'pending':
      return new IdunnoError('CHANGE_PENDING', `the members cannot be changed now: ${why}`);
    case 'would-lose-quorum':
      return new IdunnoError('WOULD_LOSE_QUORUM', `the members cannot be changed so: ${why}`);
    case 'impossible':
      return new IdunnoError('BAD_ARGUMENT', `the members cannot be changed so: ${why}`);
    default:
      return assertNever(reason, 'reason');
  }
}
