/**
 * Lets the disk follow what was applied: one synced batch at a time, of all rows that wait.
 *
 * Nobody waits for these batches: replies need the log's disk only, and a restart applies the log
 * again from the durable index. So rows wait for company. Written at once they would cost every
 * command a second synced write, on the disk that the log needs, and rows that change with every
 * command (a counter, a session) would be written each time.
 *
 * A failed write is final: it is told once, and nothing is written after it.
 */
import type { BatchOp, Clock, LogIndex, Ms, Timer } from '../base/index.js';
import { keyToBytes } from './keys.js';
import type { World } from './world.js';

export interface StateWriterParts {
  /** Without it every batch follows at once. */
  readonly clock: Pick<Clock, 'setTimer'> | undefined;
  /** The present world, everything that a batch must hold among its rows. */
  readonly settled: () => World;
  readonly onDurable: (index: LogIndex) => void;
  readonly onFailure: (error: unknown) => void;
}

/** How long rows wait for others, and how many they are at most before they go. */
const FLUSH_AFTER_MS: Ms = 100;
const FLUSH_ROWS = 4_096;

export class StateWriter {
  readonly #parts: StateWriterParts;
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;
  /** Something was applied since the last batch was begun. */
  #isDue = false;
  #hasFailed = false;

  constructor(parts: StateWriterParts) {
    this.#parts = parts;
  }

  /** Something was applied; so many rows wait now. */
  onApplied(pendingRows: number): void {
    this.#isDue = true;
    const { clock } = this.#parts;
    if (clock === undefined || pendingRows >= FLUSH_ROWS) this.#write();
    else if (this.#writing === undefined) {
      this.#timer ??= clock.setTimer(FLUSH_AFTER_MS, () => this.#write());
    }
  }

  /** Resolves when nothing waits for the disk any more, or the disk has failed. */
  async flushed(): Promise<void> {
    do {
      this.#write();
      await this.#writing;
    } while (this.#isDue && !this.#hasFailed);
  }

  #write(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#writing !== undefined || !this.#isDue || this.#hasFailed) return;
    this.#isDue = false;
    this.#writing = this.#writeBatch().then(
      () => {
        this.#writing = undefined;
        if (this.#isDue) this.onApplied(0);
      },
      (error: unknown) => {
        this.#writing = undefined;
        this.#hasFailed = true;
        this.#parts.onFailure(error);
      },
    );
  }

  async #writeBatch(): Promise<void> {
    const { rows, generation, position } = this.#parts.settled();
    const ops: BatchOp[] = [];
    for (const [key, value] of rows.takePending()) {
      ops.push(
        value === undefined
          ? { type: 'del', key: keyToBytes(key) }
          : { type: 'put', key: keyToBytes(key), value },
      );
    }
    await generation.db.batch(ops, { sync: true });
    rows.settleInflight();
    this.#parts.onDurable(position.index);
  }
}
