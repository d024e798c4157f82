/**
 * The cluster's one config file, after validation. The file itself is described in docs/config.md;
 * config.ts reads and validates it, all problems at once, with line numbers.
 */
import type { Ms, NodeId } from './ids.js';

export type Preset = 'local' | 'lan' | 'test';

export interface NodeConfig {
  readonly name: NodeId;
  readonly host: string;
  /** TCP for RPC and data, UDP for SWIM. */
  readonly port: number;
  /** HTTP, if any. */
  readonly http: number | undefined;
  /** Absolute. */
  readonly dataDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Tasks computed at once over all models. */
  readonly slots: number;
}

export interface ClusterConfig {
  /** Absolute path of the file it came from. */
  readonly path: string;
  readonly cluster: string;
  readonly preset: Preset;
  readonly coordinators: readonly NodeId[];
  readonly nodes: readonly NodeConfig[];
  readonly raft: {
    readonly heartbeatMs: Ms;
    readonly electionMinMs: Ms;
    readonly electionMaxMs: Ms;
  };
  readonly swim: {
    readonly periodMs: Ms;
    readonly ackTimeoutMs: Ms;
    readonly suspectAtMs: Ms;
    readonly failAfterMs: Ms;
    readonly deleteAfterMs: Ms;
  };
  readonly sdfs: {
    readonly copies: number;
    readonly repairDelayMs: Ms;
  };
  /** SHA-256 over the cluster id and the bootstrap coordinators: what must agree. */
  readonly fingerprint: string;
}
