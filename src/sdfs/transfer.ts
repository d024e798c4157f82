/**
 * The calls between nodes that move bytes, as each side sees them: names, arguments, answers.
 *
 *   sdfs.blob.write   [blob, bytes or -1, content, chain] + body
 *                       A client to a target, or a target to the next of the chain: store the body
 *                       as this blob and pass it on while it comes. Answer: who has it durably, and
 *                       who failed and why.
 *   sdfs.blob.read    [blob, offset, length or -1, withAbout] → [bytes, about or null] + body
 *                       Verified bytes; an error in the middle ends the body with that error.
 *   sdfs.read-many    [[blob, offset, bytes]…] → [[bytes] or [-1, code, message]…] + body
 *                       Many small ranges, one behind the other.
 *   sdfs.replicate    [index, from, [[blob, bytes, sha256]…], force] → [epoch, results]
 *                       Leader (repair) or client (a put's missing copy) to a target: fetch these
 *                       blobs from there. `index` pins them against older deletion orders.
 *   sdfs.inventory    [after] → [epoch, ids, is the end]
 *   sdfs.collect      [term, index, epoch, ids] → ids deleted. Leader only.
 *   sdfs.space        [] → [epoch, free, total, last sync failure or null]
 */
import { IdunnoError, type NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { BlobAbout, BlobFile } from './blob-format.js';
import type { BlobContent } from './blob-writer.js';
import { BLOBS_PER_ORDER_MAX, COPIES_MAX, GROUP_FILES_MAX, HOLDERS_MAX } from './limits.js';
import { checkFileName } from './names.js';
import { readInt, readList, readNode, readSha, readText, readTuple } from './wire.js';

export const METHODS = {
  write: 'sdfs.blob.write',
  read: 'sdfs.blob.read',
  readMany: 'sdfs.read-many',
  replicate: 'sdfs.replicate',
  inventory: 'sdfs.inventory',
  collect: 'sdfs.collect',
  space: 'sdfs.space',
  // Answered by the leader only.
  begin: 'sdfs.begin',
  targets: 'sdfs.targets',
  badCopy: 'sdfs.bad-copy',
  repairStatus: 'sdfs.repair-status',
} as const;

export interface WriteRequest {
  readonly blob: number;
  /** -1: not known before the end. */
  readonly bytes: number;
  readonly content: BlobContent;
  /** Who gets it next, and after that. */
  readonly chain: readonly NodeId[];
}

/** A node that has all bytes on disk, and what it counted. */
export interface DurableCopy {
  readonly node: NodeId;
  readonly epoch: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface FailedCopy {
  readonly node: NodeId;
  readonly error: IdunnoError;
}

export interface WriteAnswer {
  readonly durable: readonly DurableCopy[];
  readonly failed: readonly FailedCopy[];
}

export function writeRequestToWire(request: WriteRequest): Wire[] {
  return [request.blob, request.bytes, contentToWire(request.content), [...request.chain]];
}

export function readWriteRequest(args: readonly Wire[]): WriteRequest {
  return {
    blob: readInt(args[0], 'blob', 1),
    bytes: readInt(args[1], 'bytes', -1),
    content: readContent(args[2]),
    chain: readList(args[3], 'chain', COPIES_MAX, readNode),
  };
}

export function contentToWire(content: BlobContent): Wire {
  if (!('files' in content)) return content.name;
  return content.files.map((file) => [file.name, file.bytes, file.sha256]);
}

function readContent(value: Wire | undefined): BlobContent {
  if (typeof value === 'string') {
    checkFileName(value);
    return { name: value };
  }
  return { files: readList(value, 'files', GROUP_FILES_MAX, readBlobFile) };
}

function readBlobFile(value: Wire | undefined, what: string): BlobFile {
  const [name, bytes, sha256] = readTuple(value, what, 3);
  const file = {
    name: readText(name, `${what}: name`),
    bytes: readInt(bytes, `${what}: bytes`),
    sha256: readSha(sha256, `${what}: sha256`),
  };
  checkFileName(file.name);
  return file;
}

/** What a copy says about itself is enough to write it elsewhere. */
export function contentOf(about: BlobAbout): BlobContent {
  if (about.pack) return { files: about.files };
  return { name: about.files[0]?.name ?? '' };
}

export function aboutToWire(about: BlobAbout): Wire {
  return contentToWire(contentOf(about));
}

export { readContent };

export function writeAnswerToWire(answer: WriteAnswer): Wire {
  return [
    answer.durable.map((copy) => [copy.node, copy.epoch, copy.bytes, copy.sha256]),
    answer.failed.map((copy) => [copy.node, ...copy.error.toWire()]),
  ];
}

export function readWriteAnswer(value: Wire): WriteAnswer {
  const [durable, failed] = readTuple(value, 'answer', 2);
  return {
    durable: readList(durable, 'durable', HOLDERS_MAX, (item, what) => {
      const [node, epoch, bytes, sha] = readTuple(item, what, 4);
      return {
        node: readNode(node, what),
        epoch: readInt(epoch, what),
        bytes: readInt(bytes, what),
        sha256: readSha(sha, what),
      };
    }),
    failed: readList(failed, 'failed', HOLDERS_MAX, (item, what) => {
      const parts = readTuple(item, what, 2);
      return { node: readNode(parts[0], what), error: IdunnoError.fromWire(parts.slice(1)) };
    }),
  };
}

/** A blob that is to be fetched, and what must arrive. */
export interface WantedBlob {
  readonly blob: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ReplicateRequest {
  readonly index: number;
  readonly from: NodeId;
  readonly blobs: readonly WantedBlob[];
  /** Write it anew although it is there: the copy there is bad. */
  readonly force: boolean;
}

export function replicateToWire(request: ReplicateRequest): Wire[] {
  const blobs = request.blobs.map((one) => [one.blob, one.bytes, one.sha256]);
  return [request.index, request.from, blobs, request.force];
}

export function readReplicate(args: readonly Wire[]): ReplicateRequest {
  return {
    index: readInt(args[0], 'index'),
    from: readNode(args[1], 'from'),
    blobs: readList(args[2], 'blobs', BLOBS_PER_ORDER_MAX, (item, what) => {
      const [blob, bytes, sha] = readTuple(item, what, 3);
      return {
        blob: readInt(blob, what, 1),
        bytes: readInt(bytes, what),
        sha256: readSha(sha, what),
      };
    }),
    force: args[3] === true,
  };
}

export interface ReplicateAnswer {
  readonly epoch: number;
  /** In the order of the request. */
  readonly results: readonly ReplicateResult[];
}

export interface ReplicateResult {
  readonly blob: number;
  /** Undefined: durable here. */
  readonly error: IdunnoError | undefined;
  /** The error is the source's, not this node's. */
  readonly isSource: boolean;
}

export function replicateAnswerToWire(answer: ReplicateAnswer): Wire {
  const results = answer.results.map((one) =>
    one.error === undefined ? [one.blob] : [one.blob, one.isSource, ...one.error.toWire()],
  );
  return [answer.epoch, results];
}

export function readReplicateAnswer(value: Wire): ReplicateAnswer {
  const [epoch, results] = readTuple(value, 'answer', 2);
  return {
    epoch: readInt(epoch, 'epoch'),
    results: readList(results, 'results', BLOBS_PER_ORDER_MAX, (item, what) => {
      const parts = readTuple(item, what, 1);
      const error = parts.length > 1 ? IdunnoError.fromWire(parts.slice(2)) : undefined;
      return { blob: readInt(parts[0], what, 1), error, isSource: parts[1] === true };
    }),
  };
}

/** How long moving so many bytes may take at the very most: a slow disk does 1 MiB/s. */
export function transferTimeoutMs(bytes: number): number {
  if (bytes < 0) return 6 * 3_600_000;
  return 60_000 + Math.ceil(bytes / 1024);
}
