/**
 * Snapshots on their way between two nodes (Raft §7), whole, on the bulk lane. The machine makes,
 * stages and verifies the image; this file moves it and allows one at a time per direction: a
 * leader sends at most one to each peer, and a node stages at most one.
 */
import {
  type Clock,
  IdunnoError,
  type LogIndex,
  type Logger,
  type Ms,
  type NodeId,
  nodeId,
  type Term,
} from '../base/index.js';
import type { Handler, Rpc, Wire } from '../net/index.js';
import { confFromWire, confToWire } from './conf.js';
import type { ConfState, ReplicatedMachine, SnapshotMeta } from './types.js';

export interface SnapshotTransferParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Logger;
  readonly machine: ReplicatedMachine;
  /** The term this node is in. */
  readonly term: () => Term;
  /** The configuration in force at an index; undefined where the log is past it. */
  readonly confAt: (index: LogIndex) => ConfState | undefined;
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
    const { rpc, machine, term, confAt } = this.#parts;
    const image = await machine.snapshot();
    try {
      // That of the image, not the present one, which may not even be committed (Raft §7).
      const conf = confAt(image.index);
      if (conf === undefined) {
        throw new IdunnoError('UNAVAILABLE', `the log is past the snapshot at ${image.index}`);
      }
      const args = [term(), image.index, image.term, confToWire(conf)];
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
    const { machine, onStaged, log } = this.#parts;
    if (peer.kind !== 'node') throw new IdunnoError('PROTOCOL', 'only nodes send snapshots');
    const { term, meta } = parseArgs(args);
    if (term < this.#parts.term()) {
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

/** Throws PROTOCOL. */
function parseArgs(args: readonly Wire[]): { term: Term; meta: SnapshotMeta } {
  const [term, index, metaTerm, members] = args;
  if (!isCount(term) || !isCount(index) || !isCount(metaTerm)) {
    throw new IdunnoError('PROTOCOL', 'a snapshot without a position');
  }
  const conf = confFromWire(members);
  if (conf === undefined) throw new IdunnoError('PROTOCOL', 'a snapshot without members');
  return { term, meta: { index, term: metaTerm, conf } };
}

function isCount(value: Wire | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
