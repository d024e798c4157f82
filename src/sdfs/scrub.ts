/**
 * Reads every blob of this node once per period and reports what is damaged, before anyone needs
 * it. Always on, and slow on purpose: at most 5 % of the time is spent reading.
 */
import {
  type Clock,
  type IdunnoError,
  isIdunnoError,
  type Logger,
  type Ms,
} from '../base/index.js';
import type { BlobStore } from './blob-store.js';

export interface ScrubberParts {
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onBadCopy: (blob: number, error: IdunnoError) => void;
}

/** Rest after reading, as a multiple of the time it took: 1 / 20 is 5 %. */
const REST_FACTOR = 19;
const REST_MS_MIN = 100;
const REST_MS_MAX = 60_000;
const START_AFTER_MS = 60_000;

export class Scrubber {
  readonly #options: { readonly periodMs: Ms };
  readonly #parts: ScrubberParts;
  readonly #stop = new AbortController();

  constructor(options: { readonly periodMs: Ms }, parts: ScrubberParts) {
    this.#options = options;
    this.#parts = parts;
  }

  start(): void {
    const { signal } = this.#stop;
    this.#run(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#parts.logger.error('sdfs.scrub-ended', { error });
    });
  }

  stop(): void {
    this.#stop.abort();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { blobs, clock } = this.#parts;
    await clock.sleep(START_AFTER_MS, signal);
    for (let after = 0; !signal.aborted; ) {
      const [blob] = blobs.page(after, 1);
      const startMs = clock.now();
      if (blob !== undefined) await this.#verify(blob);
      after = blob ?? 0;
      const paceMs = Math.min(REST_MS_MAX, this.#options.periodMs / Math.max(1, blobs.count));
      const restMs = REST_FACTOR * (clock.now() - startMs);
      await clock.sleep(Math.max(REST_MS_MIN, paceMs, restMs), signal);
    }
  }

  async #verify(blob: number): Promise<void> {
    const { blobs, logger, onBadCopy } = this.#parts;
    try {
      await blobs.verify(blob);
    } catch (error) {
      // Removed meanwhile: no damage. Shutting down never marks anything as bad either, since only
      // a checksum that does not match is reported.
      if (!isIdunnoError(error, 'CORRUPT')) return;
      logger.warn('sdfs.scrub-found-damage', { blob, error: error.message });
      onBadCopy(blob, error);
    }
  }
}
