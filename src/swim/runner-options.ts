/** From the cluster's configuration to what a membership core needs to know. */
import { createTiming } from './config.js';
import type { MembershipOptions } from './driver.js';
import { introducersOf, nodeConfigOf } from './introducers.js';
import type { RunnerOptions } from './runner.js';

/** The same in a thread (driver.ts) and in process (inline.ts). Throws NODE_NOT_FOUND. */
export function runnerOptions(
  options: Omit<MembershipOptions, 'clock' | 'logger' | 'onFatal'>,
): RunnerOptions {
  const { config, self, bootEpoch, bootWallMs, dataDir } = options;
  const { name, host, port } = nodeConfigOf(config, self);
  return {
    cluster: config.cluster,
    name,
    host,
    port,
    bootEpoch,
    bootWallMs,
    timing: createTiming(config.swim),
    introducers: introducersOf(config, options.seeds ?? []),
    folder: `${dataDir}/swim`,
  };
}
