/**
 * One call's search for an answer: its attempts under way, its deadline, its signal. What it knows
 * decides what a timeout means (nothing happened, or nobody can tell). Whom to ask is decided by
 * leader-seeker.ts.
 */
import { asIdunnoError, type Clock, IdunnoError, type Ms, type NodeId } from '../base/index.js';

export interface SearchOptions {
  /** For messages. */
  readonly what: string;
  /** An attempt may change something: then a timeout leaves an unknown outcome. */
  readonly mayAct: boolean;
  readonly timeoutMs: Ms;
  readonly signal: AbortSignal | undefined;
  /** Silence after which another is asked, by how often it has been silent before. */
  readonly silenceMs: (silences: number) => Ms;
  /** One that has been silent for so long may be asked again: its answer may be lost. */
  readonly askAgainMs: Ms;
}

export type Attempt<T> = (target: NodeId, timeoutMs: Ms, signal: AbortSignal) => Promise<T>;

export type Ended<T> =
  | { readonly kind: 'value'; readonly target: NodeId; readonly value: T }
  | { readonly kind: 'error'; readonly target: NodeId; readonly error: IdunnoError }
  /** Nobody answered for a while. */
  | { readonly kind: 'silence' }
  /** This node has learned who leads. */
  | { readonly kind: 'learned'; readonly leader: NodeId };

interface Asked {
  readonly target: NodeId;
  readonly atMs: Ms;
}

export class Search<T> {
  readonly #attempt: Attempt<T>;
  readonly #options: SearchOptions;
  readonly #clock: Clock;
  readonly #endsAtMs: Ms;
  readonly #abort = new AbortController();
  /** Attempts without an answer so far. */
  readonly #asking = new Set<Asked>();
  readonly #ended: Ended<T>[] = [];
  readonly #lost = new Set<NodeId>();
  readonly #cleanUp: () => void;
  /** Why the search is over without an answer. */
  #over: { readonly reason: unknown } | undefined;
  #wake: () => void = () => undefined;
  #silences = 0;
  #tried = 0;
  #mayHaveActed = false;
  #lastError: IdunnoError | undefined;

  constructor(attempt: Attempt<T>, options: SearchOptions, clock: Clock) {
    this.#attempt = attempt;
    this.#options = options;
    this.#clock = clock;
    this.#endsAtMs = clock.now() + options.timeoutMs;
    const { signal, timeoutMs } = options;
    const end = (reason: unknown): void => {
      this.#over ??= { reason };
      this.#wake();
    };
    const timer = clock.setTimer(timeoutMs, () => end(this.#timeoutError()));
    const onAbort = (): void => end(signal?.reason);
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
    const since = this.#clock.now() - this.#options.askAgainMs;
    for (const asked of this.#asking) {
      if (asked.target === target && asked.atMs > since) return true;
    }
    return false;
  }

  /** Could not be reached in this round. */
  isLost(target: NodeId): boolean {
    return this.#lost.has(target);
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
    const asked: Asked = { target, atMs: this.#clock.now() };
    const end = (ended: Ended<T>): void => {
      this.#asking.delete(asked);
      this.#ended.push(ended);
      this.#wake();
    };
    this.#asking.add(asked);
    this.#attempt(target, timeoutMs, this.#abort.signal).then(
      (value) => end({ kind: 'value', target, value }),
      (error: unknown) => end({ kind: 'error', target, error: asIdunnoError(error) }),
    );
  }

  /** What happens next. Throws when the search is over. */
  async next(): Promise<Ended<T>> {
    await this.sleep(this.#options.silenceMs(this.#silences));
    const ended = this.#ended.shift();
    if (ended !== undefined) return ended;
    this.#silences += 1;
    return { kind: 'silence' };
  }

  /** Whoever leads now should be asked, if that is news. */
  suggest(leader: NodeId): void {
    if (this.isAsking(leader)) return;
    this.#ended.push({ kind: 'learned', leader });
    this.#wake();
  }

  /** Ends early when something happens. Throws when the search is over. */
  async sleep(ms: Ms): Promise<void> {
    if (this.#ended.length > 0) return;
    if (this.#over === undefined) await this.#waitForNews(ms);
    if (this.#over !== undefined && this.#ended.length === 0) throw this.#over.reason;
  }

  /**
   * Between two rounds: ends early for an answer or a new leader only. Other attempts that fail at
   * once, as those to this very node do, would else keep each other from ever pausing.
   */
  async pause(ms: Ms): Promise<void> {
    const untilMs = this.#clock.now() + ms;
    while (!this.#ended.some(({ kind }) => kind === 'value' || kind === 'learned')) {
      const leftMs = untilMs - this.#clock.now();
      if (leftMs <= 0) return;
      if (this.#over !== undefined) throw this.#over.reason;
      await this.#waitForNews(leftMs);
    }
  }

  async #waitForNews(ms: Ms): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(ms, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Nobody waits for the other attempts any more. */
  end(): void {
    this.#cleanUp();
    if (this.#asking.size > 0)
      this.#abort.abort(new IdunnoError('ABORTED', 'another answer came first'));
  }

  #timeoutError(): IdunnoError {
    const { what, timeoutMs, mayAct } = this.#options;
    const ms = Math.round(timeoutMs);
    const why = this.#lastError === undefined ? 'nobody answered' : this.#lastError.message;
    const data = { lastError: this.#lastError?.code ?? null };
    if (mayAct && this.mayHaveActed) {
      const text = `${what} was not answered within ${ms} ms: ${why}`;
      return new IdunnoError('UNKNOWN_OUTCOME', text, data);
    }
    const text = `${what} found no leader that answers within ${ms} ms: ${why}`;
    return new IdunnoError('NO_LEADER', text, data);
  }
}
