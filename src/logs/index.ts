/**
 * Logs: searching one node's, and asking all nodes at once.
 *
 *     query ─▶ any node ─┬─▶ every node ─▶ thread: segments ─▶ automaton ─▶ lines
 *                        └── one stream, tagged by node, with a report of each at its end
 */
export type { FanOut } from './fan-out.js';
export { type LogFiles, ThreadedNodeLogs } from './node-logs.js';
export { querySchema, readQuery } from './protocol.js';
export { type ClearRow, type GrepOptions, LogService } from './service.js';
export * from './types.js';
