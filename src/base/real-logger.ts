/**
 * The node's log: JSON lines in `FOLDER/node.log`, one event per line. A full segment is renamed to
 * `node.log.N` (a larger N is newer, names never change again, so a scan that has one open keeps
 * it) and the oldest go when there are too many. Writing never blocks the loop: lines wait in
 * memory, and beyond a bound they are dropped and counted; a full disk costs lines, not the node.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
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

/** Where pino writes: counts bytes and turns over to the next segment. */
class Segments {
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #segmentsKept: number;
  readonly #stream: ReturnType<typeof pino.destination>;
  #bytes: number;
  #isClosed = false;
  #isRotating = false;
  dropped = 0;

  constructor(options: RealLoggerOptions) {
    this.#folder = options.folder;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#segmentsKept = options.segmentsKept ?? SEGMENTS_KEPT;
    const file = join(options.folder, LOG_FILE);
    try {
      mkdirSync(options.folder, { recursive: true });
      this.#bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
      this.#stream = pino.destination({ dest: file, sync: false, maxLength: WAITING_BYTES_MAX });
    } catch (error) {
      throw diskError(error, `write the log ${file}`, file);
    }
    this.#stream.on('drop', () => {
      this.dropped++;
    });
    // A disk that refuses lines must not end the node: the lines are counted as lost.
    this.#stream.on('error', () => {
      this.dropped++;
    });
    this.#stream.on('ready', () => {
      this.#isRotating = false;
    });
  }

  write(line: string): void {
    if (this.#isClosed) return;
    const bytes = Buffer.byteLength(line);
    if (bytes > LINE_BYTES_MAX) {
      this.dropped++;
      return;
    }
    if (this.#bytes + bytes > this.#segmentBytes && !this.#isRotating) this.#rotate();
    this.#bytes += bytes;
    this.#stream.write(line);
  }

  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#isClosed = true;
    return new Promise((resolve) => {
      this.#stream.once('close', () => resolve());
      this.#stream.end();
    });
  }

  /** Some lines that wait land in the new segment; none is lost, none moves. */
  #rotate(): void {
    try {
      const numbers = this.#numbers();
      const next = (numbers.at(-1) ?? 0) + 1;
      const file = join(this.#folder, LOG_FILE);
      renameSync(file, `${file}.${next}`);
      for (const old of [...numbers, next].slice(0, -this.#segmentsKept)) {
        rmSync(`${file}.${old}`, { force: true });
      }
      this.#isRotating = true;
      this.#stream.reopen(file);
    } catch {
      // Writing goes on in the segment that there is; the next try comes after as many bytes.
      this.dropped++;
    }
    this.#bytes = 0;
  }

  #numbers(): number[] {
    return readdirSync(this.#folder)
      .filter((name) => name.startsWith(`${LOG_FILE}.`))
      .map((name) => Number(name.slice(LOG_FILE.length + 1)))
      .filter((number) => Number.isSafeInteger(number) && number > 0)
      .sort((a, b) => a - b);
  }
}
