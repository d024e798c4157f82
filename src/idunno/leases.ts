/**
 * What the leader remembers about leases beside the rows: until when each one lasts, and since when
 * it has been seen. Only in memory: a new leader starts all deadlines afresh, so that no worker is
 * punished for an election, and an expired lease is ended by a command that names it.
 *
 * A lease lasts for max(LEASE_MIN_MS, LEASE_FACTOR × mean task time of its job) after its worker
 * last named it as held. Pure: time comes in as an argument (monotonic).
 */
import type { Ms } from '../base/index.js';
import { leaseKey } from './indexes.js';
import { LEASE_FACTOR, LEASE_MIN_MS } from './limits.js';
import type { LeaseName } from './protocol.js';
import type { LeaseRow } from './tables.js';

interface Watched {
  readonly lease: LeaseRow;
  readonly sinceMs: Ms;
  deadlineMs: Ms;
}

/** Length of a lease of a job whose tasks take so long on average. */
export function leaseMs(meanMicros: number): Ms {
  return Math.max(LEASE_MIN_MS, (LEASE_FACTOR * meanMicros) / 1000);
}

export class LeaseWatch {
  readonly #watched = new Map<string, Watched>();

  add(lease: LeaseRow, nowMs: Ms, lengthMs: Ms): void {
    this.#watched.set(leaseKey(lease), { lease, sinceMs: nowMs, deadlineMs: nowMs + lengthMs });
  }

  remove(lease: LeaseName): void {
    this.#watched.delete(leaseKey(lease));
  }

  /** Its worker is alive and still has it. */
  renew(lease: LeaseName, nowMs: Ms, lengthMs: Ms): void {
    const watched = this.#watched.get(leaseKey(lease));
    if (watched !== undefined) watched.deadlineMs = nowMs + lengthMs;
  }

  /** Leases that nobody has named for too long. */
  expired(nowMs: Ms): LeaseRow[] {
    const rows: LeaseRow[] = [];
    for (const { lease, deadlineMs } of this.#watched.values()) {
      if (deadlineMs <= nowMs) rows.push(lease);
    }
    return rows;
  }

  /** When the next one expires. */
  get nextDeadlineMs(): Ms | undefined {
    let next: Ms | undefined;
    for (const { deadlineMs } of this.#watched.values()) {
      if (next === undefined || deadlineMs < next) next = deadlineMs;
    }
    return next;
  }

  /** How long this leader has seen the lease. */
  ageMs(lease: LeaseName, nowMs: Ms): Ms {
    const watched = this.#watched.get(leaseKey(lease));
    return watched === undefined ? 0 : nowMs - watched.sinceMs;
  }

  all(): LeaseRow[] {
    return [...this.#watched.values()].map(({ lease }) => lease);
  }
}
