/**
 * Persist effects on their way to the log store, in order. Writes overlap (the store coalesces
 * them); an install of a snapshot waits for all before it and holds up all after it.
 *
 * What a persist effect promises (`then`) is released only when its write is durable: this is the
 * one place where votes and acknowledgements come free.
 */
import { assert, type Clock, type Ms } from '../base/index.js';
import type { Effect, HardState, LogBatch, LogStore, SnapshotMeta } from './types.js';

type Persist = Extract<Effect, { kind: 'persist' }>;

export interface DiskPipelineParts {
  readonly logStore: LogStore;
  readonly clock: Clock;
  /** The effect is durable: send what it promised, tell the core. */
  readonly onPersisted: (effect: Persist) => void;
  /** Swap the staged snapshot into the machine. */
  readonly installStaged: (meta: SnapshotMeta) => Promise<void>;
  readonly onInstalled: (meta: SnapshotMeta) => void;
  readonly onFailure: (error: unknown) => void;
}

export class DiskPipeline {
  readonly #parts: DiskPipelineParts;
  #hardState: HardState;
  #last: Promise<void> = Promise.resolve();
  /** Held up by an install; empty at all other times. */
  #held: (() => void)[] = [];
  #isInstalling = false;
  #install: Promise<void> = Promise.resolve();
  #lastWriteMs: Ms = 0;

  constructor(hardState: HardState, parts: DiskPipelineParts) {
    this.#hardState = hardState;
    this.#parts = parts;
  }

  /** Handed to the disk; durable once drained. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** How long the newest finished write took. */
  get lastWriteMs(): Ms {
    return this.#lastWriteMs;
  }

  persist(effect: Persist): void {
    this.#inOrder(() => this.#write(effect));
  }

  compact(meta: SnapshotMeta): void {
    this.#inOrder(() => {
      this.#parts.logStore.compact(meta).catch(this.#parts.onFailure);
    });
  }

  install(meta: SnapshotMeta): void {
    this.#inOrder(() => {
      this.#isInstalling = true;
      this.#install = this.#installAfterWrites(meta).catch(this.#parts.onFailure);
    });
  }

  /** Resolves when what was begun so far has ended, well or badly. */
  async drained(): Promise<void> {
    await this.#install;
    await this.#last.catch(() => undefined);
  }

  #inOrder(work: () => void): void {
    if (this.#isInstalling) this.#held.push(work);
    else work();
  }

  #write(effect: Persist): void {
    const { hardState, truncateFrom, append } = effect;
    if (hardState !== undefined) this.#hardState = hardState;
    const isEmpty = hardState === undefined && truncateFrom === undefined && append.length === 0;
    // Only promises about what is already on its way to the disk.
    if (isEmpty) this.#track(effect, this.#last);
    else this.#track(effect, this.#parts.logStore.write(toBatch(effect)));
  }

  #track(effect: Persist, write: Promise<void>): void {
    const { clock, onPersisted, onFailure } = this.#parts;
    const startedMs = clock.now();
    this.#last = write;
    write
      .then(() => {
        this.#lastWriteMs = clock.now() - startedMs;
        onPersisted(effect);
      })
      .catch(onFailure);
  }

  async #installAfterWrites(meta: SnapshotMeta): Promise<void> {
    const { installStaged, logStore, onInstalled } = this.#parts;
    await this.#last;
    // The machine first: a log that starts above what the machine has would be a hole.
    await installStaged(meta);
    await logStore.reset(meta, this.#hardState);
    assert(this.#isInstalling, 'an install ends once');
    this.#isInstalling = false;
    onInstalled(meta);
    const held = this.#held;
    this.#held = [];
    for (const work of held) this.#inOrder(work);
  }
}

function toBatch({ hardState, truncateFrom, append }: Persist): LogBatch {
  return {
    append,
    ...(hardState === undefined ? {} : { hardState }),
    ...(truncateFrom === undefined ? {} : { truncateFrom }),
  };
}
