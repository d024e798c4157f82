/**
 * Streams the bytes of one version, verified, from whichever holder serves.
 *
 *     open ── 50 ms silence ──▶ a second holder is asked too; the first chunk wins
 *      ▲
 *      └── error, silence or damage in the middle: go on at the same byte with another holder
 *
 * Each block's checksum is verified by the holder before it is sent, each frame's by the receiver,
 * and the SHA-256 of the whole at the end. Files up to 1 MiB are handed out only after that; of a
 * larger one the last step throws CORRUPT where the whole does not match.
 *
 * Memory: the chunk in hand, and what the network's flow control allows to be under way.
 */
import { createHash } from 'node:crypto';
import { asIdunnoError, type Clock, IdunnoError, type NodeId, type Rng } from '../base/index.js';
import { guardStall } from './chunk-pipe.js';
import { VERIFY_WHOLE_BYTES_MAX } from './limits.js';
import { abortReason, type NodeCalls } from './node-calls.js';
import { METHODS, transferTimeoutMs } from './transfer.js';
import type { LocatedVersion } from './wire.js';

export interface ReadParts {
  readonly calls: NodeCalls;
  readonly clock: Clock;
  readonly rng: Rng;
  /** The record anew: holders change. Undefined: the version is gone. */
  readonly locate: (file: LocatedVersion) => Promise<LocatedVersion | undefined>;
  /** A holder of the record did not serve: whoever remembers the record should ask anew. */
  readonly forget: (file: LocatedVersion) => void;
  /** Told of a copy whose checksums pass and whose bytes are still not those recorded. */
  readonly onBadCopy: (blob: number, node: NodeId, error: IdunnoError) => void;
}

const HEDGE_MS = 50;
const STALL_MS = 2_000;
/** Rounds over all holders, with a pause and a fresh record between. */
const ROUNDS_MAX = 5;
const ROUND_PAUSE_MS = 200;

/** The verified bytes of a version. Throws CORRUPT or UNAVAILABLE when no holder can serve. */
export async function* readVersion(
  file: LocatedVersion,
  parts: ReadParts,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (file.bytes > VERIFY_WHOLE_BYTES_MAX) {
    const reader = new VersionReader(file, parts, signal);
    yield* reader.chunks();
    const failure = reader.checkWhole();
    if (failure !== undefined) throw failure;
    return;
  }
  const bad = new Set<NodeId>();
  for (;;) {
    const reader = new VersionReader(file, parts, signal, bad);
    const chunks: Uint8Array[] = [];
    for await (const chunk of reader.chunks()) chunks.push(chunk);
    const failure = reader.checkWhole();
    if (failure === undefined) {
      yield* chunks;
      return;
    }
    for (const node of reader.servedBy) bad.add(node);
    if (file.holders.every((node) => bad.has(node))) throw failure;
  }
}

/** An open stream, and its first chunk. */
interface Opened {
  readonly node: NodeId;
  readonly first: IteratorResult<Uint8Array>;
  readonly rest: AsyncGenerator<Uint8Array>;
  readonly abort: AbortController;
}

class VersionReader {
  readonly servedBy = new Set<NodeId>();
  readonly #parts: ReadParts;
  readonly #signal: AbortSignal | undefined;
  readonly #bad: ReadonlySet<NodeId>;
  readonly #hash = createHash('sha256');
  readonly #failures = new Map<NodeId, IdunnoError>();
  #file: LocatedVersion;
  #at = 0;

  constructor(
    file: LocatedVersion,
    parts: ReadParts,
    signal: AbortSignal | undefined,
    bad: ReadonlySet<NodeId> = new Set(),
  ) {
    this.#file = file;
    this.#parts = parts;
    this.#signal = signal;
    this.#bad = bad;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    while (this.#at < this.#file.bytes) {
      const opened = await this.#open();
      try {
        yield* this.#drain(opened);
      } finally {
        opened.abort.abort(READER_LEFT);
      }
    }
  }

  /** After the last chunk: why the whole is not what was recorded, or undefined if it is. */
  checkWhole(): IdunnoError | undefined {
    const { sha256, name, version, blob } = this.#file;
    if (this.#hash.digest('hex') === sha256) return undefined;
    const error = new IdunnoError(
      'CORRUPT',
      `${name} v${version} from ${[...this.servedBy].join(', ')} does not match its SHA-256`,
      { name, version },
    );
    // With two sources nobody can say whose bytes were wrong.
    const [only, another] = this.servedBy;
    if (only !== undefined && another === undefined) this.#parts.onBadCopy(blob, only, error);
    return error;
  }

  /** Hands out what this holder gives; returns at the end, or where it failed. */
  async *#drain(opened: Opened): AsyncGenerator<Uint8Array> {
    const { node, rest } = opened;
    let next = opened.first;
    for (;;) {
      if (next.done === true) {
        if (this.#at < this.#file.bytes) {
          this.#noteFailure(node, new IdunnoError('CORRUPT', `${node} gave too few bytes`));
        }
        return;
      }
      this.#at += next.value.length;
      if (this.#at > this.#file.bytes) {
        throw new IdunnoError('PROTOCOL', `${node} gave more bytes than were asked for`);
      }
      this.#hash.update(next.value);
      this.servedBy.add(node);
      yield next.value;
      try {
        next = await rest.next();
      } catch (error) {
        this.#throwIfAborted();
        this.#noteFailure(node, error);
        return;
      }
    }
  }

  /** The first holder that gives a chunk from here on. */
  async #open(): Promise<Opened> {
    for (let round = 1; ; round += 1) {
      const holders = this.#order();
      const opened = holders.length === 0 ? undefined : await this.#race(holders);
      if (opened !== undefined) return opened;
      if (round >= ROUNDS_MAX) throw this.#nobodyServes();
      await this.#parts.clock.sleep(ROUND_PAUSE_MS * round, this.#signal);
      await this.#refresh();
    }
  }

  /** This node first, then those that are up, in an order of chance; known failures last. */
  #order(): NodeId[] {
    const { calls, rng } = this.#parts;
    const rank = (node: NodeId, at: number): number => {
      if (this.#failures.has(node)) return 1_000 + at;
      // The record lists nodes that are up first; chance shares the load among these.
      return node === calls.self ? -1 : at < this.#file.up ? rng.float() : at;
    };
    const ranked = this.#file.holders
      .map((node, at) => ({ node, rank: rank(node, at) }))
      .filter(({ node }) => !this.#bad.has(node));
    return ranked.sort((a, b) => a.rank - b.rank).map(({ node }) => node);
  }

  /** Asks the first, after a silence the next as well; undefined when all have failed. */
  #race(holders: readonly NodeId[]): Promise<Opened | undefined> {
    const { clock } = this.#parts;
    const signal = this.#signal;
    return new Promise((resolve, reject) => {
      const aborts = new Set<AbortController>();
      let next = 0;
      let running = 0;
      let isOver = false;
      const finish = (): void => {
        isOver = true;
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        if (isOver || signal === undefined) return;
        finish();
        for (const abort of aborts) abort.abort(abortReason(signal));
        reject(abortReason(signal));
      };
      const startNext = (): void => {
        const node = holders[next];
        if (isOver || node === undefined) return;
        next += 1;
        running += 1;
        timer.cancel();
        timer = clock.setTimer(HEDGE_MS, startNext);
        const abort = new AbortController();
        aborts.add(abort);
        this.#openAt(node, abort).then(
          (opened) => {
            if (isOver) return abort.abort();
            finish();
            for (const other of aborts) if (other !== abort) other.abort(LOST_RACE);
            resolve(opened);
          },
          (error: unknown) => {
            running -= 1;
            if (isOver) return;
            this.#noteFailure(node, error);
            startNext();
            if (running > 0 || next < holders.length) return;
            finish();
            resolve(undefined);
          },
        );
      };
      let timer = clock.setTimer(HEDGE_MS, startNext);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      startNext();
    });
  }

  async #openAt(node: NodeId, abort: AbortController): Promise<Opened> {
    const { calls, clock } = this.#parts;
    const { blob, offset, bytes } = this.#file;
    const left = bytes - this.#at;
    const { body } = await calls.call(node, METHODS.read, [blob, offset + this.#at, left, false], {
      timeoutMs: transferTimeoutMs(left),
      signal: abort.signal,
      lane: 'bulk',
    });
    const rest = guardStall(body, clock, STALL_MS, `the next chunk of ${node}`);
    return { node, first: await rest.next(), rest, abort };
  }

  #noteFailure(node: NodeId, error: unknown): void {
    this.#failures.set(node, asIdunnoError(error));
    this.#parts.forget(this.#file);
  }

  async #refresh(): Promise<void> {
    try {
      const file = await this.#parts.locate(this.#file);
      if (file !== undefined) this.#file = file;
    } catch (error) {
      this.#throwIfAborted();
      // Without a leader the old record is still right about the bytes.
      void error;
    }
    // Each of them may have recovered.
    this.#failures.clear();
  }

  #throwIfAborted(): void {
    if (this.#signal?.aborted) throw abortReason(this.#signal);
  }

  #nobodyServes(): IdunnoError {
    const { name, version } = this.#file;
    const errors = [...this.#failures];
    const reasons = errors.map(([node, error]) => `${node}: ${error.message}`).slice(0, 5);
    const allBad = errors.length > 0 && errors.every(([, error]) => error.code === 'CORRUPT');
    return new IdunnoError(
      allBad ? 'CORRUPT' : 'UNAVAILABLE',
      `cannot read ${name} v${version} at byte ${this.#at}: no holder serves it; ` +
        (reasons.join('; ') || 'the record names no holder'),
      { name, version },
    );
  }
}

const READER_LEFT = new IdunnoError('ABORTED', 'the reader has left');
const LOST_RACE = new IdunnoError('ABORTED', 'another holder was faster');
