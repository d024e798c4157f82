/**
 * Snapshots on their way between two nodes (Raft §7), whole, on the bulk lane. The machine makes,
 * stages and verifies the image; this file moves it and allows one at a time per direction: a
 * leader sends at most one to each peer, and a node stages at most one.
 */
import { type Clock, IdunnoError, type Logger, type Ms, nodeId, type Term } from '../base/index.js';
import type { NodeId } from '../base/index.js';
import type { Handler, Rpc, Wire } from '../net/index.js';
import type { ConfState, ReplicatedMachine, SnapshotMeta } from './types.js';

export interface SnapshotTransferParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Logger;
  readonly machine: ReplicatedMachine;
  /** The term this node is in, and the configuration that a snapshot carries. */
  readonly position: () => { readonly term: Term; readonly conf: ConfState };
  readonly onSent: (to: NodeId, index: number, ok: boolean) => void;
  readonly onStaged: (from: NodeId, term: Term, meta: SnapshotMeta) => void;
}

const SNAPSHOT = 'raft.snapshot';
/** A state of a gigabyte at 2 MB/s; the connection's own silence limit notices a dead peer. */
const TRANSFER_TIMEOUT_MS: Ms = 10 * 60 * 1000;

export class SnapshotTransfer {
  readonly #parts: SnapshotTransferParts;
  readonly #sending = new Set<NodeId>();
  readonly #stop = new AbortController();
  #isStaging = false;

  constructor(parts: SnapshotTransferParts) {
    this.#parts = parts;
    parts.rpc.handle(SNAPSHOT, this.#receive);
  }

  get isStaging(): boolean {
    return this.#isStaging;
  }

  /** Sends the state as it is now; the outcome goes to `onSent`. */
  async send(to: NodeId): Promise<void> {
    const { onSent, log, clock } = this.#parts;
    if (this.#sending.has(to)) {
      onSent(to, 0, false);
      return;
    }
    this.#sending.add(to);
    const startedMs = clock.now();
    let index = 0;
    let ok = false;
    try {
      index = await this.#sendTo(to);
      ok = true;
      log.info('raft.snapshot-sent', { to, index, ms: Math.round(clock.now() - startedMs) });
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('raft.snapshot-failed', { to, index, error });
    } finally {
      this.#sending.delete(to);
    }
    onSent(to, index, ok);
  }

  stop(): void {
    this.#stop.abort(new IdunnoError('ABORTED', 'the node stops'));
  }

  async #sendTo(to: NodeId): Promise<number> {
    const { rpc, machine, position } = this.#parts;
    const { term, conf } = position();
    const image = await machine.snapshot();
    const args = [
      term,
      image.index,
      image.term,
      [...conf.voters],
      [...conf.outgoing],
      [...conf.learners],
    ];
    try {
      await rpc.call(to, SNAPSHOT, args, {
        timeoutMs: TRANSFER_TIMEOUT_MS,
        signal: this.#stop.signal,
        lane: 'bulk',
        body: image.chunks,
      });
    } finally {
      // A call that failed early has not taken all of it: let go of what the image holds.
      await image.chunks[Symbol.asyncIterator]().return?.();
    }
    return image.index;
  }

  readonly #receive: Handler = async (args, body, { peer }) => {
    const { machine, position, onStaged, log } = this.#parts;
    if (peer.kind !== 'node') throw new IdunnoError('PROTOCOL', 'only nodes send snapshots');
    const { term, meta } = parseArgs(args);
    if (term < position().term) {
      throw new IdunnoError('NOT_LEADER', `a snapshot of the past term ${term}`);
    }
    if (this.#isStaging) throw new IdunnoError('BUSY', 'another snapshot is being received');
    this.#isStaging = true;
    try {
      log.info('raft.snapshot-receiving', { from: peer.name, index: meta.index });
      await machine.stage(meta, body);
    } finally {
      this.#isStaging = false;
    }
    onStaged(nodeId(peer.name), term, meta);
    return { value: null };
  };
}

/** Throws PROTOCOL, or BAD_NAME for a voter that cannot be one. */
function parseArgs(args: readonly Wire[]): { term: Term; meta: SnapshotMeta } {
  const [term, index, metaTerm, voters, outgoing, learners] = args;
  if (!isCount(term) || !isCount(index) || !isCount(metaTerm)) {
    throw new IdunnoError('PROTOCOL', 'a snapshot without a position');
  }
  const conf = {
    voters: parseNames(voters),
    outgoing: parseNames(outgoing),
    learners: parseNames(learners),
  };
  return { term, meta: { index, term: metaTerm, conf } };
}

function parseNames(value: Wire | undefined): NodeId[] {
  if (!Array.isArray(value)) throw new IdunnoError('PROTOCOL', 'a snapshot without voters');
  return value.map((name) => nodeId(String(name)));
}

function isCount(value: Wire | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
