/**
 * The leader's duty to keep the coordinators whole: invites learners that have no log yet, renews
 * voters that lost theirs, and replaces those that stay away (coordinator-rules.ts). The wishes of
 * operators come in here as well. It decides nothing about consensus: the driver may refuse.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Logger,
  type Ms,
  type NodeId,
  type Term,
} from '../base/index.js';
import { confOf, type RaftDriver, sameNames } from '../raft/index.js';
import { type LeaderDuty, type LocalStore, NODES, SETTINGS } from '../store/index.js';
import {
  planRepair,
  planWish,
  type Repair,
  type Situation,
  type Watched,
  type Wish,
} from './coordinator-rules.js';

export interface CoordinatorsDutyParts {
  readonly self: NodeId;
  readonly nodes: readonly NodeId[];
  readonly driver: RaftDriver;
  readonly local: Pick<LocalStore, 'view' | 'readBarrier'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export const REPLACE_SETTING = 'raft.auto-replace-after-seconds';
/** Longer than a reboot or an upgrade; short enough that the next failure comes later. */
export const REPLACE_AFTER_SECONDS = 300;
const LOOK_EVERY_MS: Ms = 500;

export class CoordinatorsDuty implements LeaderDuty {
  readonly name = 'coordinators';
  readonly #parts: CoordinatorsDutyParts;
  /** Of the present term: since when a member has not answered. */
  #silentSince = new Map<NodeId, Ms>();

  constructor(parts: CoordinatorsDutyParts) {
    this.#parts = parts;
  }

  lead(term: Term, signal: AbortSignal): void {
    this.#silentSince = new Map();
    this.#watch(term, signal).catch((error: unknown) => {
      if (signal.aborted) return;
      this.#parts.log.error('raft.duty-failed', { error: asIdunnoError(error).message });
    });
  }

  /**
   * Begins what an operator asks for; answers the voters that it leads to. `expected`: the voters
   * that the operator saw. A call that is repeated at another leader finds its wish fulfilled.
   */
  async change(wish: Wish, expected: readonly string[] | undefined): Promise<readonly NodeId[]> {
    const situation = await this.#askedSituation(wish);
    const { conf } = situation;
    if (expected !== undefined && !sameNames(expected, conf.voters)) {
      const before = { voters: expected as readonly NodeId[], outgoing: [], learners: [] };
      const wanted = planWish(wish, { ...situation, conf: before, isCommitted: true }).voters;
      if (sameNames(wanted, conf.next ?? conf.voters)) return wanted;
      const text = `the coordinators are ${conf.voters.join(', ')} by now: look again`;
      throw new IdunnoError('CONFLICT', text);
    }
    const target = planWish(wish, situation);
    await this.#parts.driver.reconfigure(target);
    return target.voters;
  }

  async #watch(term: Term, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    while (!signal.aborted) {
      try {
        await this.#look(term, signal);
      } catch (error) {
        const { code, message } = asIdunnoError(error);
        if (!signal.aborted) log.warn('raft.repair-failed', { code, message });
      }
      await clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
    }
  }

  async #look(term: Term, signal: AbortSignal): Promise<void> {
    const situation = this.#situation();
    this.#noteSilence(situation);
    const empty = await this.#findEmpty(situation, term, signal);
    const replaceAfterMs = this.#replaceAfterMs();
    const repair = planRepair({ ...this.#watched(situation, empty), replaceAfterMs });
    if (repair === undefined || signal.aborted) return;
    this.#parts.log.warn('raft.repair', describeRepair(repair));
    await this.#parts.driver.reconfigure(repair.target);
  }

  #watched(situation: Situation, empty: ReadonlySet<NodeId>): Watched {
    return {
      ...situation,
      nowMs: this.#parts.clock.now(),
      silentSinceMs: (name) => this.#silentSince.get(name),
      isEmpty: (name) => empty.has(name),
      replaceAfterMs: 0,
    };
  }

  #situation(): Situation {
    const { driver, nodes, self, local } = this.#parts;
    const status = driver.status().raft;
    if (status === undefined) throw new IdunnoError('NO_LEADER', 'this node is no member');
    const { isConfCommitted, progress } = status;
    const active = new Set(progress.filter((peer) => peer.isActive).map(({ peer }) => peer));
    const view = local.view();
    return {
      conf: confOf(status),
      isCommitted: isConfCommitted,
      nodes,
      isUp: (name) => view.get(NODES, [name])?.status === 'up',
      isActive: (name) => name === self || active.has(name),
    };
  }

  /** Who is to stay behind has to be there at this very moment, not by what was heard last. */
  async #askedSituation(wish: Wish): Promise<Situation> {
    const situation = this.#situation();
    if (wish.kind !== 'remove') return situation;
    const { self, driver } = this.#parts;
    const others = situation.conf.voters.filter((name) => name !== self && name !== wish.node);
    const { signal } = new AbortController();
    const states = await Promise.all(others.map((name) => driver.inspect(name, signal)));
    const isThere = (name: NodeId) => states[others.indexOf(name)]?.kind === 'member';
    return { ...this.#situation(), isActive: (name) => name === self || isThere(name) };
  }

  #noteSilence({ conf, isActive }: Situation): void {
    const nowMs = this.#parts.clock.now();
    const members = new Set([...conf.voters, ...conf.learners]);
    for (const name of members) {
      if (isActive(name)) this.#silentSince.delete(name);
      else if (!this.#silentSince.has(name)) this.#silentSince.set(name, nowMs);
    }
    for (const name of this.#silentSince.keys()) {
      if (!members.has(name)) this.#silentSince.delete(name);
    }
  }

  /** Members that run without a log. Learners among them are taken in; voters have to be renewed. */
  async #findEmpty(
    situation: Situation,
    term: Term,
    signal: AbortSignal,
  ): Promise<ReadonlySet<NodeId>> {
    const { driver } = this.#parts;
    const empty = new Set<NodeId>();
    const silent = [...this.#silentSince.keys()];
    await Promise.all(
      silent.map(async (name) => {
        const state = await driver.inspect(name, signal);
        if (state.kind !== 'empty') return;
        if (situation.conf.learners.includes(name)) {
          await this.#invite(name, state.incarnation, term, signal);
        } else empty.add(name);
      }),
    );
    return empty;
  }

  async #invite(name: NodeId, incarnation: string, term: Term, signal: AbortSignal): Promise<void> {
    const { driver, local, log } = this.#parts;
    // This node leads still, now that the incarnation is known: what it has committed is the newest.
    await local.readBarrier(signal);
    const { conf, isCommitted } = this.#situation();
    const hasVote = [...conf.voters, ...conf.outgoing].includes(name);
    if (!isCommitted || hasVote || !conf.learners.includes(name)) return;
    const hasJoined = await driver.invite(name, incarnation, term, signal);
    log.info('raft.invited', { name, hasJoined });
  }

  #replaceAfterMs(): Ms {
    const text = this.#parts.local.view().get(SETTINGS, [REPLACE_SETTING])?.value;
    const seconds = text === undefined ? REPLACE_AFTER_SECONDS : Number(text);
    // Nonsense does nothing rather than something.
    return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 0;
  }
}

function describeRepair(repair: Repair): Record<string, string> {
  const { kind, node, target } = repair;
  const by = repair.kind === 'replace' ? repair.by : node;
  return { kind, node, by, voters: target.voters.join(',') };
}
