/**
 * Many small files at once: what this node has from its own disk, the rest with one call per
 * holder, chosen so that few holders serve many files. What fails on that way is read on its own,
 * with all of read.ts's patience. Bytes are verified against the recorded SHA-256.
 */
import { createHash } from 'node:crypto';
import { asIdunnoError, IdunnoError, type NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { READ_MANY_BYTES_MAX, READ_MANY_FILES_MAX } from './limits.js';
import type { NodeCalls } from './node-calls.js';
import { type ReadParts, readVersion } from './read.js';
import { METHODS } from './transfer.js';
import { type LocatedVersion, readInt, readList, readTuple } from './wire.js';

/** Larger files are streamed one by one: see SdfsClient.get. */
export const READ_MANY_FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Without an answer for so long a holder is passed over; each file is then read on its own. */
const CALL_MS = 2_000;
const SINGLES_AT_ONCE = 4;

/** A file to be read, and its place in the answer. */
interface Wanted {
  readonly file: LocatedVersion;
  readonly at: number;
}

/** In the order of `files`; an Error stays one, a version becomes its bytes or an Error. */
export async function readFiles(
  files: readonly (LocatedVersion | Error)[],
  parts: ReadParts,
  signal?: AbortSignal,
): Promise<(Uint8Array | Error)[]> {
  const results: (Uint8Array | Error | undefined)[] = files.map((file) =>
    file instanceof Error ? file : tooLarge(file),
  );
  const wanted = files.flatMap((file, at): Wanted[] =>
    file instanceof Error || results[at] !== undefined ? [] : [{ file, at }],
  );
  const calls = shareAmongHolders(wanted, parts.calls);
  await Promise.all(calls.map((call) => readFrom(call, parts, results, signal)));
  const left = wanted.filter(({ at }) => results[at] === undefined);
  await eachOf(left, SINGLES_AT_ONCE, async ({ file, at }) => {
    results[at] = await readAlone(file, parts, signal);
  });
  return results.map((result) => result ?? new IdunnoError('INTERNAL', 'a file was not read'));
}

function tooLarge(file: LocatedVersion): IdunnoError | undefined {
  if (file.bytes <= READ_MANY_FILE_BYTES_MAX) return undefined;
  return new IdunnoError(
    'BAD_ARGUMENT',
    `${file.name} has ${file.bytes} bytes: too large to be read whole; stream it`,
  );
}

interface HolderCall {
  readonly node: NodeId;
  readonly wanted: Wanted[];
  bytes: number;
}

/** Own files first; then again and again the holder that can serve most of what is left. */
function shareAmongHolders(wanted: readonly Wanted[], calls: NodeCalls): HolderCall[] {
  let left = wanted.filter(({ file }) => file.bytes <= READ_MANY_BYTES_MAX);
  const result: HolderCall[] = [];
  while (left.length > 0) {
    const node = left.some(({ file }) => file.holders.includes(calls.self))
      ? calls.self
      : busiestHolder(left);
    if (node === undefined) return result;
    result.push(
      ...cut(
        node,
        left.filter(({ file }) => file.holders.includes(node)),
      ),
    );
    left = left.filter(({ file }) => !file.holders.includes(node));
  }
  return result;
}

/** Holders that are up count; where a record has none, its first. */
function busiestHolder(left: readonly Wanted[]): NodeId | undefined {
  const counts = new Map<NodeId, number>();
  for (const { file } of left) {
    for (const node of file.holders.slice(0, Math.max(1, file.up)))
      counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  let best: NodeId | undefined;
  for (const [node, count] of counts) {
    if (best === undefined || count > (counts.get(best) ?? 0)) best = node;
  }
  return best;
}

/** One holder's files as calls that keep the bounds of a call. */
function cut(node: NodeId, wanted: readonly Wanted[]): HolderCall[] {
  const calls: HolderCall[] = [];
  let open: HolderCall = { node, wanted: [], bytes: 0 };
  for (const one of wanted) {
    const isFull =
      open.wanted.length >= READ_MANY_FILES_MAX ||
      open.bytes + one.file.bytes > READ_MANY_BYTES_MAX;
    if (isFull && open.wanted.length > 0) {
      calls.push(open);
      open = { node, wanted: [], bytes: 0 };
    }
    open.wanted.push(one);
    open.bytes += one.file.bytes;
  }
  if (open.wanted.length > 0) calls.push(open);
  return calls;
}

/** Fills in what this holder gives; what it does not give stays open. */
async function readFrom(
  call: HolderCall,
  parts: ReadParts,
  results: (Uint8Array | Error | undefined)[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const ranges = call.wanted.map(({ file }): Wire => [file.blob, file.offset, file.bytes]);
  try {
    const { value, body } = await parts.calls.call(call.node, METHODS.readMany, [ranges], {
      timeoutMs: CALL_MS,
      lane: 'bulk',
      ...(signal === undefined ? {} : { signal }),
    });
    const lengths = readList(value, 'answer', READ_MANY_FILES_MAX, (item, what) =>
      readInt(readTuple(item, what, 1)[0], what, -1),
    );
    const bytes = await collect(body, call.bytes);
    let from = 0;
    call.wanted.forEach(({ file, at }, place) => {
      const length = lengths[place] ?? -1;
      if (length < 0) return;
      const data = bytes.subarray(from, from + length);
      from += length;
      if (isGood(file, data)) results[at] = data;
    });
  } catch (error) {
    // Whatever it was, each file gets its own try.
    for (const { file } of call.wanted) parts.forget(file);
    void error;
  }
}

function isGood(file: LocatedVersion, data: Uint8Array): boolean {
  if (data.length !== file.bytes) return false;
  return createHash('sha256').update(data).digest('hex') === file.sha256;
}

async function readAlone(
  file: LocatedVersion,
  parts: ReadParts,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | Error> {
  try {
    return await collect(readVersion(file, parts, signal), file.bytes);
  } catch (error) {
    return asIdunnoError(error);
  }
}

/** A stream as one array. Throws PROTOCOL where it is longer than it may be. */
export async function collect(
  stream: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new IdunnoError('PROTOCOL', `more than ${bytesMax} bytes came`);
    pieces.push(piece);
  }
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
}

/** Runs `work` for each item, so many at once. */
export async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (;;) {
      const item = items[next];
      next += 1;
      if (item === undefined) return;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
}
