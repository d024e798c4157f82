export * from './types.js';
export { RaftCore } from './raft.js';
export {
  DEFAULT_LIMITS,
  type RaftLimits,
  type RaftOptions,
  validateTiming,
} from './config.js';
export type { PeerStatus, RaftStatus } from './status.js';
export { hasQuorum, isVoter, majority, membersOf } from './quorum.js';
export {
  describeConf,
  describeEffect,
  describeEntries,
  describeEntry,
  describeInput,
  describeMessage,
} from './describe.js';
