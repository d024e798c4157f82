/** A node of the cluster: built from its config, started and stopped in order. */
export { type NodeOptions, type NodeParts, type RunningNode, startNode } from './node.js';
export { type Diagnosis, diagnose, type Finding } from './doctor.js';
export { type RunOptions, runNode } from './run.js';
