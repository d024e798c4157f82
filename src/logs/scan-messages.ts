/** What a scan's thread and the node's main thread say to each other. */
import type { LineBatch, NodeQuery } from './types.js';

/** The thread's `workerData`. */
export interface ScanData {
  readonly folder: string;
  /** The one that is being written; full ones have a number behind the name. */
  readonly file: string;
  readonly query: NodeQuery;
}

export type FromScan =
  | { readonly kind: 'lines'; readonly batch: LineBatch }
  /** After each chunk. */
  | { readonly kind: 'progress'; readonly matches: number; readonly bytes: number }
  | { readonly kind: 'done'; readonly matches: number; readonly bytes: number }
  | { readonly kind: 'failed'; readonly error: string };

/** So many batches have been read. */
export interface ToScan {
  readonly taken: number;
}

/** Batches on the way from the thread to the reader. */
export const SCAN_WINDOW = 8;
