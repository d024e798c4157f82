/** What repair planning (repair-plan.ts) is told, and what it answers. Times are of the log. */
import type { CopySet } from './holder-index.js';

export interface RepairNode {
  readonly node: string;
  readonly epoch: number;
  readonly status: 'up' | 'down' | 'left' | 'draining';
  /** Log time of its last change of status. */
  readonly sinceMs: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly domain: string;
}

/** Copies on their way; they count against streams and against what is missing. */
export interface CopyInFlight {
  readonly blob: number;
  readonly from: string;
  readonly to: string;
}

export interface RepairState {
  readonly sets: Iterable<CopySet>;
  readonly nodes: ReadonlyMap<string, RepairNode>;
  /** Nodes whose copy of a blob was reported bad. */
  readonly bad: ReadonlyMap<number, ReadonlySet<string>>;
  /** Sets of the blobs in `bad`. */
  readonly badSets: ReadonlyMap<number, CopySet>;
  readonly inFlight: ReadonlyMap<number, readonly CopyInFlight[]>;
  /** Orders, not blobs, by node: what streams are counted in. */
  readonly streamsIn: ReadonlyMap<string, number>;
  readonly streamsOut: ReadonlyMap<string, number>;
  /** Blobs whose last copy failed, and when to try again. */
  readonly notBeforeMs: ReadonlyMap<number, number>;
  /** Log time. */
  readonly nowMs: number;
  readonly delayMs: number;
}

/** Copies of these blobs, from one node to another, in this order. */
export interface RepairOrder {
  readonly from: string;
  readonly to: string;
  readonly blobs: readonly number[];
  readonly bytes: number;
}

export interface ExcessCopy {
  readonly blob: number;
  readonly node: string;
}

export interface RepairPlan {
  readonly orders: readonly RepairOrder[];
  /** Copies above what is wanted, on nodes that have been up for a while. */
  readonly excess: readonly ExcessCopy[];
  /** Bad copies that enough good ones make needless. */
  readonly needlessBad: readonly ExcessCopy[];
  /** Blobs by the reason why nothing is done for them now. */
  readonly stuck: ReadonlyMap<string, number>;
  /** Log time at which a waiting blob is due; undefined when none waits. */
  readonly nextDueMs: number | undefined;
}
