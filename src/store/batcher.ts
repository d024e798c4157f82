/**
 * Puts commands that come together into one log entry. Natural batching: up to ENTRIES_IN_FLIGHT
 * entries are on their way to a quorum at once; what comes meanwhile shares the next. No timers, no
 * linger: a lone command leaves at the end of the present turn.
 */
import { assert, asIdunnoError, IdunnoError, type Ms } from '../base/index.js';
import type { Proposed } from '../raft/index.js';
import {
  type CommandRequest,
  ENTRY_COMMANDS_MAX,
  encodeCommand,
  joinCommands,
  type Outcome,
  REGISTER_SESSION,
} from './command.js';

/** What the batcher needs of the Raft driver. */
export interface Proposer {
  propose(data: Uint8Array, options: { timeoutMs: Ms }): Promise<Proposed>;
}

interface Waiting {
  readonly bytes: Uint8Array;
  /** A registration's session is its entry's index: it shares the entry with nobody. */
  readonly isAlone: boolean;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: IdunnoError) => void;
}

/** Two fill the pipe, as in replication; the others wait and coalesce. */
const ENTRIES_IN_FLIGHT = 2;
const ENTRY_BYTES_MAX = 256 * 1024;
const WAITING_MAX = 10_000;
/** An entry that no quorum takes for so long is given up as unknown. */
const COMMIT_TIMEOUT_MS: Ms = 10_000;

export class Batcher {
  readonly #proposer: Proposer;
  #waiting: Waiting[] = [];
  #inFlight = 0;
  #isPlanned = false;

  constructor(proposer: Proposer) {
    this.#proposer = proposer;
  }

  /** The command's outcome, or a throw that says what is known: NOT_LEADER, BUSY, UNKNOWN_OUTCOME. */
  submit(request: CommandRequest): Promise<Outcome> {
    if (this.#waiting.length >= WAITING_MAX) {
      const text = `${WAITING_MAX} commands wait at the leader`;
      return Promise.reject(new IdunnoError('BUSY', text, { retryAfterMs: 50 }));
    }
    const bytes = encodeCommand(request);
    const isAlone = request.name === REGISTER_SESSION && request.session === 0;
    const promise = new Promise<Outcome>((resolve, reject) => {
      this.#waiting.push({ bytes, isAlone, resolve, reject });
    });
    this.#plan();
    return promise;
  }

  #plan(): void {
    if (this.#isPlanned || this.#inFlight >= ENTRIES_IN_FLIGHT) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      while (this.#waiting.length > 0 && this.#inFlight < ENTRIES_IN_FLIGHT) this.#proposeNext();
    });
  }

  #proposeNext(): void {
    const taken = this.#take();
    const data = joinCommands(taken.map(({ bytes }) => bytes));
    this.#inFlight += 1;
    this.#proposer
      .propose(data, { timeoutMs: COMMIT_TIMEOUT_MS })
      .then(
        ({ result }) => settle(taken, result as readonly Outcome[]),
        (error: unknown) => {
          for (const { reject } of taken) reject(asIdunnoError(error));
        },
      )
      .finally(() => {
        this.#inFlight -= 1;
        this.#plan();
      });
  }

  #take(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count > 0 && (waiting.isAlone || bytes + waiting.bytes.length > ENTRY_BYTES_MAX)) break;
      count += 1;
      bytes += waiting.bytes.length;
      if (waiting.isAlone || count === ENTRY_COMMANDS_MAX) break;
    }
    return this.#waiting.splice(0, count);
  }
}

function settle(taken: readonly Waiting[], outcomes: readonly Outcome[]): void {
  assert(outcomes.length === taken.length, 'one outcome per command');
  for (const [at, { resolve }] of taken.entries()) {
    const outcome = outcomes[at];
    assert(outcome !== undefined, 'one outcome per command');
    resolve(outcome);
  }
}
