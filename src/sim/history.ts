/** Operations of clients: the history that the oracle judges. */
import type { LogIndex, Ms, NodeId } from '../base/index.js';

export interface Operation {
  readonly id: number;
  readonly client: string;
  readonly kind: 'write' | 'read';
  readonly register: number;
  /** What a write writes: unique in the run. For a read: what it found, 0 for nothing. */
  value: number;
  readonly calledAt: Ms;
  /** Undefined while nobody knows; then also where the client stopped waiting. */
  returnedAt: Ms | undefined;
  /** Undefined while nobody knows: pending, or timed out. It may take effect at any later time. */
  outcome: 'done' | 'refused' | undefined;
  /** Done: the write's log index; for a read that of the write it saw. */
  index: LogIndex;
  /** Where it was asked. */
  readonly at: NodeId;
}
