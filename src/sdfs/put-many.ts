/**
 * Puts many files: small ones in groups, each group one pack file and one commit; large ones on
 * their own. Several groups are in flight, so that the disks' syncs and Raft's overlap.
 *
 * Without a request number a group leaves early when the next source is slow to come. With one,
 * groups are cut by count and size alone: a retry then makes the same groups, and the number of a
 * group's first source tells which commit is meant.
 *
 * Memory: at most 4 packs of 8 MiB. The first error ends it: what was durable by then has been or
 * is still yielded, then the error is thrown.
 */
import { createHash } from 'node:crypto';
import { type Clock, type IdunnoError, asIdunnoError } from '../base/index.js';
import type { CommitFile } from './commit.js';
import { GROUP_FILES_MAX, PACK_BYTES_MAX, SMALL_FILE_BYTES_MAX } from './limits.js';
import { checkLength, type Payload } from './put.js';
import { collect } from './read-many.js';
import type { PutResult, PutSource } from './types.js';

/** A small file in memory. */
export interface SmallFile {
  readonly name: string;
  readonly data: Uint8Array;
}

export interface PutManyParts {
  readonly clock: Clock;
  /** Writes a group; `part` is the place of its first source. */
  readonly putGroup: (files: readonly SmallFile[], part: number) => Promise<readonly PutResult[]>;
  readonly putOne: (source: PutSource, part: number) => Promise<PutResult>;
}

const UNITS_AT_ONCE = 4;
const LINGER_MS = 20;

/** Yields each file's result when it is durable, in the order of their completion. */
export async function* putSources(
  sources: AsyncIterable<PutSource>,
  options: { readonly isNumbered: boolean },
  parts: PutManyParts,
): AsyncGenerator<PutResult> {
  const run = new PutManyRun(sources, options, parts);
  try {
    yield* run.results();
  } finally {
    run.stop();
  }
}

class PutManyRun {
  readonly #sources: AsyncIterator<PutSource>;
  readonly #options: { readonly isNumbered: boolean };
  readonly #parts: PutManyParts;
  readonly #running = new Set<Promise<void>>();
  #done: PutResult[] = [];
  #failure: IdunnoError | undefined;
  #isReading = true;
  #isStopped = false;
  #wake: (() => void) | undefined;
  #group: SmallFile[] = [];
  #groupBytes = 0;
  #groupPart = 0;

  constructor(
    sources: AsyncIterable<PutSource>,
    options: { readonly isNumbered: boolean },
    parts: PutManyParts,
  ) {
    this.#sources = sources[Symbol.asyncIterator]();
    this.#options = options;
    this.#parts = parts;
  }

  async *results(): AsyncGenerator<PutResult> {
    void this.#readAll();
    for (;;) {
      const done = this.#done;
      this.#done = [];
      yield* done;
      if (this.#done.length > 0) continue;
      if (!this.#isReading && this.#running.size === 0) {
        if (this.#failure !== undefined) throw this.#failure;
        return;
      }
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }

  /** No further source is read. What is in flight ends by itself. */
  stop(): void {
    this.#isStopped = true;
  }

  async #readAll(): Promise<void> {
    try {
      for (let part = 0; ; part += 1) {
        const next = await this.#nextSource();
        if (next.done === true || this.#isOver()) break;
        await this.#take(next.value, part);
      }
      await this.#flush();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isReading = false;
      this.#wake?.();
      await this.#sources.return?.().then(undefined, () => undefined);
    }
  }

  #isOver(): boolean {
    return this.#isStopped || this.#failure !== undefined;
  }

  /** While a group waits to be filled, a slow source lets it go as it is. */
  async #nextSource(): Promise<IteratorResult<PutSource>> {
    const next = this.#sources.next();
    if (this.#group.length === 0 || this.#options.isNumbered) return next;
    let isHere = false;
    const mark = (): void => {
      isHere = true;
    };
    next.then(mark, mark);
    await Promise.race([next.then(mark, mark), this.#parts.clock.sleep(LINGER_MS)]);
    if (!isHere) await this.#flush();
    return next;
  }

  async #take(source: PutSource, part: number): Promise<void> {
    if (source.bytes === undefined || source.bytes > SMALL_FILE_BYTES_MAX) {
      await this.#start(async () => [await this.#parts.putOne(source, part)]);
      return;
    }
    const data = await collect(source.open(), SMALL_FILE_BYTES_MAX);
    checkLength(source.name, source.bytes, data.length);
    const isFull =
      this.#group.length >= GROUP_FILES_MAX || this.#groupBytes + data.length > PACK_BYTES_MAX;
    if (isFull) await this.#flush();
    if (this.#group.length === 0) this.#groupPart = part;
    this.#group.push({ name: source.name, data });
    this.#groupBytes += data.length;
  }

  async #flush(): Promise<void> {
    const files = this.#group;
    const part = this.#groupPart;
    if (files.length === 0 || this.#isOver()) return;
    this.#group = [];
    this.#groupBytes = 0;
    await this.#start(() => this.#parts.putGroup(files, part));
  }

  /** Starts one unit of work; waits first where as many as may are in flight. */
  async #start(work: () => Promise<readonly PutResult[]>): Promise<void> {
    while (this.#running.size >= UNITS_AT_ONCE) await Promise.race(this.#running);
    if (this.#isOver()) return;
    const unit = work()
      .then((results) => {
        this.#done.push(...results);
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#running.delete(unit);
        this.#wake?.();
      });
    this.#running.add(unit);
  }

  #fail(error: unknown): void {
    this.#failure ??= asIdunnoError(error);
  }
}

/** Files as one payload: a pack, or the file itself where there is only one. */
export function packPayload(files: readonly SmallFile[]): Payload & { readonly kind: 'memory' } {
  const parts: CommitFile[] = [];
  let offset = 0;
  for (const { name, data } of files) {
    parts.push({ name, bytes: data.length, sha256: sha256Of(data), offset });
    offset += data.length;
  }
  const [first] = parts;
  if (first !== undefined && parts.length === 1) {
    const data = files[0]?.data ?? new Uint8Array(0);
    return {
      kind: 'memory',
      content: { name: first.name },
      data,
      sha256: first.sha256,
      files: parts,
    };
  }
  const data = Buffer.concat(files.map((file) => file.data));
  const content = { files: parts.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 })) };
  return { kind: 'memory', content, data, sha256: sha256Of(data), files: parts };
}

function sha256Of(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
