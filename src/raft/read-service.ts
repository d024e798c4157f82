/**
 * Linearizable reads from any coordinator: the index that a read must see applied comes from the
 * leader, which confirms with a quorum that it still leads (read-index.ts, Raft §6.4).
 *
 *     raft.read-index  [] → index
 */
import { type Clock, IdunnoError, type LogIndex, type NodeId } from '../base/index.js';
import type { HandlerContext, Rpc, Wire } from '../net/index.js';
import type { Reads, WaitOptions } from './pending.js';

export interface ReadServiceParts {
  readonly self: NodeId;
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly reads: Reads;
  /** Undefined: nobody is known, or this node takes no part. */
  readonly leader: () => NodeId | undefined;
  readonly isLeading: () => boolean;
  readonly notLeader: () => IdunnoError;
  /** Hands a read to the core. */
  readonly feed: (id: number) => void;
}

const READ_INDEX = 'raft.read-index';

export class ReadService {
  readonly #parts: ReadServiceParts;

  constructor(parts: ReadServiceParts) {
    this.#parts = parts;
  }

  /** Answers the others from now on. */
  serve(): void {
    this.#parts.rpc.handle(READ_INDEX, (_args, _body, context) => this.#onReadIndex(context));
  }

  /** Throws NOT_LEADER, NO_LEADER, UNAVAILABLE. */
  async readIndex(options: WaitOptions): Promise<LogIndex> {
    const { self, rpc, leader: leaderNow, notLeader } = this.#parts;
    const leader = leaderNow();
    if (leader === self) return this.#readIndexHere(options);
    if (leader === undefined) throw notLeader();
    const { value } = await rpc.call(leader, READ_INDEX, [], options);
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw new IdunnoError('PROTOCOL', `${leader} answered a read without an index`);
  }

  async #onReadIndex({ signal, deadlineMs }: HandlerContext): Promise<{ value: Wire }> {
    const timeoutMs = Math.max(1, deadlineMs - this.#parts.clock.now());
    return { value: await this.#readIndexHere({ signal, timeoutMs }) };
  }

  async #readIndexHere(options: WaitOptions): Promise<LogIndex> {
    const { isLeading, notLeader, reads, feed } = this.#parts;
    if (!isLeading()) throw notLeader();
    const { id, promise } = reads.add(options);
    feed(id);
    return promise;
  }
}
