/**
 * Timings by preset. A key of the config file overrides one of them; docs/config.md says what each
 * costs. Sources: the Raft paper §5.6 (broadcast time ≪ election timeout), SWIM §5.1, Lifeguard §4.
 */
import type { ClusterConfig, Preset } from './config-types.js';

type Timing = Pick<ClusterConfig, 'raft' | 'swim' | 'sdfs'>;

/** Failed within period + suspectAt + failAfter = 1.7 s of a crash; gone 1 s later. */
const SWIM: Timing['swim'] = {
  periodMs: 500,
  ackTimeoutMs: 100,
  suspectAtMs: 200,
  failAfterMs: 1000,
  deleteAfterMs: 1000,
};

const SDFS: Timing['sdfs'] = { copies: 4, repairDelayMs: 10_000 };

export const PRESETS: Readonly<Record<Preset, Timing>> = {
  /** All nodes on one machine: no network to wait for. */
  local: {
    raft: { heartbeatMs: 50, electionMinMs: 150, electionMaxMs: 300 },
    swim: SWIM,
    sdfs: SDFS,
  },
  /** One switch or data centre, round trips below 5 ms. */
  lan: {
    raft: { heartbeatMs: 50, electionMinMs: 250, electionMaxMs: 500 },
    swim: SWIM,
    sdfs: SDFS,
  },
  /** Many nodes on a small, loaded machine: nothing may happen only because of the load. */
  test: {
    raft: { heartbeatMs: 100, electionMinMs: 1000, electionMaxMs: 2000 },
    swim: { ...SWIM, ackTimeoutMs: 300, suspectAtMs: 500, failAfterMs: 3000 },
    sdfs: { ...SDFS, repairDelayMs: 1000 },
  },
};
