/**
 * One write, from bytes to versions: begin, copies, commit.
 *
 *     begin ──▶ copies ──▶ commit ──▶ done
 *       ▲         │ none durable     │ HOLDER_DOWN: one more copy, commit again
 *       └─────────┴──────────────────┘ INTENT_CLOSED: all anew, under a new intent
 *
 * A small blob is in memory and is sent to all targets at once (fan-out). A large one is streamed
 * along a chain, and what the chain did not reach fetches it from a node that has it: so the source
 * is read once per try, and a try never mixes bytes of two readings.
 */
import { createHash } from 'node:crypto';
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type NodeId,
} from '../base/index.js';
import type { StoreClient } from '../store/index.js';
import type { BlobContent } from './blob-writer.js';
import { Forwarder, inChunks } from './chunk-pipe.js';
import { type CommitFile, type Committed, downHolder, submitCommit, type Token } from './commit.js';
import { CopyGatherer } from './gather.js';
import { beginWrite, moreTargets, type OpenedWrite } from './leader-calls.js';
import { INTENT_TTL_MS } from './limits.js';
import type { NodeCalls } from './node-calls.js';
import {
  type DurableCopy,
  METHODS,
  readReplicateAnswer,
  readWriteAnswer,
  replicateToWire,
  transferTimeoutMs,
  writeRequestToWire,
  type WriteAnswer,
} from './transfer.js';

export interface PutParts {
  readonly calls: NodeCalls;
  readonly store: StoreClient;
  readonly clock: Clock;
}

export interface PutSettings {
  /** Copies to be made. */
  readonly wanted: number;
  /** Copies that must be durable before the answer. */
  readonly goal: number;
  readonly token: Token | undefined;
  readonly signal: AbortSignal;
}

/** What is written in one blob. */
export type Payload =
  | {
      readonly kind: 'memory';
      readonly content: BlobContent;
      readonly data: Uint8Array;
      readonly sha256: string;
      readonly files: readonly CommitFile[];
    }
  | {
      readonly kind: 'stream';
      readonly name: string;
      /** -1: not known. */
      readonly bytes: number;
      /** Called once per try. */
      readonly open: () => AsyncIterable<Uint8Array>;
    };

/** A write that was committed. */
export interface Written {
  readonly blob: number;
  readonly committed: Committed;
  readonly files: readonly CommitFile[];
  readonly copies: readonly DurableCopy[];
}

const TRIES_MAX = 4;
const HEDGE_MS = 200;
/** A copy fetched from another node is late when it moves less than 10 MB/s. */
const FETCH_HEDGE_MS = 500;
const FETCH_BYTES_PER_MS = 10_000;
const STALL_MS = 1_000;
const ANSWER_MS = 3_000;
const PATIENCE_MS = 30_000;
const LEADER_MS = 10_000;

/** Writes the payload; on return its versions are committed with `goal` durable copies. */
export async function writePayload(
  payload: Payload,
  settings: PutSettings,
  parts: PutParts,
): Promise<Written> {
  const exclude = new Set<NodeId>();
  for (let tries = 1; ; tries += 1) {
    const attempt = new PutAttempt(payload, settings, parts, exclude);
    try {
      return await attempt.run();
    } catch (error) {
      const mayRestart = error instanceof RestartError || isIdunnoError(error, 'INTENT_CLOSED');
      if (!mayRestart || tries >= TRIES_MAX) throw asIdunnoError(unwrap(error));
      if (error instanceof RestartError && error.node !== undefined) exclude.add(error.node);
    }
  }
}

/** Nothing of this try is durable, but another one may succeed. */
class RestartError extends Error {
  readonly node: NodeId | undefined;
  override readonly cause: IdunnoError;

  constructor(cause: IdunnoError, node?: NodeId) {
    super(cause.message);
    this.cause = cause;
    this.node = node;
  }
}

function unwrap(error: unknown): unknown {
  return error instanceof RestartError ? error.cause : error;
}

/** The bytes of a try, once they are known. */
interface Sent {
  readonly bytes: number;
  readonly sha256: string;
  readonly files: readonly CommitFile[];
}

/** One try under one intent. */
class PutAttempt {
  readonly #payload: Payload;
  readonly #settings: PutSettings;
  readonly #parts: PutParts;
  readonly #exclude: ReadonlySet<NodeId>;
  readonly #done = new AbortController();

  constructor(
    payload: Payload,
    settings: PutSettings,
    parts: PutParts,
    exclude: ReadonlySet<NodeId>,
  ) {
    this.#payload = payload;
    this.#settings = settings;
    this.#parts = parts;
    this.#exclude = exclude;
  }

  async run(): Promise<Written> {
    const opened = await this.#begin();
    let committed: Committed | undefined;
    this.#keepOpen(opened.blob);
    try {
      const written =
        this.#payload.kind === 'memory'
          ? await this.#runFanOut(opened, this.#payload)
          : await this.#runChain(opened, this.#payload);
      committed = written.committed;
      return written;
    } finally {
      this.#done.abort();
      // Also when an earlier try of the same number had committed: then this intent is useless.
      if (committed?.blob !== opened.blob) this.#abandon(opened.blob);
    }
  }

  #begin(): Promise<OpenedWrite> {
    const { signal, wanted } = this.#settings;
    const payload = this.#payload;
    const wish = {
      pack: payload.kind === 'memory' && 'files' in payload.content,
      bytes: payload.kind === 'memory' ? payload.data.length : payload.bytes,
      wanted,
      exclude: [...this.#exclude],
    };
    return beginWrite(this.#parts.store, wish, { signal, timeoutMs: LEADER_MS });
  }

  async #runFanOut(
    opened: OpenedWrite,
    payload: Payload & { readonly kind: 'memory' },
  ): Promise<Written> {
    const { blob } = opened;
    const { content, data, sha256, files } = payload;
    const sent = { bytes: data.length, sha256, files };
    const args = writeRequestToWire({ blob, bytes: data.length, content, chain: [] });
    const write = async (node: NodeId, signal: AbortSignal): Promise<DurableCopy> => {
      const answer = await this.#parts.calls.call(node, METHODS.write, args, {
        timeoutMs: transferTimeoutMs(data.length),
        signal,
        lane: 'bulk',
        body: inChunks(data),
      });
      return onlyCopy(node, readWriteAnswer(answer.value), sent);
    };
    const gatherer = this.#gatherer(opened, sent, HEDGE_MS, write);
    return this.#commit(opened.blob, gatherer, sent);
  }

  async #runChain(
    opened: OpenedWrite,
    payload: Payload & { readonly kind: 'stream' },
  ): Promise<Written> {
    const { self } = this.#parts.calls;
    // The nearest target first: then one copy costs no network.
    const chain = [...opened.targets].sort((a, b) => Number(b === self) - Number(a === self));
    const [sent, answer] = await this.#stream(opened.blob, payload, chain);
    const good = answer.durable.filter((copy) => isSame(copy, sent));
    const head = good[0];
    if (head === undefined) {
      const why = answer.failed[0]?.error ?? this.#broken(payload.name, chain);
      throw why.code === 'DISK_FULL' ? why : new RestartError(why, chain[0]);
    }
    const fetch = (node: NodeId, signal: AbortSignal): Promise<DurableCopy> =>
      this.#fetchCopy(opened.blob, node, head.node, sent, signal);
    const hedgeMs = FETCH_HEDGE_MS + sent.bytes / FETCH_BYTES_PER_MS;
    const gatherer = this.#gatherer(opened, sent, hedgeMs, fetch);
    for (const copy of good) gatherer.addCopy(copy);
    for (const copy of answer.failed) gatherer.addFailure(copy.node, copy.error);
    return this.#commit(opened.blob, gatherer, sent);
  }

  #broken(name: string, chain: readonly NodeId[]): IdunnoError {
    return new IdunnoError('CORRUPT', `${name} did not arrive whole on ${chain.join(', ')}`);
  }

  /** Reads the source once, along the chain. Throws the source's own errors as they are. */
  async #stream(
    blob: number,
    payload: Payload & { readonly kind: 'stream' },
    chain: readonly NodeId[],
  ): Promise<[Sent, WriteAnswer]> {
    const [head, ...rest] = chain;
    if (head === undefined) throw new IdunnoError('NOT_ENOUGH_NODES', 'no node takes the file');
    const { calls, clock } = this.#parts;
    const { name, bytes } = payload;
    const args = writeRequestToWire({ blob, bytes, content: { name }, chain: rest });
    const forwarder = new Forwarder<WriteAnswer>(
      async (body, stop) => {
        const signal = AbortSignal.any([stop, this.#settings.signal]);
        const timeoutMs = transferTimeoutMs(bytes);
        const options = { timeoutMs, signal, lane: 'bulk' as const, body };
        return readWriteAnswer((await calls.call(head, METHODS.write, args, options)).value);
      },
      { clock, stallMs: STALL_MS * chain.length, answerMs: ANSWER_MS * chain.length },
    );
    const hash = createHash('sha256');
    let count = 0;
    try {
      for await (const chunk of payload.open()) {
        if (this.#settings.signal.aborted) throw asIdunnoError(this.#settings.signal.reason);
        if (forwarder.isOver) break;
        hash.update(chunk);
        count += chunk.length;
        await forwarder.push(chunk);
      }
      if (!forwarder.isOver) checkLength(name, bytes, count);
    } catch (error) {
      forwarder.cancel(asIdunnoError(error));
      throw error;
    }
    const sha256 = hash.digest('hex');
    const files = [{ name, bytes: count, sha256, offset: 0 }];
    try {
      return [{ bytes: count, sha256, files }, await forwarder.finish()];
    } catch (error) {
      if (this.#settings.signal.aborted) throw asIdunnoError(this.#settings.signal.reason);
      const failure = asIdunnoError(error);
      throw failure.isRetryable ? new RestartError(failure, head) : failure;
    }
  }

  /** A node fetches the blob from one that has it. */
  async #fetchCopy(
    blob: number,
    node: NodeId,
    from: NodeId,
    sent: Sent,
    signal: AbortSignal,
  ): Promise<DurableCopy> {
    const { bytes, sha256 } = sent;
    const args = replicateToWire({
      index: 0,
      from,
      blobs: [{ blob, bytes, sha256 }],
      force: false,
    });
    const options = { timeoutMs: transferTimeoutMs(bytes), signal };
    const answer = await this.#parts.calls.call(node, METHODS.replicate, args, options);
    const { epoch, results } = readReplicateAnswer(answer.value);
    const failure = results[0]?.error;
    if (failure !== undefined) throw failure;
    return { node, epoch, bytes, sha256 };
  }

  #gatherer(
    opened: OpenedWrite,
    sent: Sent,
    hedgeMs: number,
    write: (node: NodeId, signal: AbortSignal) => Promise<DurableCopy>,
  ): CopyGatherer {
    const { store, clock } = this.#parts;
    const { signal, wanted } = this.#settings;
    const { blob, live } = opened;
    const [first] = sent.files;
    const more = sent.files.length - 1;
    return new CopyGatherer(
      {
        what: more > 0 ? `${first?.name} and ${more} more` : `${first?.name}`,
        wanted,
        live,
        queue: [...opened.targets, ...opened.spares],
        hedgeMs,
        patienceMs: PATIENCE_MS + Math.ceil(sent.bytes / 4096),
      },
      {
        clock,
        signal,
        write,
        more: (have, failed) =>
          moreTargets(
            store,
            { blob, bytes: sent.bytes, have, failed },
            { signal, timeoutMs: LEADER_MS },
          ),
      },
    );
  }

  /** Commits with the copies there are; a holder that went down meanwhile is replaced. */
  async #commit(blob: number, gatherer: CopyGatherer, sent: Sent): Promise<Written> {
    const { store, clock } = this.#parts;
    const { goal, wanted, token, signal } = this.#settings;
    try {
      for (;;) {
        const copies = (await gatherer.gather(goal)).slice(0, wanted);
        try {
          const request = { blob, ...sent, copies, token };
          const committed = await submitCommit(request, { store, clock, signal });
          return { blob, committed, files: sent.files, copies };
        } catch (error) {
          const node = downHolder(error);
          if (node === undefined) throw error;
          gatherer.addFailure(node, asIdunnoError(error));
        }
      }
    } finally {
      // With `quorum` the last copy goes on; it is found by repair where it arrives.
      if (goal === wanted) gatherer.close();
    }
  }

  /** Renews the intent while the write lasts. */
  #keepOpen(blob: number): void {
    const { clock, store } = this.#parts;
    const signal = AbortSignal.any([this.#done.signal, this.#settings.signal]);
    const renew = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(INTENT_TTL_MS / 3, signal);
        await store.submit('sdfs.renew', [blob], { signal, timeoutMs: LEADER_MS });
      }
    };
    // It ends by the signal. An intent that cannot be renewed is found out by the commit.
    renew().catch(() => undefined);
  }

  /** Closes the intent without being waited for; if that fails it expires by itself. */
  #abandon(blob: number): void {
    const { store } = this.#parts;
    store.submit('sdfs.abort', [blob], { timeoutMs: LEADER_MS }).catch(() => undefined);
  }
}

function onlyCopy(node: NodeId, answer: WriteAnswer, sent: Sent): DurableCopy {
  const copy = answer.durable.find((one) => one.node === node);
  if (copy !== undefined && isSame(copy, sent)) return copy;
  throw new IdunnoError('CORRUPT', `${node} did not receive the bytes that were sent`);
}

function isSame(copy: DurableCopy, sent: Sent): boolean {
  return copy.sha256 === sent.sha256 && copy.bytes === sent.bytes;
}

/** A source that gives less or more than it promised is not trusted at all. */
export function checkLength(name: string, promised: number, found: number): void {
  if (promised < 0 || promised === found) return;
  throw new IdunnoError(
    'BAD_ARGUMENT',
    `${name} was to have ${promised} bytes, its source gave ${found}; nothing was written`,
  );
}
