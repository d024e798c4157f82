/**
 * What the modules bring to the state machine, looked up by name and by bucket. Built once at
 * start; two modules that claim one name or one bucket are a bug that stops the process.
 */
import { assert } from '../base/index.js';
import { bucketRangeOf } from './buckets.js';
import type { Command, DerivedIndex, Query, StoreModule, Table } from './types.js';

export class ModuleRegistry {
  readonly #tables = new Map<number, Table<unknown>>();
  readonly #commands = new Map<string, Command>();
  readonly #queries = new Map<string, Query>();
  readonly #indexes = new Map<string, DerivedIndex<unknown>>();
  readonly #indexesByBucket = new Map<number, DerivedIndex<unknown>[]>();

  constructor(modules: readonly StoreModule[]) {
    for (const module of modules) this.#addTables(module);
    for (const module of modules) this.#addBehaviour(module);
  }

  /** The table of a bucket, if any module has it. */
  table(bucket: number): Table<unknown> | undefined {
    return this.#tables.get(bucket);
  }

  command(name: string): Command | undefined {
    return this.#commands.get(name);
  }

  query(name: string): Query | undefined {
    return this.#queries.get(name);
  }

  get indexes(): Iterable<DerivedIndex<unknown>> {
    return this.#indexes.values();
  }

  /** Derived indexes that want the changes of this bucket. */
  indexesOf(bucket: number): readonly DerivedIndex<unknown>[] {
    return this.#indexesByBucket.get(bucket) ?? [];
  }

  #addTables(module: StoreModule): void {
    const [low, high] = bucketRangeOf(module.name);
    for (const table of module.tables) {
      const { bucket, name } = table;
      assert(
        bucket >= low && bucket <= high,
        `table "${name}" of ${module.name} has bucket ${bucket}, outside ${low}-${high}`,
      );
      const other = this.#tables.get(bucket);
      assert(other === undefined, `tables "${other?.name}" and "${name}" share bucket ${bucket}`);
      this.#tables.set(bucket, table);
    }
  }

  #addBehaviour(module: StoreModule): void {
    for (const [name, command] of Object.entries(module.commands)) {
      assert(!this.#commands.has(name), `command "${name}" is defined twice`);
      this.#commands.set(name, command);
    }
    for (const [name, query] of Object.entries(module.queries)) {
      assert(!this.#queries.has(name), `query "${name}" is defined twice`);
      this.#queries.set(name, query);
    }
    for (const index of module.indexes) this.#addIndex(index);
  }

  #addIndex(index: DerivedIndex<unknown>): void {
    const { name } = index.key;
    assert(!this.#indexes.has(name), `index "${name}" is defined twice`);
    this.#indexes.set(name, index);
    for (const table of index.tables) {
      assert(this.#tables.has(table.bucket), `index "${name}" wants unknown table "${table.name}"`);
      const list = this.#indexesByBucket.get(table.bucket) ?? [];
      list.push(index);
      this.#indexesByBucket.set(table.bucket, list);
    }
  }
}
