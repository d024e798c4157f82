/**
 * Applies a query to a log that comes in chunks: which lines are selected, counted, delivered. Pure
 * but for the time it takes. A log is one text, though it lies in several segments, so a line never
 * goes over from one segment to the next (the writer turns over between lines).
 */
import { NEWLINE } from './byte-set.js';
import { LineMatcher } from './line-matcher.js';
import type { LineBatch, NodeQuery } from './types.js';

export interface SegmentChunk {
  readonly segment: string;
  /** Where in the segment the bytes begin. */
  readonly offset: number;
  /** Whole lines, each with its newline. */
  readonly bytes: Buffer;
}

/** Lines of one record: what a reader may have to hold at once. */
const BATCH_LINES_MAX = 2_000;
const BATCH_BYTES_MAX = 256 * 1024;

export class LineScan {
  readonly #query: NodeQuery;
  readonly #matcher: LineMatcher;
  #matches = 0;
  #bytes = 0;

  /** Throws PatternError. */
  constructor(query: NodeQuery) {
    this.#query = query;
    this.#matcher = new LineMatcher(query.pattern, query);
  }

  /** Selected lines so far, delivered or not. */
  get matches(): number {
    return this.#matches;
  }

  /** Searched so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** As many lines as were asked for have been selected. */
  get isFull(): boolean {
    const { max } = this.#query;
    return max !== null && this.#matches >= max;
  }

  /** The batches to deliver for these lines. */
  add(chunk: SegmentChunk): LineBatch[] {
    const batches: LineBatch[] = [];
    let batch = new Batch(chunk);
    const { bytes } = chunk;
    this.#bytes += bytes.length;
    const onSelected = (from: number, to: number): boolean => {
      this.#matches += 1;
      if (!this.#query.countOnly && this.#matches > this.#query.skip) {
        batch.add(from, to);
        if (batch.isFull) {
          batches.push(batch.take());
          batch = new Batch(chunk);
        }
      }
      return !this.isFull;
    };
    if (this.isFull) return [];
    if (this.#query.invert) this.#others(bytes, onSelected);
    else this.#matcher.search(bytes, 0, bytes.length, onSelected);
    if (!batch.isEmpty) batches.push(batch.take());
    return batches;
  }

  /** Every line between those that match. */
  #others(bytes: Buffer, onSelected: (from: number, to: number) => boolean): void {
    let at = 0;
    const upTo = (end: number): boolean => {
      while (at < end) {
        const newline = bytes.indexOf(NEWLINE, at);
        const from = at;
        at = newline + 1;
        if (!onSelected(from, newline)) return false;
      }
      return true;
    };
    let goesOn = true;
    this.#matcher.search(bytes, 0, bytes.length, (from, to) => {
      goesOn = upTo(from);
      at = to + 1;
      return goesOn;
    });
    if (goesOn) upTo(bytes.length);
  }
}

/** Lines of one chunk, gathered. */
class Batch {
  readonly #chunk: SegmentChunk;
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(chunk: SegmentChunk) {
    this.#chunk = chunk;
  }

  get isEmpty(): boolean {
    return this.#offsets.length === 0;
  }

  get isFull(): boolean {
    return this.#offsets.length >= BATCH_LINES_MAX || this.#bytes >= BATCH_BYTES_MAX;
  }

  add(from: number, to: number): void {
    this.#offsets.push(this.#chunk.offset + from);
    this.#lengths.push(to - from);
    this.#pieces.push(this.#chunk.bytes.subarray(from, to));
    this.#bytes += to - from;
  }

  /** A copy: the chunk's bytes are used again. */
  take(): LineBatch {
    const bytes = new Uint8Array(this.#bytes);
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    const { segment } = this.#chunk;
    return { segment, offsets: this.#offsets, lengths: this.#lengths, bytes };
  }
}
