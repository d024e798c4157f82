/**
 * Finds whoever can answer: tries coordinators, follows hints, waits out elections, and asks a
 * second one when the first is silent (it may be frozen, or cut off).
 *
 *     answer ──────────────────────────────▶ done
 *     NOT_LEADER, hint ──▶ the hinted one, at once
 *     refused, lost ─────▶ the next, at once
 *     NO_LEADER, BUSY ───▶ a short jittered pause; ends early when a leader becomes known here
 *     silence ───────────▶ the next as well, while the first is still waited for
 *
 * It never decides whether trying again is safe: it is used with requests that are recognised
 * (sessions), with reads, and with leader methods that may be repeated.
 */
import {
  assertNever,
  type Clock,
  type IdunnoError,
  type Ms,
  type NodeId,
  nodeId,
  type Rng,
} from '../base/index.js';
import { type Attempt, Search, type SearchOptions } from './search.js';

export interface Sought<T> {
  readonly value: T;
  /** No other attempt may have had an effect. */
  readonly isOnlyAttempt: boolean;
}

export interface LeaderSeekerParts {
  readonly clock: Clock;
  readonly rng: Rng;
  /** To begin with; see setCoordinators. */
  readonly coordinators: readonly NodeId[];
}

/** A pause between rounds of asking: [from, to). */
const PAUSE_MS: readonly [Ms, Ms] = [5, 25];
const PAUSE_MS_MAX: Ms = 200;

/** After these the one who was asked is not taken for the leader any more. */
const DETHRONES: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'CONNECTION_LOST',
  'TIMEOUT',
  'UNAVAILABLE',
  'UNKNOWN_OUTCOME',
]);

export class LeaderSeeker {
  readonly #parts: LeaderSeekerParts;
  readonly #searches = new Set<{ suggest(leader: NodeId): void }>();
  #leader: NodeId | undefined;
  #coordinators: readonly NodeId[];
  #lastAsked = -1;

  constructor(parts: LeaderSeekerParts) {
    this.#parts = parts;
    this.#coordinators = parts.coordinators;
    this.#lastAsked = parts.rng.int(Math.max(1, parts.coordinators.length)) - 1;
  }

  /** The leader as far as anybody has said. */
  get leader(): NodeId | undefined {
    return this.#leader;
  }

  /** This node has learned who leads: whoever searches asks there at once. */
  learn(leader: NodeId | undefined): void {
    this.#leader = leader;
    if (leader === undefined) return;
    for (const search of this.#searches) search.suggest(leader);
  }

  /** Whom to ask from now on: members change. */
  setCoordinators(names: readonly NodeId[]): void {
    this.#coordinators = names;
  }

  async seek<T>(attempt: Attempt<T>, options: SearchOptions): Promise<Sought<T>> {
    const search = new Search(attempt, options, this.#parts.clock);
    this.#searches.add(search);
    try {
      let target: NodeId | undefined = this.#leader ?? this.#next(search);
      for (;;) {
        if (target !== undefined) search.start(target);
        const ended = await search.next();
        switch (ended.kind) {
          case 'value':
            this.#leader = ended.target;
            return { value: ended.value, isOnlyAttempt: !search.mayHaveActed };
          case 'error':
            target = await this.#afterError(search, ended.target, ended.error);
            break;
          case 'silence':
            target = this.#next(search);
            break;
          case 'learned':
            target = search.isAsking(ended.leader) ? undefined : ended.leader;
            break;
          default:
            assertNever(ended, 'end of an attempt');
        }
      }
    } finally {
      this.#searches.delete(search);
      search.end();
    }
  }

  /** Whom to ask after an error; undefined: nobody but those already asked. */
  async #afterError<T>(
    search: Search<T>,
    from: NodeId,
    error: IdunnoError,
  ): Promise<NodeId | undefined> {
    if (this.#leader === from && DETHRONES.has(error.code)) this.#leader = undefined;
    search.noteError(error);
    switch (error.code) {
      case 'NOT_LEADER': {
        const hint = this.#hintOf(error, from);
        if (hint === undefined) break;
        // Confirmed: the silent one still leads, as far as others know. Go on waiting for it.
        if (search.isAsking(hint)) return undefined;
        // A hint that has just failed is old news: give the others time to notice.
        if (search.isLost(hint)) break;
        return hint;
      }
      case 'CONNECTION_LOST':
      case 'TIMEOUT':
      case 'UNAVAILABLE':
      case 'UNKNOWN_OUTCOME':
        search.markLost(from);
        if (search.triedInRound < this.#coordinators.length) return this.#next(search);
        break;
      case 'NO_LEADER':
      case 'NOT_READY':
      case 'BUSY':
      case 'NO_SUCH_METHOD':
        break;
      default:
        throw error;
    }
    await this.#pause(search, error);
    return this.#leader !== undefined && !search.isAsking(this.#leader)
      ? this.#leader
      : this.#next(search);
  }

  #hintOf(error: IdunnoError, from: NodeId): NodeId | undefined {
    const hint = error.data['leader'];
    if (typeof hint !== 'string' || hint === from) return undefined;
    return nodeId(hint);
  }

  /** Round robin over those that are not being asked. */
  #next<T>(search: Search<T>): NodeId | undefined {
    const coordinators = this.#coordinators;
    for (let tries = 0; tries < coordinators.length; tries += 1) {
      this.#lastAsked = (this.#lastAsked + 1) % coordinators.length;
      const candidate = coordinators[this.#lastAsked];
      if (candidate !== undefined && !search.isAsking(candidate)) return candidate;
    }
    return undefined;
  }

  async #pause<T>(search: Search<T>, error: IdunnoError): Promise<void> {
    const { rng } = this.#parts;
    const wanted = error.data['retryAfterMs'];
    const [fromMs, toMs] = PAUSE_MS;
    const baseMs = typeof wanted === 'number' ? Math.min(wanted, PAUSE_MS_MAX) : fromMs;
    const pauseMs = baseMs + rng.float() * (toMs - fromMs);
    search.newRound();
    await search.pause(pauseMs);
  }
}
