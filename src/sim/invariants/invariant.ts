/**
 * A promise of the whole cluster. Each lives in a file of its own, names where the promise comes
 * from, keeps what it has to remember by itself, and throws a Violation when it is broken.
 */
import type { NodeId } from '../../base/index.js';
import type { Effect, Message, SnapshotMeta, StoredState } from '../../raft/index.js';
import type { Operation } from '../history.js';
import type { NodeView } from '../monitor.js';

export interface Invariant {
  readonly name: string;
  /** A node starts, with what its disk had. */
  onBoot?(view: NodeView, stored: StoredState): void;
  /** Before the view follows the effect: the view is that of just before. */
  onEffect?(view: NodeView, effect: Effect): void;
  /** After all effects of one step. `view.commit` is that of before the step. */
  afterStep?(view: NodeView): void;
  /** A message leaves a node. */
  onSend?(view: NodeView, to: NodeId, message: Message): void;
  /** A snapshot took the place of a node's log and state. */
  onInstalled?(view: NodeView, meta: SnapshotMeta): void;
  /** A client's operation was called, or completed. */
  onOperation?(operation: Operation): void;
  /** After the liveness phase. */
  atEnd?(): void;
}
