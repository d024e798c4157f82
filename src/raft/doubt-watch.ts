/**
 * What a suspect node does besides waiting for a leader: it asks the others whether they are suspect
 * as well. Where too few trusted voters are left for a majority no leader can ever come up by
 * itself, and nothing may be guessed: whoever guesses wrong throws acknowledged writes away. Then it
 * says so, and what a person can do.
 *
 *     raft.doubt  [] → reason, or null where the node is trusted
 */
import type { Clock, LogIndex, Logger, Ms, NodeId } from '../base/index.js';
import type { Rpc } from '../net/index.js';
import { majority } from './quorum.js';
import type { LogStore } from './types.js';

export interface DoubtWatchParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keeps the note that this node is suspect, for the next boot. */
  readonly logStore: LogStore;
  readonly self: NodeId;
  /** All that have a vote, this node among them. */
  readonly voters: () => readonly NodeId[];
  readonly hasLeader: () => boolean;
}

const DOUBT = 'raft.doubt';
const ASK_EVERY_MS: Ms = 1_000;
const ASK_TIMEOUT_MS: Ms = 500;
const COMPLAIN_EVERY_MS: Ms = 30_000;

export class DoubtWatch {
  readonly #parts: DoubtWatchParts;
  #reason: string | undefined;
  #stuck: string | undefined;

  constructor(parts: DoubtWatchParts) {
    this.#parts = parts;
    parts.rpc.handle(DOUBT, () => ({ value: this.#reason ?? null }));
  }

  /** Why this node is suspect; undefined: it is trusted. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Why there can be no leader without help. */
  get stuck(): string | undefined {
    return this.#stuck;
  }

  /** It has everything again. */
  trust(applied: LogIndex): void {
    this.#reason = undefined;
    this.#stuck = undefined;
    const { logStore, log } = this.#parts;
    logStore.trust().then(
      () => log.info('raft.trusted', { applied }),
      // It stays noted: the next boot asks a leader once more, which costs nothing but that.
      (error: unknown) => log.warn('raft.note-not-removed', { error }),
    );
  }

  /** Watches until this node is trusted or the signal aborts. */
  async suspect(reason: string, signal: AbortSignal): Promise<void> {
    const isRunning = this.#reason !== undefined;
    const { clock, log, hasLeader } = this.#parts;
    this.#reason = reason;
    log.warn('raft.suspect', { reason });
    if (isRunning) return;
    let complainAt = Number.NEGATIVE_INFINITY;
    while (this.#reason !== undefined) {
      await clock.sleep(ASK_EVERY_MS, signal);
      this.#stuck = hasLeader() ? undefined : await this.#whyStuck(signal);
      if (this.#stuck === undefined || clock.now() < complainAt) continue;
      complainAt = clock.now() + COMPLAIN_EVERY_MS;
      log.error('raft.majority-suspect', { reason: this.#stuck });
    }
  }

  async #whyStuck(signal: AbortSignal): Promise<string | undefined> {
    const { self, voters } = this.#parts;
    const all = voters();
    const others = all.filter((name) => name !== self);
    const answers = await Promise.all(others.map((name) => this.#isSuspect(name, signal)));
    const suspects = [self, ...others.filter((_, at) => answers[at])]
      .filter((name) => all.includes(name))
      .sort();
    if (this.#reason === undefined || all.length - suspects.length >= majority(all.length)) {
      return undefined;
    }
    return (
      `${suspects.join(', ')} of the coordinators ${[...all].sort().join(', ')} may have lost ` +
      'acknowledged writes: no leader can be trusted, and none is elected. Start the coordinators ' +
      'that are down, or restore a data folder from before the damage; run "idunno raft doctor" ' +
      'on each stopped node to see what it still has'
    );
  }

  async #isSuspect(name: NodeId, signal: AbortSignal): Promise<boolean> {
    try {
      const { value } = await this.#parts.rpc.call(name, DOUBT, [], {
        timeoutMs: ASK_TIMEOUT_MS,
        signal,
      });
      return typeof value === 'string';
    } catch {
      // Unknown is not suspect: it may come back and be trusted.
      return false;
    }
  }
}
