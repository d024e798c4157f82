/**
 * Snapshots on their way between two nodes (Raft §7), in chunks on the bulk lane.
 *
 *     raft.snapshot-begin  [term, id, index, term of it, members] → number of chunks that are there
 *     raft.snapshot-chunk  [term, id, nth, crc, isLast] + bytes   → number of chunks that are there
 *
 * The sender keeps the image of one moment and sends its chunks one by one: the next leaves when the
 * one before is synced on the other side, so a slow follower holds up nothing but itself. Each chunk
 * has a checksum; one that arrives damaged is asked for again. After a broken connection, or a
 * restart of the receiver, the transfer goes on with the first chunk that is missing, as long as the
 * sender still has the image. The last chunk is answered when the whole has been staged and its own
 * checksum (the machine's) has been found right; nothing visible has changed until then.
 *
 * Bounds: one transfer per follower, few at a time, one being received; an image that nobody takes
 * is let go of after a while, because it keeps old rows on the disk.
 */
import {
  type Clock,
  crc32c,
  type Disk,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Logger,
  MIB,
  type Ms,
  type NodeId,
  nodeId,
  type Rng,
  type Term,
  type Timer,
} from '../base/index.js';
import type { Handler, Rpc, Wire } from '../net/index.js';
import { confFromWire, confToWire } from './conf.js';
import { SnapshotSpool } from './snapshot-spool.js';
import type { ConfState, ReplicatedMachine, SnapshotImage, SnapshotMeta } from './types.js';

export interface SnapshotTransferParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly log: Logger;
  readonly machine: ReplicatedMachine;
  /** Where an incoming snapshot is kept until it is whole. */
  readonly spoolPath: string;
  /** The term this node is in. */
  readonly term: () => Term;
  /** The configuration in force at an index; undefined where the log is past it. */
  readonly confAt: (index: LogIndex) => ConfState | undefined;
  readonly onSent: (to: NodeId, index: number, ok: boolean) => void;
  readonly onStaged: (from: NodeId, term: Term, meta: SnapshotMeta) => void;
  /** The receiver has found the image damaged. */
  readonly onSnapshotRefused?: () => void;
  /** Bytes of one chunk. Default: SNAPSHOT_CHUNK_BYTES. Tests take small ones. */
  readonly chunkBytes?: number;
}

export const SNAPSHOT_METHODS = {
  begin: 'raft.snapshot-begin',
  chunk: 'raft.snapshot-chunk',
} as const;

const SNAPSHOT_CHUNK_BYTES = 1 * MIB;
/** To answer one chunk: a slow disk and a busy network. */
const CHUNK_TIMEOUT_MS: Ms = 30_000;
/** The last answer waits for the whole state to be staged and verified. */
const STAGE_TIMEOUT_MS: Ms = 10 * 60 * 1000;
/** A chunk that arrives damaged is sent again so often. */
const DAMAGED_CHUNKS_MAX = 5;
/** Transfers at a time: each keeps an image, and takes its share of disk and network. */
const SENDING_MAX = 2;
/** How long an image waits for its receiver to come back. */
const IMAGE_KEPT_MS: Ms = 60_000;

interface Outgoing {
  readonly id: string;
  readonly image: SnapshotImage;
  expiry: Timer | undefined;
}

export class SnapshotTransfer {
  readonly #parts: SnapshotTransferParts;
  readonly #rng: Rng;
  readonly #sending = new Set<NodeId>();
  /** Images of transfers under way, and of broken ones that may go on. */
  readonly #images = new Map<NodeId, Outgoing>();
  readonly #stop = new AbortController();
  #incoming: SnapshotSpool | undefined;
  #isReceiving = false;

  constructor(parts: SnapshotTransferParts) {
    this.#parts = parts;
    this.#rng = parts.rng.fork('snapshots');
    parts.rpc.handle(SNAPSHOT_METHODS.begin, this.#onBegin);
    parts.rpc.handle(SNAPSHOT_METHODS.chunk, this.#onChunk);
  }

  /** Sends the state as it is now, or the rest of what was begun; the outcome goes to `onSent`. */
  async send(to: NodeId): Promise<void> {
    const { onSent, log, clock } = this.#parts;
    if (this.#sending.has(to) || this.#sending.size >= SENDING_MAX) {
      onSent(to, 0, false);
      return;
    }
    this.#sending.add(to);
    const startedMs = clock.now();
    let index = 0;
    let ok = false;
    try {
      const outgoing = await this.#imageFor(to);
      index = outgoing.image.index;
      const sent = await this.#sendImage(to, outgoing);
      ok = true;
      const ms = Math.round(clock.now() - startedMs);
      log.info('raft.snapshot-sent', { to, index, ms, ...sent });
      await this.#letGo(to);
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('raft.snapshot-failed', { to, index, error });
      if (isIdunnoError(error, 'CORRUPT')) {
        await this.#letGo(to);
        this.#parts.onSnapshotRefused?.();
      } else {
        this.#keepForAWhile(to);
      }
    } finally {
      this.#sending.delete(to);
    }
    onSent(to, index, ok);
  }

  stop(): void {
    this.#stop.abort(new IdunnoError('ABORTED', 'the node stops'));
    for (const to of [...this.#images.keys()]) {
      if (!this.#sending.has(to)) void this.#letGo(to);
    }
    const incoming = this.#incoming;
    this.#incoming = undefined;
    incoming?.close().catch(() => undefined);
  }

  // ---- sending ----

  /** That of a broken transfer, while the log still reaches back to it; else a new one. */
  async #imageFor(to: NodeId): Promise<Outgoing> {
    const kept = this.#images.get(to);
    kept?.expiry?.cancel();
    if (kept !== undefined && this.#parts.confAt(kept.image.index) !== undefined) return kept;
    await this.#letGo(to);
    const image = await this.#parts.machine.image();
    const id = `${this.#rng.nextU32().toString(16)}${this.#rng.nextU32().toString(16)}`;
    const outgoing = { id, image, expiry: undefined };
    this.#images.set(to, outgoing);
    return outgoing;
  }

  async #sendImage(
    to: NodeId,
    { id, image }: Outgoing,
  ): Promise<{ chunks: number; resumedAt: number }> {
    const { term, confAt, chunkBytes = SNAPSHOT_CHUNK_BYTES } = this.#parts;
    // That of the image, not the present one, which may not even be committed (Raft §7).
    const conf = confAt(image.index);
    if (conf === undefined) {
      throw new IdunnoError('UNAVAILABLE', `the log is past the snapshot at ${image.index}`);
    }
    const position = [term(), id, image.index, image.term, confToWire(conf)];
    const resumedAt = await this.#call(to, SNAPSHOT_METHODS.begin, position, CHUNK_TIMEOUT_MS);
    let nth = 0;
    for await (const { bytes, isLast } of chunksOf(image.open(), chunkBytes)) {
      if (nth >= resumedAt || isLast) await this.#sendChunk(to, id, nth, bytes, isLast);
      nth += 1;
    }
    return { chunks: nth, resumedAt };
  }

  async #sendChunk(
    to: NodeId,
    id: string,
    nth: number,
    bytes: Uint8Array,
    isLast: boolean,
  ): Promise<void> {
    const { term } = this.#parts;
    const timeoutMs = isLast ? STAGE_TIMEOUT_MS : CHUNK_TIMEOUT_MS;
    for (let tries = 1; tries <= DAMAGED_CHUNKS_MAX; tries += 1) {
      const args = [term(), id, nth, crc32c(bytes), isLast];
      const held = await this.#call(to, SNAPSHOT_METHODS.chunk, args, timeoutMs, bytes);
      if (held === nth + 1) return;
      if (held !== nth) {
        throw new IdunnoError('PROTOCOL', `${to} has ${held} chunks and was sent chunk ${nth}`);
      }
    }
    throw new IdunnoError('CONNECTION_LOST', `chunk ${nth} arrives damaged again and again`);
  }

  async #call(
    to: NodeId,
    method: string,
    args: readonly Wire[],
    timeoutMs: Ms,
    body?: Uint8Array,
  ): Promise<number> {
    const { value } = await this.#parts.rpc.call(to, method, args, {
      timeoutMs,
      signal: this.#stop.signal,
      lane: 'bulk',
      ...(body === undefined ? {} : { body }),
    });
    if (isCount(value)) return value;
    throw new IdunnoError('PROTOCOL', `${to} does not say how many chunks it has`);
  }

  #keepForAWhile(to: NodeId): void {
    const kept = this.#images.get(to);
    if (kept === undefined) return;
    if (this.#stop.signal.aborted) void this.#letGo(to);
    else kept.expiry = this.#parts.clock.setTimer(IMAGE_KEPT_MS, () => void this.#letGo(to));
  }

  async #letGo(to: NodeId): Promise<void> {
    const kept = this.#images.get(to);
    this.#images.delete(to);
    kept?.expiry?.cancel();
    await kept?.image.close().catch((error: unknown) => {
      this.#parts.log.warn('raft.image-not-closed', { error });
    });
  }

  // ---- receiving ----

  readonly #onBegin: Handler = async (args, _body, { peer }) => {
    const { disk, spoolPath, log } = this.#parts;
    const [term, id, ...position] = args;
    this.#assertCurrent(peer.kind, term, id);
    const meta = parseMeta(position);
    return this.#exclusively(async () => {
      let incoming = this.#incoming ?? (await SnapshotSpool.open(disk, spoolPath));
      if (incoming === undefined || incoming.id !== id) {
        // Only a leader sends, and it sends one: what was begun before is given up.
        await incoming?.close();
        incoming = await SnapshotSpool.create(disk, spoolPath, String(id), meta);
      }
      this.#incoming = incoming;
      const { chunks } = incoming;
      log.info('raft.snapshot-receiving', {
        from: peer.name,
        index: meta.index,
        resumedAt: chunks,
      });
      return chunks;
    });
  };

  readonly #onChunk: Handler = async (args, body, { peer }) => {
    const [term, id, nth, crc, isLast] = args;
    this.#assertCurrent(peer.kind, term, id);
    const bytes = await collect(body, this.#parts.chunkBytes ?? SNAPSHOT_CHUNK_BYTES);
    return this.#exclusively(async () => {
      const incoming = this.#incoming;
      if (incoming === undefined || incoming.id !== id) {
        throw new IdunnoError('CONFLICT', 'another snapshot has taken its place: begin again');
      }
      // A retry of the last chunk: it is here, and only the answer was lost.
      const isHere = nth === incoming.chunks - 1;
      if (!isHere && (nth !== incoming.chunks || crc !== crc32c(bytes))) return incoming.chunks;
      if (!isHere) await incoming.append(bytes);
      const held = incoming.chunks;
      if (isLast === true) await this.#finish(incoming, nodeId(peer.name), Number(term));
      return held;
    });
  };

  /** Whole, and staged: the machine has found its checksum right. */
  async #finish(incoming: SnapshotSpool, from: NodeId, term: Term): Promise<void> {
    const { machine, onStaged } = this.#parts;
    this.#incoming = undefined;
    try {
      await machine.stage(incoming.meta, incoming.read());
    } finally {
      await incoming.remove();
    }
    onStaged(from, term, incoming.meta);
  }

  #assertCurrent(kind: string, term: Wire | undefined, id: Wire | undefined): void {
    if (kind !== 'node') throw new IdunnoError('PROTOCOL', 'only nodes send snapshots');
    if (!isCount(term) || typeof id !== 'string' || id.length > 64) {
      throw new IdunnoError('PROTOCOL', 'a snapshot without a term or a name');
    }
    if (term < this.#parts.term()) {
      throw new IdunnoError('NOT_LEADER', `a snapshot of the past term ${term}`);
    }
  }

  async #exclusively(work: () => Promise<number>): Promise<{ value: Wire }> {
    if (this.#isReceiving) throw new IdunnoError('BUSY', 'a snapshot is being received');
    this.#isReceiving = true;
    try {
      return { value: await work() };
    } finally {
      this.#isReceiving = false;
    }
  }
}

/** Pieces of exactly so many bytes, whatever the stream's own are: the same each time. */
async function* chunksOf(
  stream: AsyncIterable<Uint8Array>,
  chunkBytes: number,
): AsyncGenerator<{ bytes: Uint8Array; isLast: boolean }> {
  let parts: Uint8Array[] = [];
  let held = 0;
  for await (const part of stream) {
    parts.push(part);
    held += part.length;
    while (held > chunkBytes) {
      const all = Buffer.concat(parts);
      yield { bytes: all.subarray(0, chunkBytes), isLast: false };
      parts = [all.subarray(chunkBytes)];
      held -= chunkBytes;
    }
  }
  yield { bytes: Buffer.concat(parts), isLast: true };
}

async function collect(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > bytesMax) throw new IdunnoError('PROTOCOL', `a chunk of more than ${bytesMax} B`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Throws PROTOCOL, or BAD_NAME for a member that cannot be one. */
function parseMeta([index, term, wireConf]: readonly Wire[]): SnapshotMeta {
  if (!isCount(index) || !isCount(term)) {
    throw new IdunnoError('PROTOCOL', 'a snapshot without a position');
  }
  const conf = confFromWire(wireConf);
  if (conf === undefined) throw new IdunnoError('PROTOCOL', 'a snapshot without members');
  return { index, term, conf };
}

function isCount(value: Wire | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
