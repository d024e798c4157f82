/**
 * Feeds committed entries to the machine, in order, each exactly once, without holding the thread
 * for long: after a few milliseconds it lets others run. It also holds back while the machine's
 * disk lags, so that what is applied but not yet durable stays bounded.
 */
import { assert, type Clock, type LogIndex, type Ms, type Timer } from '../base/index.js';
import type { Entry, ReplicatedMachine } from './types.js';

export interface ApplyLoopParts {
  readonly machine: ReplicatedMachine;
  readonly clock: Clock;
  readonly onApplied: (entries: readonly Entry[], results: readonly unknown[]) => void;
  readonly onFailure: (error: unknown) => void;
}

/** Handed to the machine at once; an entry may carry many commands, so bytes count as well. */
const SLICE_ENTRIES = 64;
const SLICE_BYTES = 16 * 1024;
/** Main thread rule of the house: nothing holds it for more than about 5 ms. */
const RUN_MS: Ms = 4;
/** Applied entries whose rows are not yet durable. */
const UNDURABLE_ENTRIES_MAX = 16_384;

export class ApplyLoop {
  readonly #parts: ApplyLoopParts;
  #queue: Entry[] = [];
  #applied: LogIndex;
  #durable: LogIndex;
  #isPaused = false;
  #isRunning = false;
  #yielded: Timer | undefined;

  constructor(applied: LogIndex, parts: ApplyLoopParts) {
    this.#applied = applied;
    this.#durable = applied;
    this.#parts = parts;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  get durable(): LogIndex {
    return this.#durable;
  }

  /**
   * `isUrgent`: somebody may wait for the result. Otherwise what the same step gave to the disk and
   * to the network goes first: a follower's answer must not wait for its state machine.
   */
  push(entries: readonly Entry[], isUrgent: boolean): void {
    for (const entry of entries) this.#queue.push(entry);
    if (isUrgent) this.#run();
    else this.#runLater();
  }

  onDurable(index: LogIndex): void {
    this.#durable = Math.max(this.#durable, Math.min(index, this.#applied));
    this.#run();
  }

  /** A snapshot is about to replace the machine's state: what is queued is in it. */
  pause(): void {
    this.#isPaused = true;
    this.#queue = [];
  }

  resumeAt(index: LogIndex): void {
    assert(index >= this.#applied, `the state cannot go back to ${index}`);
    this.#applied = index;
    this.#durable = index;
    this.#isPaused = false;
    this.#run();
  }

  stop(): void {
    this.#isPaused = true;
    this.#queue = [];
    this.#yielded?.cancel();
  }

  #run(): void {
    // A call-back of the machine's results may push more: the loop below takes it.
    if (this.#isRunning || this.#yielded !== undefined) return;
    const { clock, onFailure } = this.#parts;
    this.#isRunning = true;
    try {
      const startedMs = clock.now();
      while (this.#mayApply()) {
        this.#applySlice();
        if (this.#queue.length === 0 || clock.now() - startedMs < RUN_MS) continue;
        this.#runLater();
        return;
      }
    } catch (error) {
      this.stop();
      onFailure(error);
    } finally {
      this.#isRunning = false;
    }
  }

  #runLater(): void {
    if (this.#isPaused) return;
    this.#yielded ??= this.#parts.clock.setTimer(0, () => {
      this.#yielded = undefined;
      this.#run();
    });
  }

  #mayApply(): boolean {
    if (this.#isPaused || this.#queue.length === 0) return false;
    return this.#applied - this.#durable < UNDURABLE_ENTRIES_MAX;
  }

  #applySlice(): void {
    const { machine, onApplied } = this.#parts;
    const entries = this.#takeSlice();
    const first = entries[0]?.index;
    assert(first === this.#applied + 1, `entry ${first} does not follow ${this.#applied}`);
    const results = machine.apply(entries);
    assert(results.length === entries.length, 'one result per entry');
    this.#applied += entries.length;
    onApplied(entries, results);
  }

  #takeSlice(): Entry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#queue) {
      bytes += entry.data.length;
      if (count === SLICE_ENTRIES || (count > 0 && bytes > SLICE_BYTES)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }
}
