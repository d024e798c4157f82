/**
 * Calls between nodes, and from clients to nodes. A call has a name, an array of small arguments
 * (msgpack, see codec.ts), and optionally a body of raw bytes in either direction, streamed with
 * back-pressure. Every call has a deadline and an AbortSignal.
 */
import type { BootEpoch, Ms, NodeId } from '../base/index.js';

/** msgpack-safe: no undefined, integers below 2^53, arrays rather than maps where hot. */
export type Wire =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly Wire[]
  | { readonly [key: string]: Wire };

/**
 * One connection each per peer. `control`: Raft's appends, leases, small calls. `bulk`: files,
 * snapshots. `heartbeat`: Raft's small messages between nodes that are kept connected, so that
 * nothing is ever queued in front of them.
 */
export const LANES = ['control', 'bulk', 'heartbeat'] as const;
export type Lane = (typeof LANES)[number];

/** Who is at the other end. Clients have no name in the cluster. */
export interface Peer {
  readonly kind: 'node' | 'client';
  readonly name: string;
  readonly bootEpoch: BootEpoch;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface CallOptions {
  /** To the answer. While a body moves, in either direction, it counts from its last movement. */
  readonly timeoutMs: Ms;
  readonly signal?: AbortSignal;
  readonly lane?: Lane;
  /** Sent as fast as the receiver takes it. What was yielded must not be changed afterwards. */
  readonly body?: AsyncIterable<Uint8Array> | Uint8Array;
}

export interface CallResult {
  readonly value: Wire;
  /** Empty when the answer has no body. Must be consumed or the call aborted. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface HandlerContext {
  readonly peer: Peer;
  readonly signal: AbortSignal;
  readonly deadlineMs: Ms;
}

export interface Answer {
  readonly value: Wire;
  readonly body?: AsyncIterable<Uint8Array> | Uint8Array;
}

/** Throw IdunnoError to refuse; anything else thrown is answered as INTERNAL and logged. */
export type Handler = (
  args: readonly Wire[],
  body: AsyncIterable<Uint8Array>,
  context: HandlerContext,
) => Promise<Answer> | Answer;

/** A message without an answer: Raft's. Dropped when the lane is down or too full. */
export type NoticeHandler = (args: readonly Wire[], body: Uint8Array, peer: Peer) => void;

export interface PeerEvents {
  /** Control lane to a peer node is open (either side dialled). */
  up(peer: Peer): void;
  /**
   * The control lane closed and could not be opened again: `refused` at once, `silent` for 30 ms,
   * or answered by another boot epoch (`new-epoch`; `up` follows). A lane that is back with the
   * same epoch is no event at all. See peer-watch.ts.
   */
  down(peer: Peer, reason: 'closed' | 'refused' | 'silent' | 'new-epoch'): void;
}

/** One per process. Implemented by rpc.ts over a Network. */
export interface Rpc {
  handle(method: string, handler: Handler): void;
  handleNotice(method: string, handler: NoticeHandler): void;
  /** `to`: a node of the address book, or an address for clients. */
  call(
    to: NodeId | Address,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult>;
  /**
   * Best effort, at most once, in order per lane. `control` unless told otherwise; so is a notice
   * whose lane is not open.
   */
  notify(to: NodeId, method: string, args: readonly Wire[], body?: Uint8Array, lane?: Lane): void;
  /** Where nodes are; may change when members join. */
  setAddress(node: NodeId, address: Address): void;
  /**
   * Exactly these nodes are kept connected on the control lane from now on, and beside it on the
   * heartbeat lane: dialled without a call, and again with a back-off when they are lost. For
   * Raft's peers.
   */
  keepConnected(nodes: readonly NodeId[]): void;
  onPeer(events: Partial<PeerEvents>): void;
  close(): Promise<void>;
}
