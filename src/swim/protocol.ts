/**
 * The face of the membership core: what goes in, what comes out, what it puts on its agenda.
 * The core is a value machine, `step(input) → effects`: it has no clock, no socket and no promise.
 */
import type { BootEpoch, LogLevel, Ms, NodeId } from '../base/index.js';
import type { SwimTiming } from './config.js';
import type { Introducer, Origin, Packet, StreamPeer } from './messages.js';
import type { Member, MemberState } from './types.js';

export interface SwimOptions {
  readonly name: NodeId;
  readonly host: string;
  readonly port: number;
  /** TCP port of this membership thread; 0 when it has none. */
  readonly streamPort: number;
  readonly bootEpoch: BootEpoch;
  readonly bootWallMs: Ms;
  readonly timing: SwimTiming;
  /** The configured nodes and those remembered from earlier runs; itself is skipped. */
  readonly introducers: readonly Introducer[];
}

export type Input =
  /** Once, first of all: the node begins to look for the others. */
  | { readonly kind: 'start'; readonly now: Ms }
  /** Time has passed; wanted at `nextDeadline` at the latest. `now` never goes back. */
  | { readonly kind: 'tick'; readonly now: Ms }
  | { readonly kind: 'packet'; readonly now: Ms; readonly from: Origin; readonly packet: Packet }
  /** For how long the main thread has stood still; 0 when it moves. */
  | { readonly kind: 'stalled'; readonly now: Ms; readonly stalledMs: Ms }
  | { readonly kind: 'leave' | 'join'; readonly now: Ms };

export type Effect =
  /** A packet over UDP, or back along the stream that it answers. Best effort. */
  | { readonly kind: 'send'; readonly to: Origin; readonly packet: Packet }
  /** A packet to a membership thread over TCP; without `dial` only if a connection is open. */
  | {
      readonly kind: 'stream';
      readonly to: StreamPeer;
      readonly dial: boolean;
      readonly packet: Packet;
    }
  /** Keep TCP connections open to exactly these: the ring neighbours. */
  | { readonly kind: 'links'; readonly peers: readonly StreamPeer[] }
  /** `notable`: state, identity or stall changed; otherwise only details did. */
  | {
      readonly kind: 'member';
      readonly member: Member;
      readonly before: MemberState | undefined;
      readonly notable: boolean;
    }
  /** The members to look for first after the next start. */
  | { readonly kind: 'remember'; readonly peers: readonly Introducer[] }
  | { readonly kind: 'health'; readonly score: number }
  /** The farewell has been told for long enough; `leave` may report success. */
  | { readonly kind: 'left' }
  /** Somebody answered for the first time since start or join. */
  | { readonly kind: 'joined' }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly event: string;
      readonly fields: Readonly<Record<string, string | number>>;
    };

/** What the core means to do later. Whoever runs a task checks that it still applies. */
export type Task =
  | { readonly kind: 'slot' | 'gossip' | 'heal' | 'remember' | 'farewell' }
  /** The next stage of an open probe, or of one that is relayed for another node. */
  | { readonly kind: 'probe' | 'relay'; readonly seq: number }
  /** A timer of a member's ladder: the hold, the deletion, the end of a tombstone. */
  | {
      readonly kind: 'expire' | 'delete' | 'forget';
      readonly name: NodeId;
      readonly epoch: BootEpoch;
    };
