/** A client that writes without a rest and knows when each write of the present round ended. */
import { WriteLoop } from '../../drills/lib/write-loop.js';

export interface WriteTime {
  /** performance.now() at the call and at its end. */
  readonly sentMs: number;
  readonly endedMs: number;
  readonly error: string | undefined;
}

/** A cluster that answers nothing for so long has failed the round. */
const NEXT_ACK_TIMEOUT_MS = 30_000;

export class SteadyWriter {
  readonly #loop: WriteLoop;
  readonly #waiting = new Set<() => void>();
  #times: WriteTime[] = [];

  /** `write` is one attempt of the client to have one command acknowledged, retries included. */
  constructor(write: (count: number) => Promise<void>) {
    this.#loop = new WriteLoop({
      write,
      onEnd: ({ sentMs, endedMs, error }) => {
        this.#times.push({ sentMs, endedMs, error: textOf(error) });
        for (const tell of this.#waiting) tell();
      },
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
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

function textOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof Error ? error.message : String(error);
}
