export { FAULT_KINDS, type FaultCounts, type FaultKind, type Plan } from './plan.js';
export {
  OPERATIONS_MIN,
  type FoundViolation,
  type RunOptions,
  type RunResult,
  runSeed,
} from './run.js';
