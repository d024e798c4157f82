/**
 * Rates of jobs over the last ten seconds, and the gap between them.
 *
 * Completions are counted in slots of a quarter of a second that lie in the replicated statistics
 * row, so that a new leader shows the same rates. A window begins at a slot's edge and ends now:
 * counts and length are exact, only the length varies between 10 and 10.25 s.
 *
 * Pure. Time is wall clock of the leader, as written into the log; the reader's "now" may lag it,
 * then the window ends at the newest completion instead.
 */

export const SLOT_MS = 250;
export const WINDOW_MS = 10_000;
const SLOTS_KEPT = WINDOW_MS / SLOT_MS + 1;

/** Triples (slot, items, tasks) by slot; slot = floor(ms / SLOT_MS). */
export type Slots = readonly number[];

export interface Rate {
  readonly items: number;
  readonly tasks: number;
  readonly windowMs: number;
  readonly itemsPerSecond: number;
  readonly tasksPerSecond: number;
}

/** The slots after one finished task. Old slots fall off; time that went back counts as now. */
export function addToSlots(slots: Slots, nowMs: number, items: number): number[] {
  const last = slots.length - 3;
  const newest = last >= 0 ? (slots[last] ?? 0) : -1;
  const slot = Math.max(newest, Math.floor(nowMs / SLOT_MS));
  const oldest = slot - SLOTS_KEPT;
  const kept: number[] = [];
  for (let at = 0; at + 2 < slots.length; at += 3) {
    const each = slots[at] ?? 0;
    if (each < oldest) continue;
    kept.push(each, slots[at + 1] ?? 0, slots[at + 2] ?? 0);
  }
  if (newest === slot) {
    const end = kept.length;
    kept[end - 2] = (kept[end - 2] ?? 0) + items;
    kept[end - 1] = (kept[end - 1] ?? 0) + 1;
  } else {
    kept.push(slot, items, 1);
  }
  return kept;
}

/** Where a window of ten seconds that ends now begins: the edge of a slot. */
export function windowStart(nowMs: number): number {
  return (Math.floor(nowMs / SLOT_MS) - WINDOW_MS / SLOT_MS) * SLOT_MS;
}

/** The first edge of a slot at or after this moment. */
export function edgeAfter(ms: number): number {
  return Math.ceil(ms / SLOT_MS) * SLOT_MS;
}

/** Counts from `startMs`, which must be an edge, to `nowMs`. */
export function rateSince(slots: Slots, startMs: number, nowMs: number): Rate {
  let items = 0;
  let tasks = 0;
  let end = nowMs;
  for (let at = 0; at + 2 < slots.length; at += 3) {
    const slotMs = (slots[at] ?? 0) * SLOT_MS;
    if (slotMs < startMs) continue;
    items += slots[at + 1] ?? 0;
    tasks += slots[at + 2] ?? 0;
    end = Math.max(end, slotMs);
  }
  const windowMs = Math.max(0, end - startMs);
  const perSecond = windowMs === 0 ? 0 : 1000 / windowMs;
  return {
    items,
    tasks,
    windowMs,
    itemsPerSecond: items * perSecond,
    tasksPerSecond: tasks * perSecond,
  };
}

export interface CompetingJob {
  readonly id: number;
  readonly weight: number;
  readonly slots: Slots;
  /** Since when it has had ready work and a warm worker without a break. */
  readonly activeSinceMs: number;
}

export interface Gap {
  /** (max − min) / max of items/s by weight; undefined with fewer than two jobs or no window. */
  readonly gap: number | undefined;
  readonly windowMs: number;
  readonly rates: readonly (Rate & { readonly id: number })[];
}

/**
 * How far apart active jobs run, over min(10 s, age of the youngest): a window that holds time
 * before a job came would show that job as slow.
 */
export function gapOf(jobs: readonly CompetingJob[], nowMs: number): Gap {
  let start = windowStart(nowMs);
  for (const job of jobs) start = Math.max(start, edgeAfter(job.activeSinceMs));
  const rates = jobs.map((job) => ({ id: job.id, ...rateSince(job.slots, start, nowMs) }));
  const windowMs = Math.max(0, nowMs - start);
  if (jobs.length < 2 || windowMs === 0) return { gap: undefined, windowMs, rates };
  const weighted = jobs.map((job, at) => (rates[at]?.itemsPerSecond ?? 0) / job.weight);
  const max = Math.max(...weighted);
  const min = Math.min(...weighted);
  return { gap: max === 0 ? undefined : (max - min) / max, windowMs, rates };
}
