/**
 * Events that an operator asks the logs about, and that measurements are taken from: members that
 * change state, nodes that are marked, leaders, jobs, models and tasks. Names and fields:
 * docs/logs.md. Every coordinator writes what it applies; tasks are written by the leader alone, at
 * a bounded rate, because there may be hundreds a second and all coordinators would write the same.
 */
import type { Clock, Logger, Ms } from '../base/index.js';
import { eventsOf, type StateEvent } from '../idunno/index.js';
import type { RaftDriver, RoleEvent } from '../raft/index.js';
import { type Change, type LocalStore, NODES, type NodeRow } from '../store/index.js';
import type { Membership } from '../swim/index.js';

/** `member.change`: what SWIM says. */
export function logMembers(membership: Pick<Membership, 'onChange'>, log: Logger): void {
  membership.onChange(({ member, before, atWallMs }) => {
    if (member.state === before) return;
    const { name, state, bootEpoch, incarnation } = member;
    const fields = { name, before: before ?? 'unknown', after: state, bootEpoch, incarnation };
    const when = atWallMs === undefined ? {} : { atMs: Math.round(atWallMs) };
    log.info('member.change', { ...fields, ...when });
  });
}

/** `leader.change`: whom this coordinator follows, itself included; none while none is known. */
export function logLeaders(driver: Pick<RaftDriver, 'onRole'>, log: Logger): void {
  let known: RoleEvent['leader'];
  let knownTerm = 0;
  driver.onRole(({ leader, term }) => {
    if (leader === known && (leader === undefined || term === knownTerm)) return;
    log.info('leader.change', { before: known ?? 'none', after: leader ?? 'none', term });
    known = leader;
    knownTerm = term;
  });
}

export interface StateLogParts {
  readonly local: Pick<LocalStore, 'onChanges'>;
  readonly isLeader: () => boolean;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
}

/** Lines about tasks in one second; what is beyond is counted and said. */
const TASK_LINES_MAX = 1_000;
const TASK_WINDOW_MS: Ms = 1_000;

/** `node.change`, `job.*`, `model.*`, `task.*`: what Raft has decided, as applied here. */
export function logState({ local, isLeader, clock, log }: StateLogParts): void {
  const budget = new LineBudget(clock, (lines) => log.warn('task.unlogged', { lines }));
  local.onChanges((changes, index) => {
    for (const change of changes) {
      if (change.table.bucket === NODES.bucket) logNode(change, index, log);
    }
    for (const { event, fields } of eventsOf(changes, { withTasks: isLeader() })) {
      if (isAboutTask(event) && !budget.take()) continue;
      log.info(event, { ...fields, index });
    }
  });
}

function isAboutTask(event: StateEvent['event']): boolean {
  return event.startsWith('task.');
}

function logNode({ key, before, after }: Change, index: number, log: Logger): void {
  const was = before as NodeRow | undefined;
  const is = after as NodeRow | undefined;
  if (was?.status === is?.status && was?.epoch === is?.epoch) return;
  const { epoch = 0, flaps = 0, sinceMs: atMs = 0 } = is ?? {};
  const states = { before: was?.status ?? 'none', after: is?.status ?? 'none' };
  log.info('node.change', { name: key.join('/'), ...states, epoch, flaps, atMs, index });
}

/** So many lines in each window of time. */
class LineBudget {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #onLost: (lines: number) => void;
  #sinceMs: Ms = Number.NEGATIVE_INFINITY;
  #taken = 0;
  #lost = 0;

  /** `onLost` is told, when the next window begins, how many lines had no place in the last. */
  constructor(clock: Pick<Clock, 'now'>, onLost: (lines: number) => void) {
    this.#clock = clock;
    this.#onLost = onLost;
  }

  take(): boolean {
    const nowMs = this.#clock.now();
    if (nowMs - this.#sinceMs >= TASK_WINDOW_MS) {
      if (this.#lost > 0) this.#onLost(this.#lost);
      this.#sinceMs = nowMs;
      this.#taken = 0;
      this.#lost = 0;
    }
    if (this.#taken < TASK_LINES_MAX) {
      this.#taken += 1;
      return true;
    }
    this.#lost += 1;
    return false;
  }
}
