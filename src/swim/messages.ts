/**
 * What membership nodes say to each other, decoded. codec.ts turns it into bytes and back.
 *
 * Every packet names its sender and carries rumours: records about members, in the form that each
 * node stores them. A rumour carries its age, to which every hop adds the time it kept it, so that
 * the timers of all nodes end together although no two clocks agree.
 */
import type { BootEpoch, Ms, NodeId } from '../base/index.js';

/** States that travel. Deleted is local: it goes out as the verdict it came from, with its age. */
export type ClaimState = 'active' | 'suspicious' | 'failed' | 'left';

/** One claim about one member. Newer claims win: see `compareClaims` in members.ts. */
export interface MemberRecord {
  readonly name: NodeId;
  readonly epoch: BootEpoch;
  readonly incarnation: number;
  readonly state: ClaimState;
  readonly host: string;
  /** UDP of membership, TCP of RPC. */
  readonly port: number;
  /** TCP of the membership thread; 0 when it has none. */
  readonly streamPort: number;
  readonly bootWallMs: Ms;
  /** How long the member has been in this state. */
  readonly ageMs: Ms;
  /** How long its main thread has stood still; 0 when it moves. */
  readonly stalledMs: Ms;
  /** Who suspects it, and how long that suspicion lasts before it becomes Failed. */
  readonly accuser?: NodeId;
  readonly holdMs?: Ms;
}

export interface Sender {
  readonly name: NodeId;
  readonly epoch: BootEpoch;
  readonly incarnation: number;
  /** It has left: it watches, but is no member. */
  readonly isObserver: boolean;
}

/** Two 32-bit halves over the identities of all live members; equal lists give equal digests. */
export type Digest = readonly [number, number];

export type Message =
  /**
   * "Are you there?" Names whom it means, so that a stranger on a reused address does not answer
   * for the dead; epoch 0 means whoever bears the name now. With `introduce` the sender's own
   * record comes first among the rumours, and the receiver answers with its own.
   */
  | {
      readonly type: 'ping';
      readonly seq: number;
      readonly target: NodeId;
      readonly targetEpoch: BootEpoch;
      readonly introduce: boolean;
    }
  /** The target answers a ping, and says what it believes of everybody. */
  | { readonly type: 'ack'; readonly seq: number; readonly digest: Digest }
  /** SWIM §3.1: "ping that member for me". Sent to three helpers when a direct ack is late. */
  | {
      readonly type: 'ping-req';
      readonly seq: number;
      readonly target: NodeId;
      readonly targetEpoch: BootEpoch;
      readonly host: string;
      readonly port: number;
    }
  /** The helper passes the target's ack on; `target` is the sender part of that ack. */
  | { readonly type: 'indirect-ack'; readonly seq: number; readonly target: Sender }
  /** Lifeguard §IV.A: the helper is well, but heard nothing from the target either. */
  | { readonly type: 'nack'; readonly seq: number }
  /** "You reached me, and I am not whom you meant." The sender's record comes first. */
  | { readonly type: 'misdirected'; readonly seq: number }
  /** Only rumours. Sent to three members per round while there is news. */
  | { readonly type: 'gossip' }
  /** Over TCP, after digests differed: hashes of the sender's members, bucket by bucket. */
  | { readonly type: 'sync'; readonly hashes: readonly number[] }
  /** The receiver's records of the buckets that differ, as rumours; the sender answers in kind. */
  | {
      readonly type: 'sync-reply';
      readonly bucketCount: number;
      readonly buckets: readonly number[];
    }
  /** The records of those buckets on the side that asked. Ends the sync. */
  | { readonly type: 'sync-push' };

export interface Packet {
  readonly sender: Sender;
  readonly message: Message;
  readonly rumours: readonly MemberRecord[];
}

/** Where a packet came from, and where an answer to it goes. */
export type Origin =
  | { readonly via: 'udp'; readonly host: string; readonly port: number }
  | { readonly via: 'stream'; readonly id: number };

/** Where to reach a membership thread over TCP. */
export interface StreamPeer {
  readonly name: NodeId;
  readonly epoch: BootEpoch;
  readonly host: string;
  readonly streamPort: number;
}

/** A way into the cluster: from the config file, or remembered from an earlier run. */
export interface Introducer {
  readonly name: NodeId;
  readonly host: string;
  readonly port: number;
  /** An address without a known name: asked only while this node is alone. */
  readonly isSeed?: boolean;
}
