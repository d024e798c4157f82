/**
 * What the main thread and the membership thread say to each other. Times of members are absolute
 * on the machine's monotonic clock (`machineNow`), because each thread's own clock has another
 * origin.
 */
import type { ErrorData, LogLevel, Ms, NodeId } from '../base/index.js';
import type { RunnerOptions } from './runner.js';
import type { Evidence, Member, MemberState } from './types.js';

/** Handed to the thread at its start. */
export interface ThreadData extends RunnerOptions {
  /** One word that the main thread increments while it moves. */
  readonly heartbeat: SharedArrayBuffer;
}

export type ToThread =
  | { readonly kind: 'join' | 'leave' | 'stop'; readonly id: number }
  | { readonly kind: 'why'; readonly id: number; readonly name: NodeId };

export type WireError = [code: string, message: string, data: ErrorData];

export type FromThread =
  /** The socket is bound and the search for the others has begun. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: WireError }
  | {
      readonly kind: 'member';
      readonly member: Member;
      readonly before: MemberState | undefined;
      readonly notable: boolean;
      readonly atWallMs: Ms;
    }
  | { readonly kind: 'health'; readonly score: number }
  | { readonly kind: 'done'; readonly id: number; readonly evidence: readonly Evidence[] }
  | { readonly kind: 'refused'; readonly id: number; readonly error: WireError }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly event: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** How often the main thread moves the heartbeat word, and how often the thread looks at it. */
export const HEARTBEAT_MS: Ms = 250;

/** Milliseconds of the machine's monotonic clock: the same in all threads of a process. */
export function machineNow(): Ms {
  return Number(process.hrtime.bigint()) / 1e6;
}
