/** The replicated state machine: tables, commands, sessions, snapshots, and its clients. */
export { bucketRangeOf, RETIRED_BUCKETS, STORE_BUCKETS } from './buckets.js';
export {
  coreModule,
  NODES,
  SETTINGS,
  SETTINGS_PER_COMMAND_MAX,
  type SettingRow,
} from './core-module.js';
export {
  badArgument,
  parseCount,
  parseObject,
  parseOneOf,
  parseText,
  type WireObject,
} from './parse.js';
export { StoreRpcClient, type StoreClientOptions, type StoreClientParts } from './client.js';
export { ModuleRegistry } from './registry.js';
export {
  type LeaderContext,
  type LeaderMethod,
  STORE_TIMEOUT_MS,
  StoreService,
  type StoreServiceParts,
} from './service.js';
export { SESSION_WINDOW } from './sessions.js';
export {
  type ChangeListener,
  type Checkpoint,
  StateMachine,
  type StateMachineOptions,
  type StateMachineParts,
} from './state-machine.js';
export { readCurrent } from './generation.js';
export { describeSum } from './row-sum.js';
export { verifyRows } from './world.js';
export { StateCheck, type StateCheckParts } from './state-check.js';
export { defineTable } from './table.js';
export { type ApplyAt, createTestStore, type TestStore } from './testing.js';
export { ROW_BYTES_MAX, ROWS_PER_COMMAND_MAX } from './tx.js';
export * from './types.js';
