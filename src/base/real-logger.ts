/**
 * The node's log: JSON lines in `FOLDER/node.log`, one event per line. A full segment is renamed to
 * `node.log.N` (a larger N is newer, names never change again, so a scan that has one open keeps
 * it) and the oldest go when there are too many. Writing never blocks the loop: lines wait in
 * memory, and beyond a bound they are dropped and counted; a full disk costs lines, not the node.
 */
import { closeSync, fstatSync, mkdirSync, open, openSync, write } from 'node:fs';
import { readdir, rename, rm, stat, truncate } from 'node:fs/promises';
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
  /** Resolves when what was logged before is in the file. */
  flush(): Promise<void>;
  /** Empties the log: full segments go, the one being written is cut to nothing. */
  clear(): Promise<{ readonly segments: number; readonly bytes: number }>;
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
    flush: () => segments.flush(),
    clear: () => segments.clear(),
    close: () => segments.close(),
  };
}

/** The number of a full segment, by its file's name; undefined for other files. */
export function logSegmentNumber(name: string): number | undefined {
  if (!name.startsWith(`${LOG_FILE}.`)) return undefined;
  const number = Number(name.slice(LOG_FILE.length + 1));
  return Number.isSafeInteger(number) && number > 0 ? number : undefined;
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
  /** Lines taken, and lines written or given up. */
  #taken = 0;
  #settled = 0;
  #flushing: (() => void)[] = [];
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
    this.#taken++;
    this.#waitingBytes += line.length;
    this.#writing ??= this.#drain();
  }

  /** Lines that come meanwhile are not waited for: a busy log would never be done. */
  async flush(): Promise<void> {
    const upTo = this.#taken;
    while (this.#settled < upTo) {
      await new Promise<void>((resolve) => this.#flushing.push(resolve));
    }
  }

  async clear(): Promise<{ segments: number; bytes: number }> {
    await this.flush();
    let segments = 1;
    let bytes = 0;
    try {
      // By name: the handle might be closed, and its number taken, while a thread gets to it.
      bytes += (await stat(this.#file)).size;
      await truncate(this.#file, 0);
      this.#bytes = 0;
      for (const number of await this.#numbers()) {
        const path = `${this.#file}.${number}`;
        bytes += (await stat(path)).size;
        segments += 1;
        await rm(path, { force: true });
      }
    } catch (error) {
      throw diskError(error, `clear the log in ${this.#folder}`, this.#folder);
    }
    return { segments, bytes };
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
      this.#settled += lines.length;
      for (const resolve of this.#flushing.splice(0)) resolve();
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
    const numbers = await this.#numbers();
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

  /** Of the full segments, oldest first. */
  async #numbers(): Promise<number[]> {
    const names = await readdir(this.#folder);
    return names.flatMap((name) => logSegmentNumber(name) ?? []).sort((a, b) => a - b);
  }
}
