/**
 * SDFS for the rest of the house, on any node: puts, reads and listings over the store's client
 * (metadata) and the nodes' transfer calls (bytes).
 */
import { type Clock, IdunnoError, type Logger, type NodeId, type Rng } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { StoreClient, SubmitOptions } from '../store/index.js';
import { BoundedMap } from './bounded-map.js';
import { inChunks } from './chunk-pipe.js';
import type { Token } from './commit.js';
import { FAN_OUT_BYTES_MAX, PAGE_ROWS_MAX } from './limits.js';
import { checkFileName } from './names.js';
import { type NodeCalls, shareSignal } from './node-calls.js';
import { checkLength, type Payload, type PutSettings, type Written, writePayload } from './put.js';
import { packPayload, putSources, type SmallFile } from './put-many.js';
import { type ReadParts, readVersion } from './read.js';
import { readFiles } from './read-many.js';
import { METHODS } from './transfer.js';
import type {
  FileRef,
  FileSelector,
  FileVersion,
  ListPage,
  PinnedPage,
  PutOptions,
  PutResult,
  PutSource,
  SdfsClient,
} from './types.js';
import {
  type LocatedVersion,
  publicVersion,
  readInt,
  readList,
  readLocated,
  readText,
  readTuple,
} from './wire.js';

export interface SdfsClientOptions {
  /** Copies of each file. */
  readonly copies: number;
}

export interface SdfsClientParts {
  readonly calls: NodeCalls;
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
}

/** Copies that `--durability quorum` waits for. */
const QUORUM_COPIES = 3;
/** Records of pinned versions that are remembered: their bytes never change, holders may. */
const LOCATED_MAX = 10_000;
const LOCATE_PAGE = 500;
const BAD_COPY_MS = 5_000;

export class SdfsNodeClient implements SdfsClient {
  readonly #options: SdfsClientOptions;
  readonly #parts: SdfsClientParts;
  readonly #located = new BoundedMap<string, LocatedVersion>(LOCATED_MAX);

  constructor(options: SdfsClientOptions, parts: SdfsClientParts) {
    this.#options = options;
    this.#parts = parts;
  }

  // --- writing -------------------------------------------------------------------------------

  async put(source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    const limit = limitOf(this.#parts.clock, options);
    try {
      return await this.#putOne(source, { ...options, signal: limit.signal }, 0);
    } finally {
      limit.end();
    }
  }

  async *putMany(
    sources: AsyncIterable<PutSource>,
    options: PutOptions = {},
  ): AsyncGenerator<PutResult> {
    const limit = limitOf(this.#parts.clock, options);
    const bounded = { ...options, signal: limit.signal };
    try {
      yield* putSources(
        sources,
        { isNumbered: options.request !== undefined },
        {
          clock: this.#parts.clock,
          putOne: (source, part) => this.#putOne(source, bounded, part),
          putGroup: (files, part) => this.#putGroup(files, bounded, part),
        },
      );
    } finally {
      limit.end(new IdunnoError('ABORTED', 'the reader of the results has left'));
    }
  }

  async #putOne(source: PutSource, options: PutOptions, part: number): Promise<PutResult> {
    checkFileName(source.name);
    const payload = await payloadOf(source);
    const [result] = await this.#write(payload, options, part);
    if (result === undefined) throw new IdunnoError('INTERNAL', 'a put without a result');
    return result;
  }

  #putGroup(files: readonly SmallFile[], options: PutOptions, part: number): Promise<PutResult[]> {
    for (const file of files) checkFileName(file.name);
    return this.#write(packPayload(files), options, part);
  }

  async #write(payload: Payload, options: PutOptions, part: number): Promise<PutResult[]> {
    const { copies } = this.#options;
    const { request } = options;
    const token: Token | undefined = request === undefined ? undefined : { request, part };
    const settings: PutSettings = {
      wanted: copies,
      goal: options.durability === 'quorum' ? Math.min(QUORUM_COPIES, copies) : copies,
      token,
      signal: options.signal ?? new AbortController().signal,
    };
    const written = await writePayload(payload, settings, this.#parts);
    if (written.committed.blob !== written.blob) return this.#earlierResult(written);
    return written.files.map(
      (file, at): PutResult => ({
        name: file.name,
        version: written.committed.versions[at] as number,
        bytes: file.bytes,
        sha256: file.sha256,
        holders: written.copies.map((copy) => copy.node),
        copies: written.copies.length,
        wanted: copies,
      }),
    );
  }

  /** The same request had been committed by an earlier try: its versions are the result. */
  async #earlierResult(written: Written): Promise<PutResult[]> {
    const { versions } = written.committed;
    const refs = written.files.map((file, at): Wire => [file.name, versions[at] ?? 0]);
    const located = versions.length === refs.length ? await this.#queryLocated(refs, {}) : [];
    return written.files.map((file, at): PutResult => {
      const found = located[at];
      if (found === undefined || found.sha256 !== file.sha256) {
        throw new IdunnoError(
          'CONFLICT',
          `this request number was used before for other files than ${file.name}`,
        );
      }
      const { holders } = found;
      const { name, version, bytes, sha256 } = found;
      const wanted = this.#options.copies;
      return { name, version, bytes, sha256, holders, copies: holders.length, wanted };
    });
  }

  async delete(name: string): Promise<void> {
    checkFileName(name);
    await this.#parts.store.submit('sdfs.delete', [name]);
  }

  // --- reading -------------------------------------------------------------------------------

  async get(
    name: string,
    options: { version?: number; signal?: AbortSignal } = {},
  ): Promise<{ file: FileVersion; chunks: AsyncIterable<Uint8Array> }> {
    const { signal } = options;
    const file = await this.#stat(name, options.version, signal === undefined ? {} : { signal });
    return {
      file: publicVersion(file),
      chunks: readVersion(file, this.#readParts(), signal),
    };
  }

  async readMany(
    refs: readonly FileRef[],
    options: { signal?: AbortSignal } = {},
  ): Promise<readonly (Uint8Array | Error)[]> {
    const files = await this.#locate(refs, options);
    return readFiles(files, this.#readParts(), options.signal);
  }

  async versions(name: string, count: number): Promise<readonly FileVersion[]> {
    checkFileName(name);
    const all: FileVersion[] = [];
    for (let below = Number.MAX_SAFE_INTEGER; all.length < count; ) {
      const limit = Math.min(count - all.length, PAGE_ROWS_MAX);
      const answer = await this.#parts.store.query('sdfs.versions', [name, limit, below]);
      const page = readList(answer, 'versions', PAGE_ROWS_MAX, readLocated);
      all.push(...page.map(publicVersion));
      const oldest = page.at(-1);
      if (oldest === undefined || page.length < limit) break;
      below = oldest.version;
    }
    return all;
  }

  async stat(name: string, version?: number): Promise<FileVersion> {
    return publicVersion(await this.#stat(name, version, {}));
  }

  async #stat(
    name: string,
    version: number | undefined,
    options: SubmitOptions,
  ): Promise<LocatedVersion> {
    checkFileName(name);
    return readLocated(await this.#parts.store.query('sdfs.stat', [name, version ?? 0], options));
  }

  /** Records of pinned versions; what was asked before is answered from memory. */
  async #locate(
    refs: readonly FileRef[],
    options: { signal?: AbortSignal },
  ): Promise<(LocatedVersion | Error)[]> {
    const missing = new Map<string, FileRef>();
    for (const ref of refs) {
      checkFileName(ref.name);
      if (!this.#located.has(keyOf(ref))) missing.set(keyOf(ref), ref);
    }
    const found = new Map<string, LocatedVersion>();
    const asked = [...missing.values()].map((ref): Wire => [ref.name, ref.version]);
    for (let at = 0; at < asked.length; at += LOCATE_PAGE) {
      for (const file of await this.#queryLocated(asked.slice(at, at + LOCATE_PAGE), options)) {
        if (file === undefined) continue;
        found.set(keyOf(file), file);
        this.#located.set(keyOf(file), file);
      }
    }
    return refs.map((ref) => {
      const file = found.get(keyOf(ref)) ?? this.#located.get(keyOf(ref));
      if (file !== undefined) return file;
      return new IdunnoError('VERSION_NOT_FOUND', `there is no ${ref.name} v${ref.version}`, {
        name: ref.name,
        version: ref.version,
      });
    });
  }

  async #queryLocated(
    refs: readonly Wire[],
    options: { signal?: AbortSignal },
  ): Promise<(LocatedVersion | undefined)[]> {
    const found = await this.#parts.store.query('sdfs.locate', [refs], options);
    return readList(found, 'files', PAGE_ROWS_MAX, (item, what) =>
      item === null || item === undefined ? undefined : readLocated(item, what),
    );
  }

  #readParts(): ReadParts {
    const { calls, clock, rng } = this.#parts;
    return {
      calls,
      clock,
      rng,
      locate: async (file) => {
        const [found] = await this.#queryLocated([[file.name, file.version]], {});
        if (found === undefined) this.#located.delete(keyOf(file));
        else this.#located.set(keyOf(file), found);
        return found;
      },
      forget: (file) => this.#located.delete(keyOf(file)),
      onBadCopy: (blob, node, error) => this.reportBad(blob, node, error),
    };
  }

  /** Tells the leader of a bad copy; nobody waits: if this is lost it is found again. */
  reportBad(blob: number, node: NodeId, error: IdunnoError): void {
    const args = [blob, node, error.message];
    this.#parts.store
      .callLeader(METHODS.badCopy, args, { timeoutMs: BAD_COPY_MS })
      .catch((failure: unknown) => {
        this.#parts.logger.debug('sdfs.bad-copy-not-reported', { blob, node, error: failure });
      });
  }

  // --- listings ------------------------------------------------------------------------------

  async list(prefix: string, options: { after?: string; limit?: number } = {}): Promise<ListPage> {
    const args = [prefix, options.after ?? null, pageLimit(options.limit)];
    const [files, next] = readTuple(await this.#parts.store.query('sdfs.list', args), 'page', 2);
    return {
      files: readList(files, 'files', PAGE_ROWS_MAX, readLocated).map(publicVersion),
      next: next === null ? undefined : readText(next, 'next'),
    };
  }

  async resolve(
    selector: FileSelector,
    options: { after?: string; limit?: number } = {},
  ): Promise<PinnedPage> {
    const wire: Wire = 'names' in selector ? { names: [...selector.names] } : { ...selector };
    const args: Wire[] = [wire, options.after ?? null, pageLimit(options.limit)];
    const [files, next] = readTuple(await this.#parts.store.query('sdfs.resolve', args), 'page', 2);
    return {
      files: readList(files, 'files', PAGE_ROWS_MAX, (item, what) => {
        const [name, version, bytes] = readTuple(item, what, 3);
        return {
          name: readText(name, what),
          version: readInt(version, what, 1),
          bytes: readInt(bytes, what),
        };
      }),
      next: next === null ? undefined : readText(next, 'next'),
    };
  }

  async storeOf(node: NodeId): Promise<readonly FileVersion[]> {
    const all: FileVersion[] = [];
    for (let after = 0; ; ) {
      const answer = await this.#parts.store.query('sdfs.store', [node, after, PAGE_ROWS_MAX]);
      const [files, next] = readTuple(answer, 'page', 2);
      all.push(...readList(files, 'files', 2 * PAGE_ROWS_MAX, readLocated).map(publicVersion));
      if (next === null) return all;
      after = readInt(next, 'next');
    }
  }

  async report(): Promise<Awaited<ReturnType<SdfsClient['report']>>> {
    const { store } = this.#parts;
    const [counts, status] = await Promise.all([
      store.query('sdfs.report', []),
      store.callLeader(METHODS.repairStatus, []),
    ]);
    const numbers = readTuple(counts, 'report', 5).map((item) => readInt(item, 'report'));
    const [files = 0, versions = 0, bytes = 0, underReplicated = 0, lost = 0] = numbers;
    const [copying, stuck] = readTuple(status, 'status', 2);
    const reasons = readList(stuck, 'reasons', 100, (item, what) => {
      const [reason, blobs] = readTuple(item, what, 2);
      const count = readInt(blobs, what);
      return count === 0 ? readText(reason, what) : `${count} blobs: ${readText(reason, what)}`;
    });
    const inFlight = readInt(copying, 'copies in flight');
    if (inFlight > 0) reasons.unshift(`${inFlight} copies are being made`);
    return { files, versions, bytes, underReplicated, lost, reasons };
  }
}

function keyOf(ref: FileRef): string {
  return `${ref.version} ${ref.name}`;
}

function pageLimit(limit: number | undefined): number {
  return Math.min(PAGE_ROWS_MAX, Math.max(1, limit ?? PAGE_ROWS_MAX));
}

/** A source as a payload: in memory when it turns out small, else a stream. */
async function payloadOf(source: PutSource): Promise<Payload> {
  const stream: Payload = {
    kind: 'stream',
    name: source.name,
    bytes: source.bytes ?? -1,
    open: () => source.open(),
  };
  if (source.bytes !== undefined && source.bytes > FAN_OUT_BYTES_MAX) return stream;
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const iterator = source.open()[Symbol.asyncIterator]();
  for (;;) {
    const next = await iterator.next();
    if (next.done === true) break;
    pieces.push(next.value);
    bytes += next.value.length;
    if (bytes > FAN_OUT_BYTES_MAX)
      return { ...stream, open: continueOnce(source, pieces, iterator) };
  }
  checkLength(source.name, source.bytes ?? -1, bytes);
  return packPayload([{ name: source.name, data: Buffer.concat(pieces) }]);
}

/** The first try goes on where looking at the size stopped; later ones open the source anew. */
function continueOnce(
  source: PutSource,
  pieces: readonly Uint8Array[],
  iterator: AsyncIterator<Uint8Array>,
): () => AsyncIterable<Uint8Array> {
  let isFirst = true;
  return () => {
    if (!isFirst) return source.open();
    isFirst = false;
    return (async function* () {
      for (const piece of pieces) yield* inChunks(piece);
      yield* { [Symbol.asyncIterator]: () => iterator };
    })();
  };
}

/** A caller's signal and time limit as one signal. */
function limitOf(
  clock: Clock,
  options: PutOptions,
): { signal: AbortSignal; end: (reason?: IdunnoError) => void } {
  const abort = new AbortController();
  const { timeoutMs } = options;
  const timer =
    timeoutMs === undefined
      ? undefined
      : clock.setTimer(timeoutMs, () =>
          abort.abort(new IdunnoError('TIMEOUT', `the put did not end within ${timeoutMs} ms`)),
        );
  const signal =
    options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
  return {
    signal: shareSignal(signal),
    end: (reason) => {
      timer?.cancel();
      if (reason !== undefined) abort.abort(reason);
    },
  };
}
