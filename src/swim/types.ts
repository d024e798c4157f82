/**
 * Membership as the rest of the house sees it. The SWIM core decides in a pure file; this is the
 * face of its driver, which runs in a thread of its own.
 */
import type { BootEpoch, Ms, NodeId } from '../base/index.js';

/** The classic ladder; Left is a member that said good-bye. */
export type MemberState = 'active' | 'suspicious' | 'failed' | 'deleted' | 'left';

export interface Member {
  readonly name: NodeId;
  readonly host: string;
  /** TCP (RPC) and UDP (SWIM) share the number. */
  readonly port: number;
  readonly bootEpoch: BootEpoch;
  readonly incarnation: number;
  readonly state: MemberState;
  /** Wall clock of its boot, ms, for the classic `name:HH:MM:SS` ids. */
  readonly bootWallMs: Ms;
  /** Since when in this state, by this node's monotonic clock. */
  readonly sinceMs: Ms;
  /** The process lives but its main thread has not moved for this long. 0: healthy. */
  readonly stalledMs: Ms;
}

/** Why a verdict was reached; shown by `idunno member why NAME`. */
export interface Evidence {
  readonly atWallMs: Ms;
  readonly text: string;
}

export interface MemberEvent {
  readonly member: Member;
  /** Undefined when the member was not on the list. */
  readonly before: MemberState | undefined;
  /** When the membership thread changed its list: also right while the main thread was busy. */
  readonly atWallMs?: Ms;
}

export interface Membership {
  readonly self: Member;
  /** All known but Deleted, by name. */
  members(): readonly Member[];
  get(name: NodeId): Member | undefined;
  onChange(listener: (event: MemberEvent) => void): void;
  why(name: NodeId): Promise<readonly Evidence[]>;
  /** Local health score, 0 = healthy (Lifeguard §3). */
  healthScore(): number;
  join(): Promise<void>;
  leave(): Promise<void>;
  stop(): Promise<void>;
}
