/**
 * What is asked of logs and what comes back. A query goes to any node; that node asks every other
 * one, and each scans its own folder. Answers are streams of records (src/net/log-records.ts), the
 * same between nodes and towards clients, so that the node in between passes bytes on.
 */
import type { Ms } from '../base/index.js';
import type { LogNodeReport as NodeReport } from '../net/index.js';
import type { Syntax } from './posix-parser.js';

export interface LogQuery {
  readonly pattern: string;
  readonly syntax: Syntax;
  readonly ignoreCase: boolean;
  /** Lines that do not match. */
  readonly invert: boolean;
  readonly countOnly: boolean;
  /** So many lines of each node, the oldest first; null: all. */
  readonly max: number | null;
}

/** A node's part: `skip` of its lines have been delivered already and are only counted. */
export interface NodeQuery extends LogQuery {
  readonly skip: number;
  /** How long the node may take; waiting for the reader does not count. */
  readonly budgetMs: Ms;
}

export type { LogNodeReport as NodeReport, LogNodeStatus as NodeStatus } from '../net/index.js';

/** Lines of one segment, with the offset of each in it. */
export interface LineBatch {
  readonly segment: string;
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
  readonly bytes: Uint8Array;
}

export type ScanEvent =
  | ({ readonly kind: 'lines' } & LineBatch)
  | { readonly kind: 'alive' }
  | { readonly kind: 'end'; readonly report: Omit<NodeReport, 'node'> };

export interface Cleared {
  readonly segments: number;
  readonly bytes: number;
}

/** One node's own logs. */
export interface NodeLogs {
  /**
   * Ends with exactly one `end`; never throws once it has begun. Throws BAD_ARGUMENT for a pattern
   * that cannot be used, BUSY when too many scans run. `return` ends the scan at once.
   */
  scan(query: NodeQuery): AsyncIterableIterator<ScanEvent>;
  /** Empties the log. Scans that run keep what they have opened. */
  clear(): Promise<Cleared>;
}
