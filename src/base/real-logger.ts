/**
 * The node's log: JSON lines in `FOLDER/node.log`, one event per line. A full segment is renamed to
 * `node.log.N` (a larger N is newer, names never change again, so a scan that has one open keeps
 * it) and the oldest go when there are too many. Writing never blocks the loop: lines wait in
 * memory, and beyond a bound they are dropped and counted; a full disk costs lines, not the node.
 */
import { closeSync, fstatSync, mkdirSync, open, openSync, write } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { diskError } from './disk-errors.js';
import { KIB, MIB } from './limits.js';
import { type LogFields, loggerOf } from './logger.js';
import type { Clock, Logger, LogLevel } from './runtime.js';

export interface RealLoggerOptions {
  /** Holds the segments; made where it is missing. */
  readonly folder: string;
  readonly clock: Pick<Clock, 'wall'>;
  /** Fields of every line, such as the node's name. */
  readonly fields?: LogFields;
  readonly level?: LogLevel;
  readonly segmentBytes?: number;
  /** Renamed segments that are kept, beside the one being written. */
  readonly segmentsKept?: number;
}

export interface RealLogger extends Logger {
  /** Lines lost because the disk was too slow or full. */
  readonly dropped: number;
  /** Writes what waits; to be called before the process ends. */
  close(): Promise<void>;
}

const SEGMENT_BYTES = 16 * MIB;
const SEGMENTS_KEPT = 8;
/** Lines that may wait in memory. */
const WAITING_BYTES_MAX = 4 * MIB;
/** One line: longer values are of no use to a reader. */
const LINE_BYTES_MAX = 64 * KIB;

export const LOG_FILE = 'node.log';

const writeAsync: (fd: number, bytes: Buffer, from: number) => Promise<{ bytesWritten: number }> =
  promisify(write);
const openAsync: (path: string, flags: string) => Promise<number> = promisify(open);

/** Throws DISK_ERROR where the folder cannot be used. */
export function createLogger(options: RealLoggerOptions): RealLogger {
  const segments = new Segments(options);
  const log = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: () => `,"time":"${new Date(options.clock.wall()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err, err: pino.stdSerializers.err },
    },
    segments,
  );
  const write = (level: LogLevel, event: string, fields: LogFields) => {
    log[level]({ event, ...fields });
  };
  return {
    ...loggerOf(write, options.fields ?? {}),
    get dropped() {
      return segments.dropped;
    },
    close: () => segments.close(),
  };
}

/**
 * Where pino writes: appends to the segment, and turns over to the next when the line to come would
 * not fit. One write at a time, of all lines that wait.
 */
class Segments {
  readonly #folder: string;
  readonly #file: string;
  readonly #segmentBytes: number;
  readonly #segmentsKept: number;
  #handle: number;
  /** Of the segment being written. */
  #bytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isClosed = false;
  #writing: Promise<void> | undefined;
  dropped = 0;

  constructor(options: RealLoggerOptions) {
    this.#folder = options.folder;
    this.#file = join(options.folder, LOG_FILE);
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#segmentsKept = options.segmentsKept ?? SEGMENTS_KEPT;
    try {
      mkdirSync(options.folder, { recursive: true });
      this.#handle = openSync(this.#file, 'a');
      this.#bytes = fstatSync(this.#handle).size;
    } catch (error) {
      throw diskError(error, `write the log ${this.#file}`, this.#file);
    }
  }

  write(text: string): void {
    const line = Buffer.from(text);
    const isTooMuch = this.#waitingBytes + line.length > WAITING_BYTES_MAX;
    if (this.#isClosed || isTooMuch || line.length > LINE_BYTES_MAX) {
      this.dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#writing ??= this.#drain();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#writing;
    closeSync(this.#handle);
  }

  async #drain(): Promise<void> {
    // Lines of one turn of the event loop are written together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#takeFitting();
      try {
        if (lines.length === 0) await this.#turnOver();
        else await this.#append(Buffer.concat(lines));
      } catch {
        // A disk that refuses lines must not end the node. Without a next segment the old one grows.
        this.dropped += lines.length;
        if (lines.length === 0) this.#bytes = 0;
      }
    }
    this.#writing = undefined;
  }

  /** The lines that still go into this segment; one always fits into an empty one. */
  #takeFitting(): Buffer[] {
    let count = 0;
    let bytes = 0;
    for (const line of this.#waiting) {
      const total = this.#bytes + bytes + line.length;
      if (total > this.#segmentBytes && total > line.length) break;
      bytes += line.length;
      count++;
    }
    this.#waitingBytes -= bytes;
    this.#bytes += bytes;
    return this.#waiting.splice(0, count);
  }

  async #append(bytes: Buffer): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      written += (await writeAsync(this.#handle, bytes, written)).bytesWritten;
    }
  }

  async #turnOver(): Promise<void> {
    const names = await readdir(this.#folder);
    const numbers = names
      .filter((name) => name.startsWith(`${LOG_FILE}.`))
      .map((name) => Number(name.slice(LOG_FILE.length + 1)))
      .filter((number) => Number.isSafeInteger(number) && number > 0)
      .sort((a, b) => a - b);
    const next = (numbers.at(-1) ?? 0) + 1;
    await rename(this.#file, `${this.#file}.${next}`);
    const full = this.#handle;
    this.#handle = await openAsync(this.#file, 'a');
    this.#bytes = 0;
    closeSync(full);
    for (const old of [...numbers, next].slice(0, -this.#segmentsKept)) {
      await rm(`${this.#file}.${old}`, { force: true });
    }
  }
}
