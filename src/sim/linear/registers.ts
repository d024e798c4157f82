/**
 * Histories of registers whose writes all have different values, as the simulator's clients make
 * them: split by register, and rid of what cannot matter, so that operations that never returned
 * do not make the search grow.
 */
import type { Operation } from '../history.js';
import type { Interval, RegisterAction } from './model.js';

/** By register. Refused operations did nothing; a read that never returned tells nothing. */
export function byRegister(
  operations: readonly Operation[],
): ReadonlyMap<number, readonly Interval<RegisterAction>[]> {
  const found = new Map<number, Interval<RegisterAction>[]>();
  for (const operation of operations) {
    const interval = intervalOf(operation);
    if (interval === undefined) continue;
    const history = found.get(operation.register) ?? [];
    history.push(interval);
    found.set(operation.register, history);
  }
  return new Map([...found].map(([register, history]) => [register, settle(history)]));
}

function intervalOf(operation: Operation): Interval<RegisterAction> | undefined {
  const { id, client, kind, value, calledAt, returnedAt, outcome } = operation;
  if (outcome === 'refused' || (outcome === undefined && kind === 'read')) return undefined;
  const returnAt = outcome === 'done' ? returnedAt : undefined;
  const action: RegisterAction =
    kind === 'write' ? { kind: 'write', value } : { kind: 'read', result: value };
  return { id, client, callAt: calledAt, returnAt, action };
}

/**
 * A write that never returned either was seen, and then took effect before that read returned; or
 * was not, and then nothing that did happen depends on whether it took effect: it is left out.
 * Both change nothing about whether an order exists, because a value names its write.
 */
export function settle(
  history: readonly Interval<RegisterAction>[],
): readonly Interval<RegisterAction>[] {
  const seenAt = new Map<number, number>();
  for (const { action, returnAt } of history) {
    if (action.kind !== 'read' || returnAt === undefined) continue;
    seenAt.set(action.result, Math.min(seenAt.get(action.result) ?? returnAt, returnAt));
  }
  const settled: Interval<RegisterAction>[] = [];
  for (const interval of history) {
    const { action, callAt, returnAt } = interval;
    if (action.kind === 'read' || returnAt !== undefined) {
      settled.push(interval);
      continue;
    }
    const seen = seenAt.get(action.value);
    // Seen before it was called: left open, and the search finds that impossible by itself.
    if (seen !== undefined)
      settled.push(seen >= callAt ? { ...interval, returnAt: seen } : interval);
  }
  return settled;
}
