/**
 * The leader's duty to commit what becomes of nodes: listens to SWIM, applies the rules of
 * membership-rules.ts, and proposes `nodes.mark`. It keeps since when each process has been Active
 * without a break, by the leader's own clock, from the moment it began to lead. One round at a time;
 * a round is started by an event or by the deadline the rules named.
 */
import { asIdunnoError, type Clock, type Logger, type Ms, type Timer } from '../base/index.js';
import { type LeaderDuty, type LocalStore, NODES, type NodeRow } from '../store/index.js';
import type { Membership } from '../swim/index.js';
import { decideMarks, type Mark } from './membership-rules.js';

export interface MembershipDutyDependencies {
  readonly self: string;
  readonly membership: Pick<Membership, 'members' | 'onChange' | 'healthScore'>;
  readonly local: Pick<LocalStore, 'view' | 'onChanges' | 'propose'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Proposals are small; one that takes longer has lost its leader. */
const PROPOSE_TIMEOUT_MS = 5_000;
/** Looking again although nothing was heard costs next to nothing and forgives a missed event. */
const IDLE_LOOK_MS = 1_000;
const RETRY_MS = 200;

export function createMembershipDuty(dependencies: MembershipDutyDependencies): LeaderDuty {
  let current: Watch | undefined;
  dependencies.membership.onChange(() => current?.look());
  dependencies.local.onChanges((changes) => {
    if (changes.some((change) => change.table.bucket === NODES.bucket)) current?.look();
  });
  return {
    name: 'membership',
    lead: (_term, signal) => {
      const watch = new Watch(dependencies, signal);
      current = watch;
      signal.addEventListener('abort', () => {
        watch.stop();
        if (current === watch) current = undefined;
      });
      watch.look();
    },
  };
}

interface Seen {
  readonly epoch: number;
  readonly sinceMs: Ms;
}

/** One term's watch. */
class Watch {
  private readonly parts: MembershipDutyDependencies;
  private readonly signal: AbortSignal;
  private readonly active = new Map<string, Seen>();
  private readonly missing = new Map<string, Ms>();
  private timer: Timer | undefined;
  private isLooking = false;
  private isNewsWaiting = false;

  constructor(parts: MembershipDutyDependencies, signal: AbortSignal) {
    this.parts = parts;
    this.signal = signal;
  }

  /** Something may have changed. Never throws, never overlaps. */
  look(): void {
    this.isNewsWaiting = true;
    if (this.isLooking || this.signal.aborted) return;
    this.isLooking = true;
    void this.rounds().finally(() => {
      this.isLooking = false;
    });
  }

  stop(): void {
    this.timer?.cancel();
  }

  private async rounds(): Promise<void> {
    let againInMs: Ms = IDLE_LOOK_MS;
    while (this.isNewsWaiting && !this.signal.aborted) {
      this.isNewsWaiting = false;
      try {
        againInMs = await this.round();
      } catch (error) {
        const { code, message } = asIdunnoError(error);
        if (!this.signal.aborted) this.parts.log.warn('node.mark.failed', { code, message });
        againInMs = RETRY_MS;
      }
    }
    if (this.signal.aborted) return;
    this.timer?.cancel();
    this.timer = this.parts.clock.setTimer(againInMs, () => this.look());
  }

  private async round(): Promise<Ms> {
    const rows = await this.rows();
    const nowMs = this.parts.clock.now();
    const members = this.parts.membership.members();
    this.noteSeen(rows, nowMs);
    const { marks, againInMs } = decideMarks({
      nowMs,
      self: this.parts.self,
      members,
      rows,
      activeSinceMs: (name, epoch) => {
        const seen = this.active.get(name);
        return seen?.epoch === epoch ? seen.sinceMs : undefined;
      },
      missingSinceMs: (name) => this.missing.get(name),
      healthScore: this.parts.membership.healthScore(),
    });
    await Promise.all(marks.map((mark) => this.propose(mark)));
    return Math.min(againInMs ?? IDLE_LOOK_MS, IDLE_LOOK_MS);
  }

  private async rows(): Promise<NodeRow[]> {
    const rows: NodeRow[] = [];
    for await (const [, row] of this.parts.local.view().scan(NODES, {})) rows.push(row);
    return rows;
  }

  /** Keeps the moments since when; anything but Active breaks a node's record. */
  private noteSeen(rows: readonly NodeRow[], nowMs: Ms): void {
    const members = this.parts.membership.members();
    const known = new Set<string>();
    for (const { name, state, bootEpoch } of members) {
      if (state === 'deleted') continue;
      known.add(name);
      const seen = this.active.get(name);
      if (state !== 'active') this.active.delete(name);
      else if (seen?.epoch !== bootEpoch) {
        this.active.set(name, { epoch: bootEpoch, sinceMs: nowMs });
      }
    }
    for (const { name } of rows) {
      if (known.has(name)) this.missing.delete(name);
      else if (!this.missing.has(name)) this.missing.set(name, nowMs);
      if (!known.has(name)) this.active.delete(name);
    }
  }

  private async propose(mark: Mark): Promise<void> {
    const { name, epoch, status } = mark;
    await this.parts.local.propose('nodes.mark', [{ name, epoch, status }], {
      timeoutMs: PROPOSE_TIMEOUT_MS,
      signal: this.signal,
    });
    this.parts.log.info('node.marked', { ...mark });
  }
}
