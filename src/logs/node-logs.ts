/**
 * One node's logs: starts a thread for each scan, passes on what it finds, ends it in time.
 *
 * The thread's time is what passes while its reader waits for it: a reader that pauses costs
 * nothing, and the thread then waits, too. A thread that is over its time is terminated, whatever
 * it is doing; what it found before stays found.
 */
import { Worker } from 'node:worker_threads';
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  LOG_FILE,
  type Ms,
  type Timer,
} from '../base/index.js';
import { checkQuery } from './check-query.js';
import { type FromScan, SCAN_WINDOW, type ScanData, type ToScan } from './scan-messages.js';
import type { Cleared, NodeLogs, NodeQuery, ScanEvent } from './types.js';

/** What a log on disk can do besides taking lines. */
export interface LogFiles {
  flush(): Promise<void>;
  clear(): Promise<Cleared>;
}

export interface NodeLogsOptions {
  readonly folder: string;
}

export interface NodeLogsParts {
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
  readonly files: LogFiles;
}

/** Each costs a thread and a few MiB. Beyond: BUSY. */
const SCANS_MAX = 4;
/** A scan that finds nothing for so long says that it goes on. */
const ALIVE_MS: Ms = 1_000;
const THREAD_HEAP_MIB = 256;

export class ThreadedNodeLogs implements NodeLogs {
  readonly #options: NodeLogsOptions;
  readonly #parts: NodeLogsParts;
  #scans = 0;

  constructor(options: NodeLogsOptions, parts: NodeLogsParts) {
    this.#options = options;
    this.#parts = parts;
  }

  scan(query: NodeQuery): AsyncIterableIterator<ScanEvent> {
    checkQuery(query);
    if (this.#scans >= SCANS_MAX) {
      throw new IdunnoError('BUSY', `${SCANS_MAX} log queries run here already`);
    }
    this.#scans += 1;
    const { clock, files } = this.#parts;
    return new ThreadScan(
      { folder: this.#options.folder, file: LOG_FILE, query },
      clock,
      files,
      () => {
        this.#scans -= 1;
      },
    );
  }

  clear(): Promise<Cleared> {
    return this.#parts.files.clear();
  }
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

class ThreadScan implements AsyncIterableIterator<ScanEvent> {
  readonly #data: ScanData;
  readonly #clock: NodeLogsParts['clock'];
  readonly #onOver: () => void;
  readonly #events: ScanEvent[] = [];
  #worker: Worker | undefined;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;
  #isOver = false;
  #untold = 0;
  /** Until now, and since when the reader waits for more. */
  #spentMs: Ms = 0;
  #waitingSince: Ms | undefined;
  #matches = 0;
  #bytes = 0;

  constructor(data: ScanData, clock: NodeLogsParts['clock'], files: LogFiles, onOver: () => void) {
    this.#data = data;
    this.#clock = clock;
    this.#onOver = onOver;
    // What was logged before the question is to be found by it.
    files.flush().then(
      () => this.#start(),
      (error: unknown) => this.#end('failed', asIdunnoError(error).message),
    );
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<ScanEvent, undefined>> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) {
        if (event.kind === 'lines') this.#tellTaken();
        return { done: false, value: event };
      }
      if (this.#isOver) return DONE;
      await this.#wait();
    }
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#events.length = 0;
    this.#stop();
    return DONE;
  }

  #start(): void {
    if (this.#isOver) return;
    const worker = new Worker(new URL('./scan-thread.js', import.meta.url), {
      workerData: this.#data,
      name: 'log-scan',
      // Flags of the process are meant for the main thread; some even forbid a worker.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
    });
    this.#worker = worker;
    worker.on('message', (message: FromScan) => this.#onMessage(message));
    worker.on('error', (error) => this.#end('failed', error.message));
    worker.on('exit', () => this.#end('failed', 'the scan ended without a result'));
  }

  #onMessage(message: FromScan): void {
    if (this.#isOver) return;
    switch (message.kind) {
      case 'lines':
        this.#push({ kind: 'lines', ...message.batch });
        break;
      case 'progress':
        this.#matches = message.matches;
        this.#bytes = message.bytes;
        break;
      case 'done':
        this.#matches = message.matches;
        this.#bytes = message.bytes;
        this.#end('ok', null);
        break;
      case 'failed':
        this.#end('failed', message.error);
        break;
    }
  }

  /** Waits for an event, by the thread's time: at its end the thread ends, too. */
  async #wait(): Promise<void> {
    const nowMs = this.#clock.now();
    this.#waitingSince = nowMs;
    const leftMs = Math.max(0, this.#data.query.budgetMs - this.#spentMs);
    const isLast = leftMs <= ALIVE_MS;
    this.#timer = this.#clock.setTimer(Math.min(leftMs, ALIVE_MS), () => {
      if (isLast) this.#end('timeout', 'it was not done in its time');
      else this.#push({ kind: 'alive' });
    });
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#timer.cancel();
    this.#spentMs = this.#elapsedMs();
    this.#waitingSince = undefined;
  }

  #elapsedMs(): Ms {
    const since = this.#waitingSince;
    return this.#spentMs + (since === undefined ? 0 : this.#clock.now() - since);
  }

  /** In groups: a message for each batch would cost more than it helps. */
  #tellTaken(): void {
    this.#untold += 1;
    if (this.#untold < SCAN_WINDOW / 2) return;
    const message: ToScan = { taken: this.#untold };
    this.#untold = 0;
    this.#worker?.postMessage(message);
  }

  #push(event: ScanEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  #end(status: 'ok' | 'timeout' | 'failed', error: string | null): void {
    if (this.#isOver) return;
    const ms = Math.round(this.#elapsedMs());
    const report = { status, matches: this.#matches, bytes: this.#bytes, ms, error };
    this.#push({ kind: 'end', report });
    this.#stop();
  }

  #stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#onOver();
    this.#wake?.();
    void this.#worker?.terminate();
  }
}
