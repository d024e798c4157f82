export { FAULT_KINDS, type FaultCounts, type FaultKind, type Plan } from './plan.js';
export { type FoundViolation, type RunOptions, type RunResult, runSeed } from './run.js';
