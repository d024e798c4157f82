/**
 * Small chores of the leader: closes intents whose time is over, prunes what deletes hid, forgets
 * old request numbers. Each is a command that checks again what was seen here.
 */
import { asIdunnoError, type Clock, type Logger } from '../base/index.js';
import type { Key, LeaderDuty, LocalStore } from '../store/index.js';
import { BLOBS_PER_ORDER_MAX } from './limits.js';
import { shareSignal } from './node-calls.js';
import { INTENTS, TOKENS, TOMBS } from './tables.js';

export interface HousekeeperParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: LocalStore;
}

export interface HousekeeperOptions {
  /** Versions of a deleted file stay readable to those who pinned them for so long. */
  readonly pruneAfterMs: number;
}

const PERIOD_MS = 15_000;
/** Request numbers are remembered for an hour, longer than anyone retries. */
const FORGET_AFTER_MS = 3_600_000;
/** Rounds between two looks at them: ten minutes. */
const FORGET_EVERY = 40;
const SCAN_MAX = 1_000;
/** Between two pages of a long scan others get their turn. */
const SCAN_PAUSE_MS = 20;
const PROPOSE_MS = 10_000;

export class Housekeeper implements LeaderDuty {
  readonly name = 'sdfs.housekeeping';
  readonly #options: HousekeeperOptions;
  readonly #parts: HousekeeperParts;

  constructor(options: HousekeeperOptions, parts: HousekeeperParts) {
    this.#options = options;
    this.#parts = parts;
  }

  lead(_term: number, signal: AbortSignal): void {
    this.#run(shareSignal(signal)).catch((error: unknown) => {
      if (!signal.aborted) this.#parts.logger.error('sdfs.housekeeping-ended', { error });
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round += 1) {
      await this.#parts.clock.sleep(PERIOD_MS, signal);
      try {
        await this.#expireIntents(signal);
        await this.#prune(signal);
        if (round % FORGET_EVERY === 0) await this.#forgetTokens(signal);
      } catch (error) {
        if (signal.aborted) return;
        const text = asIdunnoError(error).message;
        this.#parts.logger.warn('sdfs.housekeeping-failed', { error: text });
      }
    }
  }

  async #expireIntents(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    const over: number[] = [];
    for await (const [key, row] of store.view().scan(INTENTS, { limit: SCAN_MAX })) {
      if (row.until <= clock.wall()) over.push(key[0] as number);
    }
    for (let at = 0; at < over.length; at += BLOBS_PER_ORDER_MAX) {
      const blobs = over.slice(at, at + BLOBS_PER_ORDER_MAX);
      await store.propose('sdfs.expire', [blobs], { signal, timeoutMs: PROPOSE_MS });
    }
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    const beforeMs = Math.max(0, Math.floor(clock.wall()) - this.#options.pruneAfterMs);
    const names: string[] = [];
    for await (const [key, row] of store.view().scan(TOMBS, { limit: SCAN_MAX })) {
      if (row.ms < beforeMs) names.push(String(key[0]));
    }
    for (const name of names) {
      const prune = (): Promise<unknown> =>
        store.propose('sdfs.prune', [name, beforeMs], { signal, timeoutMs: PROPOSE_MS });
      while ((await prune()) === true) if (signal.aborted) return;
    }
  }

  async #forgetTokens(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    const beforeMs = Math.max(0, Math.floor(clock.wall()) - FORGET_AFTER_MS);
    let after: Key | undefined;
    for (;;) {
      const range = after === undefined ? {} : { after };
      const old: Key[] = [];
      let seen = 0;
      for await (const [key, row] of store.view().scan(TOKENS, { ...range, limit: SCAN_MAX })) {
        if (row.ms < beforeMs) old.push(key);
        after = key;
        seen += 1;
      }
      for (let at = 0; at < old.length; at += BLOBS_PER_ORDER_MAX) {
        const batch = old.slice(at, at + BLOBS_PER_ORDER_MAX);
        await store.propose('sdfs.forget', [beforeMs, batch], { signal, timeoutMs: PROPOSE_MS });
      }
      if (seen < SCAN_MAX) return;
      await clock.sleep(SCAN_PAUSE_MS, signal);
    }
  }
}
