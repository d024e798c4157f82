/**
 * The replicated machine of the adapter: registers by key, in memory. Keys and values are JSON, and
 * equal when their texts are. Everything is durable at once, for as long as the process lives.
 */
import type { LogIndex, Term } from '../../src/base/index.js';
import type { Entry, ReplicatedMachine, SnapshotMeta } from '../../src/raft/index.js';
import { type Body, ERRORS, errorBody, type Json, type Operation } from './protocol.js';

interface Image {
  readonly index: LogIndex;
  readonly term: Term;
  readonly registers: readonly (readonly [string, Json])[];
}

export class KvMachine implements ReplicatedMachine {
  readonly #listeners: ((index: LogIndex) => void)[] = [];
  #registers = new Map<string, Json>();
  #index: LogIndex = 0;
  #term: Term = 0;
  #staged: Image | undefined;
  installedSnapshot: SnapshotMeta | undefined;

  get appliedIndex(): LogIndex {
    return this.#index;
  }

  apply(entries: readonly Entry[]): readonly unknown[] {
    const results = entries.map(({ index, term, kind, data }) => {
      this.#index = index;
      this.#term = term;
      if (kind !== 'command') return undefined;
      return this.#execute(JSON.parse(new TextDecoder().decode(data)) as Operation);
    });
    const index = this.#index;
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener(index);
    });
    return results;
  }

  /** What this node has now; the caller knows that it is new enough. */
  read(key: Json): Body {
    const value = this.#registers.get(JSON.stringify(key));
    if (value === undefined) return errorBody(ERRORS.keyDoesNotExist, `no key ${String(key)}`);
    return { type: 'read_ok', value };
  }

  #execute(operation: Operation): Body {
    const key = JSON.stringify(operation.key);
    switch (operation.type) {
      case 'read':
        return this.read(operation.key);
      case 'write':
        this.#registers.set(key, operation.value);
        return { type: 'write_ok' };
      case 'cas': {
        const { from, to, isCreating } = operation;
        const now = this.#registers.get(key);
        if (now === undefined && !isCreating) {
          return errorBody(ERRORS.keyDoesNotExist, `no key ${key}`);
        }
        if (now !== undefined && JSON.stringify(now) !== JSON.stringify(from)) {
          const text = `${key} is ${JSON.stringify(now)}, not ${JSON.stringify(from)}`;
          return errorBody(ERRORS.preconditionFailed, text);
        }
        this.#registers.set(key, to);
        return { type: 'cas_ok' };
      }
    }
  }

  onDurable(listener: (index: LogIndex) => void): void {
    this.#listeners.push(listener);
  }

  async image() {
    const [index, term] = [this.#index, this.#term];
    const image: Image = { index, term, registers: [...this.#registers] };
    const bytes = new TextEncoder().encode(JSON.stringify(image));
    const open = async function* () {
      yield bytes;
    };
    return { index, term, open, close: async () => undefined };
  }

  async stage(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    const image = JSON.parse(Buffer.concat(parts).toString('utf8')) as Image;
    if (image.index !== meta.index) throw new Error(`an image of ${image.index}`);
    this.#staged = image;
  }

  async startOver(): Promise<void> {
    this.#registers = new Map();
    this.#index = 0;
    this.#term = 0;
    this.#staged = undefined;
    this.installedSnapshot = undefined;
  }

  async installStaged(meta: SnapshotMeta): Promise<void> {
    const image = this.#staged;
    if (image?.index !== meta.index) throw new Error(`no image of ${meta.index} is staged`);
    this.#registers = new Map(image.registers);
    this.#index = image.index;
    this.#term = image.term;
    this.installedSnapshot = meta;
    this.#staged = undefined;
  }
}
