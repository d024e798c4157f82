/**
 * The slow twin of the linearizability checker: tries every order of the operations. Written from
 * the definition and nothing else (Herlihy and Wing 1990, §2.3).
 */
import type { Interval, Model } from '../../src/sim/linear/model.js';

export function isLinearizable<State, Action>(
  history: readonly Interval<Action>[],
  model: Model<State, Action>,
): boolean {
  return canGoOn([...history], model.initial);

  function canGoOn(left: readonly Interval<Action>[], state: State): boolean {
    // Those that never returned need not take effect.
    if (left.every(({ returnAt }) => returnAt === undefined)) return true;
    return left.some((first) => {
      const others = left.filter((other) => other !== first);
      // Whoever returned before `first` was called must come before it.
      const isFree = others.every(
        ({ returnAt }) => !(returnAt !== undefined && returnAt < first.callAt),
      );
      if (!isFree) return false;
      const after = model.step(state, first.action);
      return after !== undefined && canGoOn(others, after);
    });
  }
}
