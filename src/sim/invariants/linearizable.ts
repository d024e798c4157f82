/**
 * Every operation seems to take effect at one moment between its call and its return (Herlihy and
 * Wing, "Linearizability", 1990).
 *
 * The log gives the order of all writes, and values are unique, so each operation has a position:
 * a write its log index, a read that of the write it saw. The history is linearizable exactly when
 * positions respect real time per register: what returned before an operation was called lies
 * before it (for a read: not after it), and no read sees a value that nobody had asked to write.
 * An operation that never returned binds nobody, unless its value is seen.
 */
import type { LogIndex } from '../../base/index.js';
import type { Operation } from '../history.js';
import { Violation } from '../violation.js';
import type { Invariant } from './invariant.js';

export class Linearizable implements Invariant {
  readonly name = 'linearizable';
  /** By register: the largest position that has returned. */
  readonly #floor = new Map<number, LogIndex>();
  /** By operation: the floor when it was called. */
  readonly #floorAtCall = new Map<number, LogIndex>();
  readonly #called = new Map<number, number>();

  onOperation(operation: Operation): void {
    const { id, kind, register, value, outcome, index } = operation;
    if (outcome === undefined) {
      this.#floorAtCall.set(id, this.#floor.get(register) ?? 0);
      if (kind === 'write') this.#called.set(value, register);
      return;
    }
    const floor = this.#floorAtCall.get(id) ?? 0;
    this.#floorAtCall.delete(id);
    if (outcome !== 'done') return;
    if (kind === 'read' && value !== 0 && this.#called.get(value) !== register) {
      this.#fail(operation, 'nobody wrote that there');
    }
    if (kind === 'read' ? index < floor : index <= floor) {
      this.#fail(operation, `position ${floor} had returned before it was called`);
    }
    this.#floor.set(register, Math.max(this.#floor.get(register) ?? 0, index));
  }

  #fail(operation: Operation, why: string): never {
    const { kind, register, value, index, at } = operation;
    throw new Violation(
      this.name,
      `${kind} of register ${register} at ${at} gives ${value}, position ${index}: ${why}`,
    );
  }
}
