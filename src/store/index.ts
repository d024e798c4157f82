/** The replicated state machine: tables, commands, sessions, snapshots, and its clients. */
export { bucketRangeOf, RETIRED_BUCKETS, STORE_BUCKETS } from './buckets.js';
export { coreModule, NODES, SETTINGS, type SettingRow } from './core-module.js';
export {
  badArgument,
  parseCount,
  parseObject,
  parseOneOf,
  parseText,
  type WireObject,
} from './parse.js';
export { ModuleRegistry } from './registry.js';
export { SESSION_WINDOW } from './sessions.js';
export { defineTable } from './table.js';
export { type ApplyAt, createTestStore, type TestStore } from './testing.js';
export { ROW_BYTES_MAX, ROWS_PER_COMMAND_MAX } from './tx.js';
export * from './types.js';
