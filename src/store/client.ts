/**
 * The cluster's state from any node (StoreClient): over RPC, or directly where this node can answer
 * itself. Commands go under the node's session, or under the caller's own request number, so a
 * retry through another node or another leader takes effect once.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Ms,
  type NodeId,
  type Rng,
} from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import { type Outcome, outcomeFromWire } from './command.js';
import { LeaderSeeker, type Sought } from './leader-seeker.js';
import { type NumberedRequest, OwnSession } from './own-session.js';
import type { Attempt, SearchOptions } from './search.js';
import { STORE_METHODS, STORE_TIMEOUT_MS, type StoreService } from './service.js';
import type { StoreClient, SubmitOptions } from './types.js';

export interface StoreClientOptions {
  readonly self: NodeId;
  readonly coordinators: readonly NodeId[];
}

export interface StoreClientParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  /** On coordinators: the way without a network. */
  readonly local: StoreService | undefined;
}

type Goal = Pick<SearchOptions, 'what' | 'mayAct'>;

/** A healthy leader answers in a few; beyond it another coordinator is asked as well. */
const SILENCE_MS: Ms = 200;
/** Then others are asked often: one of them may be elected at any moment. */
const SILENCE_AGAIN_MS: Ms = 50;
/** Leader methods may be long polls: whoever is silent is doubted more and more slowly. */
const SILENCE_MS_MAX: Ms = 2_000;
/** Commands and queries may be repeated: after this the same node is asked once more. */
const ASK_AGAIN_MS: Ms = 1_000;
const RENEWALS_MAX = 3;
const NEVER = new AbortController().signal;

export class StoreRpcClient implements StoreClient {
  readonly #options: StoreClientOptions;
  readonly #parts: StoreClientParts;
  readonly #seeker: LeaderSeeker;
  readonly #own: OwnSession;

  constructor(options: StoreClientOptions, parts: StoreClientParts) {
    this.#options = options;
    this.#parts = parts;
    const { clock, rng, local } = parts;
    this.#seeker = new LeaderSeeker({ clock, rng, coordinators: options.coordinators });
    this.#own = new OwnSession(clock, (timeoutMs) => this.openSession({ timeoutMs }));
    local?.onRole(({ leader }) => this.#seeker.learn(leader));
  }

  /** The coordinators have changed. */
  setCoordinators(names: readonly NodeId[]): void {
    this.#seeker.setCoordinators(names);
  }

  async submit(command: string, args: readonly Wire[], options: SubmitOptions = {}): Promise<Wire> {
    const { request } = options;
    if (request !== undefined) {
      const numbered = { ...request, ackedBelow: 0 };
      const here = await this.#submitHere(numbered, command, args);
      return unwrap(here ?? (await this.#send(numbered, command, args, options)).value);
    }
    const endsAtMs = this.#parts.clock.now() + timeoutOf(options);
    for (let renewals = 0; ; renewals += 1) {
      const timeoutMs = Math.max(1, endsAtMs - this.#parts.clock.now());
      const numbered = await this.#own.begin(timeoutMs);
      try {
        const sought = await this.#send(numbered, command, args, { ...options, timeoutMs });
        if (isEvicted(sought.value)) {
          await this.#own.forget(numbered.session);
          // Sent once and refused by that one answer: under a new session it is still once.
          if (sought.isOnlyAttempt && renewals < RENEWALS_MAX) continue;
        }
        return unwrap(sought.value);
      } finally {
        this.#own.settle(numbered);
      }
    }
  }

  async openSession(options: SubmitOptions = {}): Promise<LogIndex> {
    const { rpc, local } = this.#parts;
    const sought = await this.#seek(
      { what: 'opening a session', mayAct: false },
      options,
      (target, timeoutMs, signal) => {
        if (local !== undefined && target === this.#options.self) return local.register();
        return callFor(rpc, target, STORE_METHODS.session, [], { timeoutMs, signal });
      },
    );
    const session = unwrap(sought.value);
    if (typeof session === 'number' && Number.isSafeInteger(session)) return session;
    throw new IdunnoError('PROTOCOL', 'a session without a number');
  }

  async query(query: string, args: readonly Wire[], options: SubmitOptions = {}): Promise<Wire> {
    const { rpc, local, clock } = this.#parts;
    const endsAtMs = clock.now() + timeoutOf(options);
    // Who only follows may be far behind, and then holds a reader up.
    if (local?.isVoter === true) {
      const wait = { timeoutMs: timeoutOf(options), signal: options.signal ?? NEVER };
      const outcome = await local.query(query, args, wait).catch(tryElsewhere);
      if (outcome !== undefined) return unwrap(outcome);
    }
    const timeoutMs = Math.max(1, endsAtMs - clock.now());
    const sought = await this.#seek(
      { what: `query ${query}`, mayAct: false },
      { ...options, timeoutMs },
      (target, attemptMs, signal) => {
        const wait = { timeoutMs: attemptMs, signal };
        if (local !== undefined && target === this.#options.self) {
          return local.query(query, args, wait);
        }
        return callFor(rpc, target, STORE_METHODS.query, [query, args], wait);
      },
    );
    return unwrap(sought.value);
  }

  async callLeader(
    method: string,
    args: readonly Wire[],
    options: SubmitOptions = {},
  ): Promise<Wire> {
    const { rpc, local } = this.#parts;
    const sought = await this.#seeker.seek<Outcome>(
      (target, timeoutMs, signal) => {
        if (local !== undefined && target === this.#options.self) {
          return local.callLocal(method, args, { peer: undefined, signal });
        }
        return callFor(rpc, target, method, args, { timeoutMs, signal });
      },
      {
        what: method,
        mayAct: true,
        timeoutMs: timeoutOf(options),
        signal: options.signal,
        silenceMs: (silences) => Math.min(SILENCE_MS * 2 ** silences, SILENCE_MS_MAX),
        // A method under way is not started twice.
        askAgainMs: Number.POSITIVE_INFINITY,
      },
    );
    return unwrap(sought.value);
  }

  /**
   * Where this node leads it needs no search: that would cost more than the command. Undefined
   * where it does not lead, or lost the leadership meanwhile; then the search sends the same
   * number again, which takes effect once.
   */
  async #submitHere(
    { session, seq, ackedBelow }: NumberedRequest,
    name: string,
    args: readonly Wire[],
  ): Promise<Outcome | undefined> {
    const { local } = this.#parts;
    if (local?.isLeader !== true) return undefined;
    try {
      return await local.submit({ session, seq, ackedBelow, name, args });
    } catch (error) {
      return isIdunnoError(error, 'UNKNOWN_OUTCOME') ? undefined : tryElsewhere(error);
    }
  }

  #send(
    { session, seq, ackedBelow }: NumberedRequest,
    name: string,
    args: readonly Wire[],
    options: SubmitOptions,
  ): Promise<Sought<Outcome>> {
    const { rpc, local } = this.#parts;
    const goal = { what: `command ${name}`, mayAct: true };
    return this.#seek(goal, options, (target, timeoutMs, signal) => {
      if (local !== undefined && target === this.#options.self) {
        if (!local.isLeader) return Promise.reject(notHere(local.leader));
        return local.submit({ session, seq, ackedBelow, name, args });
      }
      const wire = [session, seq, ackedBelow, name, args];
      return callFor(rpc, target, STORE_METHODS.submit, wire, { timeoutMs, signal });
    });
  }

  #seek(goal: Goal, options: SubmitOptions, attempt: Attempt<Outcome>): Promise<Sought<Outcome>> {
    return this.#seeker.seek(attempt, {
      ...goal,
      timeoutMs: timeoutOf(options),
      signal: options.signal,
      silenceMs: (silences) => (silences === 0 ? SILENCE_MS : SILENCE_AGAIN_MS),
      askAgainMs: ASK_AGAIN_MS,
    });
  }
}

/** Codes that speak of the way to an answer, not of the answer. */
const WAY_CODES: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'NOT_READY',
  'UNAVAILABLE',
  'CONNECTION_LOST',
  'TIMEOUT',
  'BUSY',
  'NO_SUCH_METHOD',
]);

/** What is thrown on the way to an answer is tried elsewhere; anything else is final. */
function tryElsewhere(error: unknown): undefined {
  if (!isIdunnoError(error) || !WAY_CODES.has(error.code)) throw error;
  return undefined;
}

async function callFor(
  rpc: Rpc,
  target: NodeId,
  method: string,
  args: readonly Wire[],
  options: { timeoutMs: Ms; signal: AbortSignal },
): Promise<Outcome> {
  const { value } = await rpc.call(target, method, args, options);
  return outcomeFromWire(value);
}

function unwrap(outcome: Outcome): Wire {
  if (outcome.ok) return outcome.value;
  throw asIdunnoError(outcome.error);
}

function isEvicted(outcome: Outcome): boolean {
  return !outcome.ok && outcome.error.data['reason'] === 'session-evicted';
}

function notHere(leader: NodeId | undefined): IdunnoError {
  return leader === undefined
    ? new IdunnoError('NO_LEADER', 'no leader is known here', { leader: null })
    : new IdunnoError('NOT_LEADER', `this node does not lead; ${leader} does`, { leader });
}

function timeoutOf(options: SubmitOptions): Ms {
  return options.timeoutMs ?? STORE_TIMEOUT_MS;
}
