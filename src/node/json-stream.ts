/**
 * JSON lines as the body of an answer. An answer's status has left before its body ends, so an
 * error on the way becomes the last line: `{"fault": [code, message, data]}`.
 */
import { asIdunnoError } from '../base/index.js';
import { writeJsonLines } from '../cli/index.js';

/** Values as lines, gathered into frames; the error, if any, as the last one. */
export function jsonLines(values: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  return writeJsonLines(withFault(values));
}

async function* withFault(values: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* values;
  } catch (error) {
    yield { fault: asIdunnoError(error).toWire() };
  }
}

/** Progress lines that nobody reads are worth nothing: the oldest go. */
const WAITING_MAX = 256;

/** Lines that are pushed, each sent at once. */
export class Lines implements AsyncIterable<Uint8Array> {
  private waiting: Uint8Array[] = [];
  private isEnded = false;
  private wake: (() => void) | undefined;

  push(value: unknown): void {
    if (this.isEnded) return;
    this.waiting.push(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    if (this.waiting.length > WAITING_MAX) this.waiting.shift();
    this.wake?.();
  }

  /** The last line. */
  end(value: unknown): void {
    this.push(value);
    this.isEnded = true;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = this.waiting.shift();
      if (next !== undefined) yield next;
      else if (this.isEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }
}
