export * from './types.js';
export { RaftCore } from './raft.js';
export {
  DEFAULT_LIMITS,
  type RaftLimits,
  type RaftOptions,
  validateTiming,
} from './config.js';
export {
  confOf,
  confOfEntry,
  type ConfTarget,
  encodeConf,
  isJoint,
  NO_CONF,
  sameNames,
} from './conf.js';
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
export { RaftDriver } from './driver.js';
export type {
  DriverPhase,
  DriverStatus,
  MembersEvent,
  RaftDriverOptions,
  RaftDriverParts,
  RoleEvent,
} from './driver-types.js';
export type { PeerState } from './first-boot.js';
export { examineLog, type LogExamination } from './examine.js';
export { LevelLogStore, type LevelLogStoreOptions } from './level-log-store.js';
export { MemoryLogStore } from './memory-log-store.js';
export { notLeader, type Proposed, type WaitOptions } from './pending.js';
export { decodeMessage, encodeMessage, laneOf, RAFT_NOTICE, type WireMessage } from './wire.js';
