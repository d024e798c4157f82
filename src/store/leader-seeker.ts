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
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Ms,
  type NodeId,
  nodeId,
  type Rng,
} from '../base/index.js';

export interface SeekOptions {
  readonly what: string;
  /** An attempt may change something: then a timeout leaves an unknown outcome. */
  readonly mayAct: boolean;
  readonly timeoutMs: Ms;
  readonly signal: AbortSignal | undefined;
  /** Silence after which another is asked; doubles up to `silenceMsMax`. */
  readonly silenceMs: Ms;
  readonly silenceMsMax: Ms;
}

export type Attempt<T> = (target: NodeId, timeoutMs: Ms, signal: AbortSignal) => Promise<T>;

export interface Sought<T> {
  readonly value: T;
  /** No other attempt may have had an effect. */
  readonly isOnlyAttempt: boolean;
}

export interface LeaderSeekerParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly coordinators: readonly NodeId[];
}

type Ended<T> =
  | { readonly kind: 'value'; readonly target: NodeId; readonly value: T }
  | { readonly kind: 'error'; readonly target: NodeId; readonly error: IdunnoError }
  | { readonly kind: 'silence' };

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
  readonly #sleepers = new Set<() => void>();
  #leader: NodeId | undefined;
  #lastAsked = -1;

  constructor(parts: LeaderSeekerParts) {
    this.#parts = parts;
    this.#lastAsked = parts.rng.int(Math.max(1, parts.coordinators.length)) - 1;
  }

  /** The leader as far as anybody has said. */
  get leader(): NodeId | undefined {
    return this.#leader;
  }

  /** This node has learned who leads: whoever pauses goes on at once. */
  learn(leader: NodeId | undefined): void {
    this.#leader = leader;
    if (leader === undefined) return;
    for (const wake of this.#sleepers) wake();
  }

  async seek<T>(attempt: Attempt<T>, options: SeekOptions): Promise<Sought<T>> {
    const search = new Search(attempt, options, this.#parts.clock);
    try {
      let target: NodeId | undefined = this.#leader ?? this.#next(search);
      for (;;) {
        if (target !== undefined) search.start(target);
        const ended = await search.next();
        if (ended.kind === 'value') {
          this.#leader = ended.target;
          return { value: ended.value, isOnlyAttempt: !search.mayHaveActed };
        }
        target =
          ended.kind === 'silence'
            ? this.#next(search)
            : await this.#afterError(search, ended.target, ended.error);
      }
    } finally {
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
        if (hint === undefined || search.isAsking(hint)) break;
        // A hint that has just failed is old news: give the others time to notice.
        if (search.lastErrorOf(hint) === 'lost') break;
        return hint;
      }
      case 'CONNECTION_LOST':
      case 'TIMEOUT':
      case 'UNAVAILABLE':
      case 'UNKNOWN_OUTCOME':
        search.markLost(from);
        if (search.triedInRound < this.#parts.coordinators.length) return this.#next(search);
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
    const { coordinators } = this.#parts;
    for (let tries = 0; tries < coordinators.length; tries += 1) {
      this.#lastAsked = (this.#lastAsked + 1) % coordinators.length;
      const candidate = coordinators[this.#lastAsked];
      if (candidate !== undefined && !search.isAsking(candidate)) return candidate;
    }
    return undefined;
  }

  async #pause<T>(search: Search<T>, error: IdunnoError): Promise<void> {
    const { clock, rng } = this.#parts;
    const wanted = error.data['retryAfterMs'];
    const [fromMs, toMs] = PAUSE_MS;
    const baseMs = typeof wanted === 'number' ? Math.min(wanted, PAUSE_MS_MAX) : fromMs;
    const pauseMs = baseMs + rng.float() * (toMs - fromMs);
    search.newRound();
    await search.unlessOver(
      new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.cancel();
          this.#sleepers.delete(wake);
          resolve();
        };
        const timer = clock.setTimer(pauseMs, wake);
        this.#sleepers.add(wake);
      }),
    );
  }
}

/** One call's attempts, its deadline and its signal. */
class Search<T> {
  readonly #attempt: Attempt<T>;
  readonly #options: SeekOptions;
  readonly #clock: Clock;
  readonly #endsAtMs: Ms;
  readonly #abort = new AbortController();
  readonly #asking = new Map<NodeId, Promise<Ended<T>>>();
  readonly #lost = new Set<NodeId>();
  /** Rejects when the time is over or the caller gives up. */
  readonly #over: Promise<never>;
  readonly #cleanUp: () => void;
  #silenceMs: Ms;
  #tried = 0;
  #mayHaveActed = false;
  #lastError: IdunnoError | undefined;

  constructor(attempt: Attempt<T>, options: SeekOptions, clock: Clock) {
    this.#attempt = attempt;
    this.#options = options;
    this.#clock = clock;
    this.#silenceMs = options.silenceMs;
    this.#endsAtMs = clock.now() + options.timeoutMs;
    const { signal, timeoutMs } = options;
    let rejectOver: (error: unknown) => void = () => undefined;
    this.#over = new Promise<never>((_, reject) => {
      rejectOver = reject;
    });
    this.#over.catch(() => undefined);
    const timer = clock.setTimer(timeoutMs, () => rejectOver(this.#timeoutError()));
    const onAbort = (): void => rejectOver(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    this.#cleanUp = () => {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    };
  }

  /** Some attempt may take effect although it was not answered. */
  get mayHaveActed(): boolean {
    return this.#mayHaveActed || this.#asking.size > 0;
  }

  /** Attempts since the last pause. */
  get triedInRound(): number {
    return this.#tried;
  }

  isAsking(target: NodeId): boolean {
    return this.#asking.has(target);
  }

  lastErrorOf(target: NodeId): 'lost' | undefined {
    return this.#lost.has(target) ? 'lost' : undefined;
  }

  markLost(target: NodeId): void {
    this.#lost.add(target);
  }

  noteError(error: IdunnoError): void {
    this.#lastError = error;
    if (error.effect === 'unknown') this.#mayHaveActed = true;
  }

  newRound(): void {
    this.#tried = 0;
    this.#lost.clear();
  }

  start(target: NodeId): void {
    this.#tried += 1;
    const timeoutMs = Math.max(1, this.#endsAtMs - this.#clock.now());
    const asked = this.#attempt(target, timeoutMs, this.#abort.signal).then(
      (value): Ended<T> => ({ kind: 'value', target, value }),
      (error: unknown): Ended<T> => ({ kind: 'error', target, error: asIdunnoError(error) }),
    );
    this.#asking.set(target, asked);
  }

  /** The next attempt to end, or silence. */
  async next(): Promise<Ended<T>> {
    const { silenceMsMax } = this.#options;
    let wake: () => void = () => undefined;
    const silence = new Promise<Ended<T>>((resolve) => {
      wake = () => resolve({ kind: 'silence' });
    });
    const timer = this.#clock.setTimer(this.#silenceMs, wake);
    try {
      const ended = await this.unlessOver(Promise.race([silence, ...this.#asking.values()]));
      if (ended.kind === 'silence') {
        this.#silenceMs = Math.min(this.#silenceMs * 2, silenceMsMax);
      } else {
        this.#asking.delete(ended.target);
      }
      return ended;
    } finally {
      timer.cancel();
    }
  }

  unlessOver<V>(promise: Promise<V>): Promise<V> {
    return Promise.race([promise, this.#over]);
  }

  end(): void {
    this.#cleanUp();
    this.#abort.abort(new IdunnoError('ABORTED', 'another answer came first'));
  }

  #timeoutError(): IdunnoError {
    const { what, timeoutMs, mayAct } = this.#options;
    const why = this.#lastError === undefined ? 'nobody answered' : this.#lastError.message;
    const data = { lastError: this.#lastError?.code ?? null };
    if (mayAct && this.mayHaveActed) {
      const text = `${what} was not answered within ${timeoutMs} ms: ${why}`;
      return new IdunnoError('UNKNOWN_OUTCOME', text, data);
    }
    const text = `${what} found no leader that answers within ${timeoutMs} ms: ${why}`;
    return new IdunnoError('NO_LEADER', text, data);
  }
}
