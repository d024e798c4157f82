/**
 * What the linearizability checker needs to know: a history of operations, and the sequential
 * object that they claim to have used (Herlihy and Wing, "Linearizability", 1990).
 */
import { assertNever } from '../../base/index.js';

/** One operation of a client, seen from outside. */
export interface Interval<Action> {
  readonly id: number;
  readonly client: string;
  readonly callAt: number;
  /** Undefined: it never returned. It may take effect at any time after its call, or never. */
  readonly returnAt: number | undefined;
  /** What was asked and, where it returned, what came back. */
  readonly action: Action;
}

/** A sequential object. States are values: `step` returns a new one and changes nothing. */
export interface Model<State, Action> {
  readonly initial: State;
  /** The state after the action; undefined: in this state its result is impossible. */
  step(state: State, action: Action): State | undefined;
  /** Equal exactly for equal states. */
  keyOf(state: State): string | number;
  describe(action: Action): string;
}

/** `result` of a read: what it found. 0 is the value of a register that nobody wrote. */
export type RegisterAction =
  | { readonly kind: 'write'; readonly value: number }
  | { readonly kind: 'read'; readonly result: number };

export const REGISTER: Model<number, RegisterAction> = {
  initial: 0,
  step(state, action) {
    switch (action.kind) {
      case 'write':
        return action.value;
      case 'read':
        return action.result === state ? state : undefined;
      default:
        return assertNever(action, 'action');
    }
  },
  keyOf: (state) => state,
  describe: (action) =>
    action.kind === 'write' ? `write ${action.value}` : `read → ${action.result}`,
};
