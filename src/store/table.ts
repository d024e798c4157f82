/**
 * Tables: a bucket number, a name, and the type of the rows. A table holds no data itself.
 */
import { assert } from '../base/index.js';
import { RETIRED_BUCKETS } from './buckets.js';
import type { Table } from './types.js';

const TABLE_NAME = /^[a-z][a-zA-Z0-9-]{0,31}$/;

/** Names a table. The bucket must lie in the range of its module (buckets.ts). */
export function defineTable<Row>(facts: { bucket: number; name: string }): Table<Row> {
  const { bucket, name } = facts;
  assert(Number.isInteger(bucket) && bucket >= 0 && bucket < 255, `bucket ${bucket} of "${name}"`);
  assert(!RETIRED_BUCKETS.includes(bucket), `bucket ${bucket} of "${name}" is retired`);
  assert(TABLE_NAME.test(name), `"${name}" cannot name a table`);
  return Object.freeze({ bucket, name });
}
