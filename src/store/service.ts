/**
 * The store on a coordinator: commands and queries by RPC, leader methods, leader duties, and the
 * face of the local state.
 *
 *     store.submit   [session, seq, ackedBelow, name, args] → outcome   leader only
 *     store.session  []                                     → outcome   leader only
 *     store.query    [name, args]                           → outcome   any coordinator, linearizable
 *     (leader methods by their own names)                   → outcome   leader only, once ready
 *
 * An answer is an outcome (command.ts): what the command, query or method itself said. What is
 * thrown is about the way there (NOT_LEADER with a hint, BUSY, UNKNOWN_OUTCOME): the client tries
 * elsewhere or again, which it must never do for a refusal of the command.
 */
import {
  assert,
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Logger,
  type Ms,
  type NodeId,
  type Term,
  type Timer,
  withTimeout,
} from '../base/index.js';
import type { HandlerContext, Peer, Rpc, Wire } from '../net/index.js';
import { isVoter, type RaftDriver, type RoleEvent } from '../raft/index.js';
import { Batcher } from './batcher.js';
import {
  type CommandRequest,
  type Outcome,
  outcomeToWire,
  parseCommand,
  REGISTER_SESSION,
} from './command.js';
import type { ChangeListener, StateMachine } from './state-machine.js';
import type { LeaderDuty, LocalStore, ReadView, SubmitOptions } from './types.js';

export const STORE_METHODS = {
  submit: 'store.submit',
  session: 'store.session',
  query: 'store.query',
} as const;

export interface StoreServiceParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly log: Logger;
  readonly driver: RaftDriver;
  readonly machine: StateMachine;
}

export interface LeaderContext {
  /** Who asked; undefined when this node itself did. */
  readonly peer: Peer | undefined;
  /** Aborts when the caller is gone, its time is over, or leadership ends. */
  readonly signal: AbortSignal;
  readonly term: Term;
}

/** One leadership of this node, once ready. */
interface Leading {
  readonly term: Term;
  readonly stop: AbortController;
  /** Duties to be started. */
  readonly waiting: LeaderDuty[];
  /** All that were there at first have been started: leader methods may rely on them. */
  isTakenUp: boolean;
  nextDuty: Timer | undefined;
}

/** May be called more than once for one call of a client: make it idempotent. */
export type LeaderMethod = (args: readonly Wire[], context: LeaderContext) => Promise<Wire> | Wire;

/** Several round trips of writes; nobody misses a lease or a repair for so long. */
const DUTIES_AFTER_MS: Ms = 15;
/** Default patience of a call. */
export const STORE_TIMEOUT_MS: Ms = 10_000;

export class StoreService implements LocalStore {
  readonly #parts: StoreServiceParts;
  readonly #batcher: Batcher;
  readonly #duties: LeaderDuty[] = [];
  readonly #leaderMethods = new Map<string, LeaderMethod>();
  /** Of the present leadership, once ready. */
  #leading: Leading | undefined;

  constructor(parts: StoreServiceParts) {
    this.#parts = parts;
    this.#batcher = new Batcher(parts.driver);
    const { rpc, driver } = parts;
    rpc.handle(STORE_METHODS.submit, async (args) => this.#answer(this.submit(parseCommand(args))));
    rpc.handle(STORE_METHODS.session, async () => this.#answer(this.register()));
    rpc.handle(STORE_METHODS.query, async (args, _body, context) => {
      const [name, queryArgs] = args;
      if (typeof name !== 'string' || !Array.isArray(queryArgs)) {
        throw new IdunnoError('PROTOCOL', 'a query without a name or arguments');
      }
      return this.#answer(this.query(name, queryArgs, this.#waitOf(context)));
    });
    driver.onRole((event) => this.#onRole(event));
  }

  /** Started when this node leads and has applied its own no-op; stopped when it ends. */
  addDuty(duty: LeaderDuty): void {
    this.#duties.push(duty);
    if (this.#leading === undefined) return;
    this.#leading.waiting.push(duty);
    this.#takeUpNext(this.#leading);
  }

  /** An RPC that only a ready leader answers; called through StoreClient.callLeader. */
  registerLeaderMethod(name: string, method: LeaderMethod): void {
    assert(!this.#leaderMethods.has(name), `leader method "${name}" is registered twice`);
    this.#leaderMethods.set(name, method);
    this.#parts.rpc.handle(name, async (args, _body, { peer, signal }) =>
      this.#answer(this.callLocal(name, args, { peer, signal })),
    );
  }

  // ---- what the client on this node uses, too ----

  get isLeader(): boolean {
    return this.#parts.driver.role.role === 'leader';
  }

  /** This node has a vote: its state is as good as any. */
  get isVoter(): boolean {
    const { conf, isMember } = this.#parts.driver.members;
    return isMember && isVoter(conf, this.#parts.driver.self);
  }

  get leader(): NodeId | undefined {
    return this.#parts.driver.leader;
  }

  onRole(listener: (event: RoleEvent) => void): void {
    this.#parts.driver.onRole(listener);
  }

  async submit(request: CommandRequest): Promise<Outcome> {
    return this.#batcher.submit(request);
  }

  register(): Promise<Outcome> {
    return this.submit({ session: 0, seq: 0, ackedBelow: 0, name: REGISTER_SESSION, args: [] });
  }

  /** Linearizable, on this node's own state. */
  async query(
    name: string,
    args: readonly Wire[],
    wait: { timeoutMs: Ms; signal?: AbortSignal },
  ): Promise<Outcome> {
    const { driver, machine, clock } = this.#parts;
    const endsAt = clock.now() + wait.timeoutMs;
    const index = await driver.readIndex(wait);
    const timeoutMs = Math.max(1, endsAt - clock.now());
    await driver.waitApplied(index, { ...wait, timeoutMs });
    const query = machine.registry.query(name);
    if (query === undefined) {
      return refusal(new IdunnoError('NO_SUCH_METHOD', `there is no query "${name}"`));
    }
    const { view, close } = machine.pinnedView();
    try {
      return { ok: true, value: await query(view, args) };
    } catch (error) {
      if (!isIdunnoError(error)) this.#parts.log.error('store.query-bug', { query: name, error });
      return refusal(asIdunnoError(error));
    } finally {
      close();
    }
  }

  /** A leader method on this node. Throws NOT_LEADER, or NOT_READY while it takes over. */
  async callLocal(
    name: string,
    args: readonly Wire[],
    caller: { readonly peer: Peer | undefined; readonly signal: AbortSignal },
  ): Promise<Outcome> {
    const method = this.#leaderMethods.get(name);
    if (method === undefined) throw new IdunnoError('NO_SUCH_METHOD', `no leader method "${name}"`);
    const { term, stop } = this.#requireReady();
    const either = eitherOf(caller.signal, stop.signal);
    const context = { peer: caller.peer, signal: either.signal, term };
    try {
      return { ok: true, value: await method(args, context) };
    } catch (error) {
      // Ended together with the leadership: the next leader has to be asked.
      if (stop.signal.aborted) throw this.#notLeader();
      if (!isIdunnoError(error)) this.#parts.log.error('store.method-bug', { method: name, error });
      return refusal(asIdunnoError(error));
    } finally {
      either.release();
    }
  }

  // ---- LocalStore ----

  view(): ReadView {
    return this.#parts.machine.view();
  }

  async readBarrier(signal?: AbortSignal): Promise<LogIndex> {
    const { driver } = this.#parts;
    const wait = { timeoutMs: STORE_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    const index = await driver.readIndex(wait);
    await driver.waitApplied(index, wait);
    return index;
  }

  onChanges(listener: ChangeListener): void {
    this.#parts.machine.onChanges(listener);
  }

  async propose(name: string, args: readonly Wire[], options: SubmitOptions = {}): Promise<Wire> {
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? STORE_TIMEOUT_MS;
    const submitted = this.submit({ session: 0, seq: 0, ackedBelow: 0, name, args });
    const { clock } = this.#parts;
    const outcome = await withTimeout(clock, submitted, timeoutMs, name).catch((error: unknown) => {
      if (!isIdunnoError(error, 'TIMEOUT')) throw error;
      throw new IdunnoError('UNKNOWN_OUTCOME', `command ${name}: no quorum in ${timeoutMs} ms`);
    });
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  }

  // ---- leadership ----

  #onRole({ role, term, isReady }: RoleEvent): void {
    if (this.#leading !== undefined && (role !== 'leader' || term !== this.#leading.term)) {
      this.#leading.nextDuty?.cancel();
      this.#leading.stop.abort(this.#notLeader());
      this.#leading = undefined;
    }
    if (!isReady || this.#leading !== undefined) return;
    const waiting = [...this.#duties];
    const stop = new AbortController();
    this.#leading = { term, stop, waiting, isTakenUp: false, nextDuty: undefined };
    this.#takeUpNext(this.#leading, DUTIES_AFTER_MS);
  }

  /**
   * One duty per turn, and the first after a moment: each begins with work that takes milliseconds,
   * and what clients have been waiting for since the last leader must not wait for that as well.
   */
  #takeUpNext(leading: Leading, afterMs: Ms = 0): void {
    leading.nextDuty ??= this.#parts.clock.setTimer(afterMs, () => {
      leading.nextDuty = undefined;
      leading.waiting.shift()?.lead(leading.term, leading.stop.signal);
      if (leading.waiting.length > 0) this.#takeUpNext(leading);
      else leading.isTakenUp = true;
    });
  }

  #requireReady(): Leading {
    if (this.#leading?.isTakenUp === true) return this.#leading;
    if (!this.isLeader) throw this.#notLeader();
    throw new IdunnoError('NOT_READY', 'this node is taking the leadership over', {
      retryAfterMs: 5,
    });
  }

  #notLeader(): IdunnoError {
    const { leader } = this;
    return leader === undefined
      ? new IdunnoError('NO_LEADER', 'no leader is known here', { leader: null })
      : new IdunnoError('NOT_LEADER', `this node does not lead; ${leader} does`, { leader });
  }

  async #answer(outcome: Promise<Outcome>): Promise<{ value: Wire }> {
    return { value: outcomeToWire(await outcome) };
  }

  #waitOf({ signal, deadlineMs }: HandlerContext): { timeoutMs: Ms; signal: AbortSignal } {
    return { signal, timeoutMs: Math.max(1, deadlineMs - this.#parts.clock.now()) };
  }
}

/** Unlike AbortSignal.any it leaves nothing behind on a signal that outlives many calls. */
function eitherOf(a: AbortSignal, b: AbortSignal): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onA = (): void => controller.abort(a.reason);
  const onB = (): void => controller.abort(b.reason);
  a.addEventListener('abort', onA, { once: true });
  b.addEventListener('abort', onB, { once: true });
  if (a.aborted) onA();
  if (b.aborted) onB();
  const release = (): void => {
    a.removeEventListener('abort', onA);
    b.removeEventListener('abort', onB);
  };
  return { signal: controller.signal, release };
}

function refusal(error: IdunnoError): Outcome {
  return { ok: false, error };
}
