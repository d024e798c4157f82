/**
 * A small file beside the log that says how far the log once was. LevelDB can lose the end of its
 * data without a word (a directory entry or a whole file gone after a crash); what the watermark
 * has seen and the log has not is proof of it.
 *
 * Two slots of 512 bytes are overwritten alternately, so that a torn write spoils at most the newer
 * one. A slot is written only after the batch it describes is durable: the watermark is never ahead
 * of an intact log. It is synced before a vote becomes visible and, when dirty, every 100 ms.
 *
 * Slot: u32 magic, u8 version, u8 length of the vote, u16 zero, u64 term, u64 last index,
 * u64 last term, u64 seq, vote (≤ 64 bytes), zeros, u32 CRC32C at byte 508.
 */

import {
  type Clock,
  crc32c,
  type Disk,
  type DiskFile,
  type LogIndex,
  type Ms,
  type NodeId,
  type Term,
  type Timer,
} from '../base/index.js';
import { areCounts, nameOf, readU64, writeU64 } from './log-record.js';

export interface WatermarkState {
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Batch of the log that this describes; 0: none yet. */
  readonly seq: number;
}

/** What a boot reads back. */
export interface WatermarkReading {
  readonly newest: WatermarkState | undefined;
  /** Both slots are readable: nothing newer can have been in a damaged one. */
  readonly isWhole: boolean;
}

export interface WatermarkParts {
  readonly disk: Disk;
  readonly clock: Clock;
  /** A write or sync failed: nothing may be acknowledged after it. */
  readonly onFailure: (error: unknown) => void;
}

export const SLOT_BYTES = 512;
/** How long a written slot may wait for its sync, unless a vote hurries it. */
export const WATERMARK_SYNC_MS: Ms = 100;
const NOTHING_NOTED: WatermarkState = {
  term: 0,
  vote: undefined,
  lastIndex: 0,
  lastTerm: 0,
  seq: 0,
};
const MAGIC = 0x49_44_57_4d;
const VERSION = 1;
const CHECKSUM_AT = SLOT_BYTES - 4;
const VOTE_AT = 40;

export class Watermark {
  readonly #file: DiskFile;
  readonly #parts: WatermarkParts;
  /** Writes and syncs, one after the other. */
  #tail: Promise<void> = Promise.resolve();
  /** The newest state not yet handed to the disk. */
  #next: WatermarkState | undefined;
  #dirty = false;
  #timer: Timer | undefined;
  #failed: unknown;
  /** The slot to overwrite next: never the one with the newest whole state. */
  #slot: 0 | 1;

  private constructor(file: DiskFile, slot: 0 | 1, parts: WatermarkParts) {
    this.#file = file;
    this.#slot = slot;
    this.#parts = parts;
  }

  /** What the file says; undefined: there is none. */
  static async read(disk: Disk, path: string): Promise<WatermarkReading | undefined> {
    if ((await disk.stat(path)) === undefined) return undefined;
    // Whatever follows the slots is damage, too: it is not read, and goes with the next rewrite.
    const file = await disk.open(path, 'read');
    try {
      const bytes = await file.read(0, 2 * SLOT_BYTES);
      return { newest: newestSlot(bytes)?.state, isWhole: slotsOf(bytes).every(isState) };
    } finally {
      await file.close();
    }
  }

  /** Opens the file. `initial`: makes it anew, durably, with both slots saying that. */
  static async open(
    path: string,
    parts: WatermarkParts,
    initial?: WatermarkState,
  ): Promise<Watermark> {
    const { disk } = parts;
    if (initial !== undefined || (await disk.stat(path)) === undefined) {
      const slot = encodeSlot(initial ?? NOTHING_NOTED);
      await disk.writeFileDurable(path, Buffer.concat([slot, slot]));
    }
    const newest = newestSlot(await disk.readFile(path, 2 * SLOT_BYTES));
    const file = await disk.open(path, 'update');
    return new Watermark(file, newest?.slot === 0 ? 1 : 0, parts);
  }

  /** Notes a durable batch; the file follows soon. */
  note(state: WatermarkState): void {
    const isWaiting = this.#next !== undefined;
    this.#next = state;
    this.#timer ??= this.#parts.clock.setTimer(WATERMARK_SYNC_MS, () => {
      this.#timer = undefined;
      // A failure has been reported by onFailure.
      this.sync().catch(() => undefined);
    });
    // States noted while a write is under way are merged: only the newest matters.
    if (!isWaiting) this.#enqueue(() => this.#writeNext()).catch(() => undefined);
  }

  /** Resolves when everything noted is on disk. */
  sync(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#writeNext();
      if (!this.#dirty) return;
      this.#dirty = false;
      await this.#file.datasync();
    });
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.sync().catch(() => undefined);
    await this.#file.close();
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(async () => {
      if (this.#failed !== undefined) throw this.#failed;
      await work();
    });
    this.#tail = done.catch((error: unknown) => {
      if (this.#failed !== undefined) return;
      this.#failed = error;
      this.#parts.onFailure(error);
    });
    return done;
  }

  async #writeNext(): Promise<void> {
    const state = this.#next;
    if (state === undefined) return;
    this.#next = undefined;
    this.#dirty = true;
    await this.#file.write(this.#slot * SLOT_BYTES, encodeSlot(state));
    this.#slot = this.#slot === 0 ? 1 : 0;
  }
}

function slotsOf(bytes: Uint8Array): (WatermarkState | undefined)[] {
  return [0, 1].map((at) => decodeSlot(bytes.subarray(at * SLOT_BYTES, (at + 1) * SLOT_BYTES)));
}

function isState(state: WatermarkState | undefined): boolean {
  return state !== undefined;
}

function newestSlot(bytes: Uint8Array): { slot: 0 | 1; state: WatermarkState } | undefined {
  const [a, b] = slotsOf(bytes);
  if (a !== undefined && (b === undefined || a.seq >= b.seq)) return { slot: 0, state: a };
  return b === undefined ? undefined : { slot: 1, state: b };
}

export function encodeSlot(state: WatermarkState): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeUInt32BE(MAGIC, 0);
  slot[4] = VERSION;
  slot[5] = Buffer.byteLength(state.vote ?? '');
  writeU64(slot, state.term, 8);
  writeU64(slot, state.lastIndex, 16);
  writeU64(slot, state.lastTerm, 24);
  writeU64(slot, state.seq, 32);
  slot.write(state.vote ?? '', VOTE_AT, 'utf8');
  slot.writeUInt32BE(crc32c(slot.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return slot;
}

/** Undefined where the slot is torn, damaged or of another version. */
export function decodeSlot(bytes: Uint8Array): WatermarkState | undefined {
  if (bytes.length !== SLOT_BYTES) return undefined;
  const slot = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (crc32c(slot.subarray(0, CHECKSUM_AT)) !== slot.readUInt32BE(CHECKSUM_AT)) return undefined;
  if (slot.readUInt32BE(0) !== MAGIC || slot[4] !== VERSION) return undefined;
  const [term, lastIndex] = [readU64(slot, 8), readU64(slot, 16)];
  const [lastTerm, seq] = [readU64(slot, 24), readU64(slot, 32)];
  const voteBytes = slot[5] ?? 0;
  const vote = nameOf(slot.toString('utf8', VOTE_AT, VOTE_AT + voteBytes));
  const isVoteSound = voteBytes === 0 || vote !== undefined;
  if (!areCounts(term, lastIndex, lastTerm, seq) || !isVoteSound) return undefined;
  return { term, vote, lastIndex, lastTerm, seq };
}
