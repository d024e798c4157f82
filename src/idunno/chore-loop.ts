/**
 * Does the leader's chores (chores.ts) until none is left, one round at a time, whenever something
 * has changed. A round that fails, or that changes nothing, is repeated after a pause.
 */
import { asIdunnoError, type Clock, IdunnoError, type Logger } from '../base/index.js';
import type { LocalStore } from '../store/index.js';
import { findChores } from './chores.js';

export interface ChoreLoopDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly local: Pick<LocalStore, 'view' | 'propose'>;
}

const PROPOSE_TIMEOUT_MS = 5_000;
const RETRY_MS = 200;

export class ChoreLoop {
  readonly #deps: ChoreLoopDeps;
  readonly #signal: AbortSignal;
  #isBusy = false;
  #isDue = false;

  /** `signal`: leadership has ended. */
  constructor(deps: ChoreLoopDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** Something may have to be put right. */
  look(): void {
    this.#isDue = true;
    if (this.#isBusy || this.#signal.aborted) return;
    this.#isBusy = true;
    void this.#run().finally(() => {
      this.#isBusy = false;
    });
  }

  async #run(): Promise<void> {
    let last = '';
    while (this.#isDue && !this.#signal.aborted) {
      this.#isDue = false;
      try {
        last = await this.#round(last);
      } catch (error) {
        if (this.#signal.aborted) return;
        const { code, message } = asIdunnoError(error);
        this.#deps.log.warn('idunno.chore.failed', { code, message });
        await this.#deps.clock.sleep(RETRY_MS, this.#signal).catch(() => undefined);
        this.#isDue = true;
      }
    }
  }

  /** Returns what it did, as text; throws when that is what was done before. */
  async #round(last: string): Promise<string> {
    const { local } = this.#deps;
    const chores = findChores(local.view());
    if (chores.length === 0) return '';
    const text = JSON.stringify(chores);
    if (text === last) {
      throw new IdunnoError('INTERNAL', `a chore changed nothing: ${text.slice(0, 200)}`);
    }
    const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#signal };
    for (const { command, args } of chores) await local.propose(command, args, options);
    this.#isDue = true;
    return text;
  }
}
