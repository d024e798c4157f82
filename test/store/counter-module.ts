/** A module for tests: counters, a derived index over them, and commands that misbehave. */
import { IdunnoError } from '../../src/base/index.js';
import {
  defineTable,
  type DerivedIndex,
  type DerivedIndexKey,
  type StoreModule,
} from '../../src/store/index.js';

export interface CounterRow {
  readonly n: number;
}

export const COUNTERS = defineTable<CounterRow>({ bucket: 210, name: 'counters' });
export const NOTES = defineTable<{ text: string }>({ bucket: 211, name: 'notes' });

/** Names by value: how many counters stand at each number. */
export const BY_VALUE: DerivedIndexKey<Map<number, number>> = { name: 'counters-by-value' };

const byValue: DerivedIndex<Map<number, number>> = {
  key: BY_VALUE,
  tables: [COUNTERS],
  create: () => new Map(),
  onChange(index, change) {
    const { n: was } = (change.before ?? {}) as Partial<CounterRow>;
    const { n: is } = (change.after ?? {}) as Partial<CounterRow>;
    if (was !== undefined) {
      const left = (index.get(was) ?? 0) - 1;
      if (left === 0) index.delete(was);
      else index.set(was, left);
    }
    if (is !== undefined) index.set(is, (index.get(is) ?? 0) + 1);
  },
};

export const counterModule: StoreModule = {
  name: 'test',
  tables: [COUNTERS, NOTES],
  commands: {
    'counter.add': (tx, [name, by]) => {
      const n = (tx.get(COUNTERS, [String(name)])?.n ?? 0) + Number(by);
      tx.put(COUNTERS, [String(name)], { n });
      return n;
    },
    'counter.drop': (tx, [name]) => {
      tx.delete(COUNTERS, [String(name)]);
      return null;
    },
    /** Writes, then refuses. */
    'counter.refuse': (tx, [name]) => {
      tx.put(COUNTERS, [String(name)], { n: 999 });
      throw new IdunnoError('CONFLICT', 'refused after writing', { name: String(name) });
    },
    /** Writes, then breaks. */
    'counter.break': (tx, [name]) => {
      tx.put(COUNTERS, [String(name)], { n: 999 });
      throw new TypeError('a bug');
    },
    'counter.touch': (tx, [count]) => {
      for (let at = 0; at < Number(count); at += 1) tx.put(COUNTERS, ['row', at], { n: at });
      return null;
    },
    'counter.time': (_tx, _args, { nowMs, index, term }) => [nowMs, index, term],
    'counter.say': (_tx, [text]) => String(text),
    'counter.large': () => 'x'.repeat(100_000),
    'note.set': (tx, [name, text]) => {
      tx.put(NOTES, [String(name)], { text: String(text) });
      return null;
    },
  },
  queries: {
    'counter.get': (view, [name]) => view.get(COUNTERS, [String(name)])?.n ?? 0,
    'counter.sum': async (view) => {
      let sum = 0;
      for await (const [, { n }] of view.scan(COUNTERS, {})) sum += n;
      return sum;
    },
    'counter.refuse': () => {
      throw new IdunnoError('FILE_NOT_FOUND', 'refused by the query');
    },
  },
  indexes: [byValue],
};
