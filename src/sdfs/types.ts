/**
 * SDFS, the versioned replicated flat file system, as the rest of the house sees it.
 * A put makes a new immutable version; Raft commit order is version order (1, 2, 3 …).
 */
import type { NodeId } from '../base/index.js';
import type { RequestId } from '../store/index.js';

export interface FileVersion {
  readonly name: string;
  readonly version: number;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Leader's wall clock at commit, ms. */
  readonly createdMs: number;
  /** Nodes that hold a durable copy, by the record. */
  readonly holders: readonly NodeId[];
}

/** A file at a fixed version: what jobs pin. */
export interface FileRef {
  readonly name: string;
  readonly version: number;
}

export interface PutSource {
  readonly name: string;
  /** Known size in bytes, or undefined for a stream of unknown length. */
  readonly bytes: number | undefined;
  /** May be called again when the put must start over. */
  open(): AsyncIterable<Uint8Array>;
}

export interface PutResult {
  readonly name: string;
  readonly version: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly holders: readonly NodeId[];
  /** Copies durable at the acknowledgement, and copies wanted (4). */
  readonly copies: number;
  readonly wanted: number;
}

export interface PutOptions {
  readonly durability?: 'all' | 'quorum';
  /** Makes a retried put commit one version only. */
  readonly request?: RequestId;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface ListPage {
  readonly files: readonly FileVersion[];
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: string | undefined;
}

/** Which files are meant: by prefix, by glob (`*` matches any characters, also `/`), or by name. */
export type FileSelector =
  | { readonly prefix: string }
  | { readonly glob: string }
  | { readonly names: readonly string[] };

export interface PinnedFile extends FileRef {
  readonly bytes: number;
}

export interface PinnedPage {
  readonly files: readonly PinnedFile[];
  /** Pass as `after` for the next page; undefined at the end. */
  readonly next: string | undefined;
}

/** Works on every node. Throws FILE_NOT_FOUND, VERSION_NOT_FOUND, NOT_ENOUGH_NODES, DISK_FULL … */
export interface SdfsClient {
  put(source: PutSource, options?: PutOptions): Promise<PutResult>;
  /**
   * Many files, small ones in groups with one commit each; yields each file as it is durable. With
   * a request, a retry must bring the same sources in the same order.
   */
  putMany(sources: AsyncIterable<PutSource>, options?: PutOptions): AsyncIterable<PutResult>;
  /** Newest version unless one is named. The bytes are verified while they stream. */
  get(
    name: string,
    options?: { version?: number; signal?: AbortSignal },
  ): Promise<{ file: FileVersion; chunks: AsyncIterable<Uint8Array> }>;
  /** Whole small files at once (job inputs): verified bytes, in the order asked. */
  readMany(
    refs: readonly FileRef[],
    options?: { signal?: AbortSignal },
  ): Promise<readonly (Uint8Array | Error)[]>;
  /** The newest `count` versions, newest first. */
  versions(name: string, count: number): Promise<readonly FileVersion[]>;
  stat(name: string, version?: number): Promise<FileVersion>;
  /** Newest version of each name that starts with `prefix`, in name order. */
  list(prefix: string, options?: { after?: string; limit?: number }): Promise<ListPage>;
  /**
   * Pins the newest version of each file that is meant, page by page in name order (at most 1,000
   * a page; names come in one page, and one that is not there is refused).
   */
  resolve(
    selector: FileSelector,
    options?: { after?: string; limit?: number },
  ): Promise<PinnedPage>;
  /** Tombstone: the name is gone, numbering goes on if it is put again. */
  delete(name: string): Promise<void>;
  /** What one node holds, each version. */
  storeOf(node: NodeId): Promise<readonly FileVersion[]>;
  /** Copies wanted against copies alive, and what stands in the way. */
  report(): Promise<{
    files: number;
    versions: number;
    bytes: number;
    underReplicated: number;
    lost: number;
    reasons: readonly string[];
  }>;
}
