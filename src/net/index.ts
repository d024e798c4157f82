export { EMPTY_BODY, readBody, wholeBody } from './body.js';
export * from './codec.js';
export type { RpcCounters } from './counters.js';
export { PROTOCOL_VERSION } from './limits.js';
export {
  type LogNodeReport,
  type LogNodeStatus,
  type LogRecord,
  readLogRecord,
  writeLogRecord,
} from './log-records.js';
export * from './memory-network.js';
export * from './real-network.js';
export { type BodyRecord, readRecords, writeRecord } from './records.js';
export * from './rpc.js';
export * from './types.js';
