/**
 * One client that writes one command after the other, as fast as they are acknowledged, and knows
 * when each was sent and answered. Keeps only what the present round needs.
 */

export interface WriteTime {
  /** performance.now() at the call and at its end. */
  readonly sentMs: number;
  readonly endedMs: number;
  readonly error: string | undefined;
}

/** A cluster that answers nothing for so long has failed the round. */
const NEXT_ACK_TIMEOUT_MS = 30_000;
/** After a failure, before the next try: a client that spins would be the load. */
const AFTER_FAILURE_MS = 5;

export class SteadyWriter {
  readonly #write: (count: number) => Promise<void>;
  readonly #waiting = new Set<() => void>();
  #times: WriteTime[] = [];
  #isStopped = false;
  #loop: Promise<void> | undefined;

  /** `write` is one attempt of the client to have one command acknowledged, retries included. */
  constructor(write: (count: number) => Promise<void>) {
    this.#write = write;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
  }

  /** Forgets what was before. */
  beginRound(): void {
    this.#times = [];
  }

  /** Writes of this round so far, in order. */
  get times(): readonly WriteTime[] {
    return this.#times;
  }

  /** The first acknowledged write that was sent at or after this moment. */
  async nextAck(sinceMs: number): Promise<WriteTime> {
    const endsMs = performance.now() + NEXT_ACK_TIMEOUT_MS;
    for (;;) {
      const found = this.#times.find((each) => each.sentMs >= sinceMs && each.error === undefined);
      if (found !== undefined) return found;
      if (performance.now() > endsMs) {
        const last = this.#times.at(-1)?.error ?? 'no answer at all';
        throw new Error(`no write was acknowledged within 30 s: ${last}`);
      }
      await this.#nextEnd();
    }
  }

  async #run(): Promise<void> {
    for (let count = 0; !this.#isStopped; count += 1) {
      const sentMs = performance.now();
      let error: string | undefined;
      try {
        await this.#write(count);
      } catch (thrown) {
        error = thrown instanceof Error ? thrown.message : String(thrown);
      }
      this.#times.push({ sentMs, endedMs: performance.now(), error });
      for (const tell of this.#waiting) tell();
      if (error !== undefined) await new Promise((r) => setTimeout(r, AFTER_FAILURE_MS));
    }
  }

  #nextEnd(): Promise<void> {
    return new Promise((resolve) => {
      const tell = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(tell);
        resolve();
      };
      const timer = setTimeout(tell, 1_000);
      this.#waiting.add(tell);
    });
  }
}
