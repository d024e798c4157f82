/**
 * Submits a commit and finds out how it ended, also when the answer is lost: the blob's row, or
 * its absence while the intent is closed, is proof.
 */
import { type Clock, type IdunnoError, isIdunnoError, type NodeId } from '../base/index.js';
import type { Wire } from '../net/index.js';
import type { RequestId, StoreClient } from '../store/index.js';
import type { DurableCopy } from './transfer.js';
import { readInt, readList, readTuple } from './wire.js';

export interface CommitFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly offset: number;
}

export interface CommitRequest {
  readonly blob: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly copies: readonly DurableCopy[];
  readonly files: readonly CommitFile[];
  readonly token: Token | undefined;
}

/** A numbered request, and which of its commits this is. */
export interface Token {
  readonly request: RequestId;
  readonly part: number;
}

export interface Committed {
  /** Another id than asked for: an earlier try of the same number had committed. */
  readonly blob: number;
  readonly createdMs: number;
  /** In the order of the files. */
  readonly versions: readonly number[];
}

export interface CommitParts {
  readonly store: StoreClient;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const SUBMIT_MS = 10_000;
const PATIENCE_MS = 30_000;
const PAUSE_MS = 100;

/**
 * Throws HOLDER_DOWN and INTENT_CLOSED (nothing was committed), or UNKNOWN_OUTCOME when no
 * coordinator could be asked within half a minute.
 */
export async function submitCommit(request: CommitRequest, parts: CommitParts): Promise<Committed> {
  const { store, clock, signal } = parts;
  const args = toArgs(request);
  const untilMs = clock.now() + PATIENCE_MS;
  let isUncertain = false;
  for (;;) {
    try {
      return readCommitted(
        await store.submit('sdfs.commit', args, { signal, timeoutMs: SUBMIT_MS }),
      );
    } catch (error) {
      if (isIdunnoError(error, 'INTENT_CLOSED') && isUncertain) {
        return await askOutcome(request, parts, error);
      }
      if (!isWorthRetrying(error) || clock.now() >= untilMs || signal.aborted) throw error;
      isUncertain ||= error.effect === 'unknown';
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}

function isWorthRetrying(error: unknown): error is IdunnoError {
  return isIdunnoError(error) && error.isRetryable && error.code !== 'HOLDER_DOWN';
}

/** The intent was closed by someone: by our own earlier try if the blob has a record. */
async function askOutcome(
  request: CommitRequest,
  parts: CommitParts,
  refusal: IdunnoError,
): Promise<Committed> {
  const options = { signal: parts.signal, timeoutMs: SUBMIT_MS };
  const outcome = await parts.store.query('sdfs.outcome', [request.blob], options);
  if (Array.isArray(outcome)) return readCommitted(outcome);
  throw refusal;
}

function toArgs(request: CommitRequest): Wire[] {
  const holders = request.copies.map((copy): Wire => [copy.node, copy.epoch]);
  const files = request.files.map(
    (file): Wire => [file.name, file.bytes, file.sha256, file.offset],
  );
  const token = request.token;
  return [
    request.blob,
    request.sha256,
    request.bytes,
    holders,
    files,
    token === undefined ? null : [token.request.session, token.request.seq, token.part],
  ];
}

function readCommitted(value: Wire): Committed {
  const [blob, ms, versions] = readTuple(value, 'commit', 3);
  return {
    blob: readInt(blob, 'blob', 1),
    createdMs: readInt(ms, 'time'),
    versions: readList(versions, 'versions', 1000, (item, what) => readInt(item, what, 1)),
  };
}

/** The holder that a HOLDER_DOWN refusal names. */
export function downHolder(error: unknown): NodeId | undefined {
  if (!isIdunnoError(error, 'HOLDER_DOWN')) return undefined;
  const node = error.data['node'];
  return typeof node === 'string' ? (node as NodeId) : undefined;
}
