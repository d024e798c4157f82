/**
 * The leader's watch over leases: which run out, which deserve a second copy, and when to look
 * next. In memory only (leases.ts says why); it reads rows and proposes nothing.
 */
import type { Clock, Ms } from '../base/index.js';
import type { Change, LocalStore } from '../store/index.js';
import { patienceMs, stragglers, suspectLeases } from './hedging.js';
import { LEASES_INDEX } from './indexes.js';
import { LeaseWatch, leaseMs } from './leases.js';
import { SWEEP_LEASES_MAX, WORK_UNITS_MAX } from './limits.js';
import type { Report } from './protocol.js';
import { type LeaseRow, stats } from './tables.js';

export interface LeaseGuardDeps {
  readonly clock: Clock;
  readonly local: Pick<LocalStore, 'view'>;
}

export class LeaseGuard {
  readonly #deps: LeaseGuardDeps;
  readonly #leases = new LeaseWatch();
  readonly #suspects = new Set<string>();
  /** Mean task times of jobs, µs, so that rows are not decoded at each look. */
  readonly #means = new Map<number, number>();

  constructor(deps: LeaseGuardDeps) {
    this.#deps = deps;
    for (const rows of deps.local.view().index(LEASES_INDEX).byNode.values()) {
      for (const lease of rows.values()) this.#watch(lease);
    }
  }

  onLease(change: Change): void {
    const row = (change.after ?? change.before) as LeaseRow;
    if (change.after === undefined) this.#leases.remove(row);
    else this.#watch(row);
  }

  onStats(change: Change): void {
    this.#means.delete(change.key[0] as number);
  }

  /** True when this is news. */
  onSuspicion(node: string, isSuspect: boolean): boolean {
    if (isSuspect === this.#suspects.has(node)) return false;
    if (isSuspect) this.#suspects.add(node);
    else this.#suspects.delete(node);
    return true;
  }

  /** Its worker is alive and has what it names. */
  renew(report: Report): void {
    const nowMs = this.#deps.clock.now();
    for (const lease of report.held) this.#leases.renew(lease, nowMs, this.#leaseMs(lease.job));
  }

  /** Leases that have run out, watched anew in case ending them fails. */
  takeExpired(): LeaseRow[] {
    const expired = this.#leases.expired(this.#deps.clock.now()).slice(0, SWEEP_LEASES_MAX);
    for (const lease of expired) this.#watch(lease);
    return expired;
  }

  /** Tasks that deserve a second copy now. `isIdle`: a worker has nothing else to do. */
  hedges(isIdle: boolean): LeaseRow[] {
    const nowMs = this.#deps.clock.now();
    const input = {
      leases: this.#singles(),
      isSuspect: (node: string) => this.#suspects.has(node),
      meanMicros: (job: number) => this.#meanMicros(job),
      ageMs: (lease: LeaseRow) => this.#leases.ageMs(lease, nowMs),
    };
    const found = [...suspectLeases(input), ...(isIdle ? stragglers(input) : [])];
    return found.slice(0, WORK_UNITS_MAX);
  }

  /** When a lease runs out or becomes a straggler. */
  get nextDeadlineMs(): Ms | undefined {
    const nowMs = this.#deps.clock.now();
    let next = this.#leases.nextDeadlineMs;
    for (const lease of this.#leases.all()) {
      const leftMs = patienceMs(this.#meanMicros(lease.job)) - this.#leases.ageMs(lease, nowMs);
      if (leftMs > 0 && nowMs + leftMs < (next ?? Number.POSITIVE_INFINITY)) next = nowMs + leftMs;
    }
    return next;
  }

  /** Leases of tasks that nobody else has. */
  #singles(): LeaseRow[] {
    const copies = new Map<string, number>();
    const all = this.#leases.all();
    for (const { job, from } of all) {
      copies.set(`${job}/${from}`, (copies.get(`${job}/${from}`) ?? 0) + 1);
    }
    return all.filter(({ job, from }) => copies.get(`${job}/${from}`) === 1);
  }

  #watch(lease: LeaseRow): void {
    this.#leases.add(lease, this.#deps.clock.now(), this.#leaseMs(lease.job));
  }

  #meanMicros(job: number): number {
    const known = this.#means.get(job);
    if (known !== undefined) return known;
    const mean = this.#deps.local.view().get(stats, [job])?.mean ?? 0;
    this.#means.set(job, mean);
    return mean;
  }

  #leaseMs(job: number): Ms {
    return leaseMs(this.#meanMicros(job));
  }
}
