/**
 * The classic ring: members in the order of their names, closed to a circle. A node watches three
 * neighbours, so every member has three watchers whatever the size of the cluster, and the worst
 * wait for a probe does not grow with it. Names are compared by code unit, so all nodes agree.
 */
import type { NodeId } from '../base/index.js';
import { lowerBound } from './members.js';

export const RING_SLOTS = ['predecessor', 'successor', 'super-successor'] as const;

/** Which of the three neighbours. */
export type RingSlot = (typeof RING_SLOTS)[number];

/**
 * The neighbour in that slot among `names` (sorted, without `self`); undefined in an empty ring.
 * In a ring of two or three the slots coincide.
 */
export function ringNeighbour(
  names: readonly NodeId[],
  self: NodeId,
  slot: RingSlot,
): NodeId | undefined {
  const count = names.length;
  if (count === 0) return undefined;
  const next = lowerBound(names, self);
  const step = { predecessor: -1, successor: 0, 'super-successor': 1 }[slot];
  return names[(next + step + count) % count];
}

/** The neighbours of all slots, each once. */
export function ringNeighbours(names: readonly NodeId[], self: NodeId): readonly NodeId[] {
  const found: NodeId[] = [];
  for (const slot of RING_SLOTS) {
    const name = ringNeighbour(names, self, slot);
    if (name !== undefined && !found.includes(name)) found.push(name);
  }
  return found;
}
