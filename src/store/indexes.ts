/**
 * The derived in-memory indexes: rebuilt from the rows at start and after a snapshot, then told of
 * each change after each command. They hold nothing that the rows do not say.
 */
import { must } from '../base/index.js';
import { afterPrefix, decodeKey, encodeKey } from './keys.js';
import type { Layers } from './layers.js';
import type { ModuleRegistry } from './registry.js';
import { type IndexSource, RowChange } from './tx.js';
import type { Change, DerivedIndexKey } from './types.js';

export class IndexSet implements IndexSource {
  readonly #registry: ModuleRegistry;
  readonly #byName = new Map<string, unknown>();

  constructor(registry: ModuleRegistry) {
    this.#registry = registry;
    for (const index of registry.indexes) this.#byName.set(index.key.name, index.create());
  }

  /** A fresh set that knows all rows of these layers. */
  static async rebuild(registry: ModuleRegistry, rows: Layers): Promise<IndexSet> {
    const set = new IndexSet(registry);
    const buckets = new Set<number>();
    for (const index of registry.indexes) {
      for (const table of index.tables) buckets.add(table.bucket);
    }
    for (const bucket of [...buckets].sort((a, b) => a - b)) {
      const from = encodeKey(bucket, []);
      const table = must(registry.table(bucket), `table of bucket ${bucket}`);
      for await (const [key, bytes] of rows.scan({ from, to: afterPrefix(from) })) {
        set.onChange(new RowChange(table, decodeKey(key).parts, undefined, bytes));
      }
    }
    return set;
  }

  index<I>(key: DerivedIndexKey<I>): I {
    return must(this.#byName.get(key.name), `index "${key.name}"`) as I;
  }

  onChange(change: Change): void {
    for (const index of this.#registry.indexesOf(change.table.bucket)) {
      index.onChange(this.#byName.get(index.key.name), change);
    }
  }
}
