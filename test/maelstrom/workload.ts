/**
 * What Maelstrom does around the nodes, small enough to live in a test: a router that delays, loses
 * and cuts; clients of the `lin-kv` workload, each bound to one node; and the verdict on what they
 * saw, by the checker of linearizability. It runs on any clock, against anything that takes lines.
 */
import { type Clock, type Ms, must, type Rng } from '../../src/base/index.js';
import type { Interval, Model } from '../../src/sim/linear/model.js';
import { judge, type Verdict } from '../../src/sim/linear/wgl.js';
import { type Body, ERRORS, type Json, parseEnvelope } from './protocol.js';

/** Where lines for a node go. */
export type Port = (line: string) => void;

/** A client gives up after this, as Maelstrom's do; the operation may still take effect. */
const CLIENT_TIMEOUT_MS = 5_000;
const KEYS = 4;

export type KvAction =
  | { readonly kind: 'read'; readonly result: number | undefined }
  | { readonly kind: 'write'; readonly value: number }
  | {
      readonly kind: 'cas';
      readonly from: number;
      readonly to: number;
      readonly outcome: 'ok' | 'mismatch' | 'missing';
    };

const MISSING = -1;

/** One register; `MISSING` until it is written. */
export const KV: Model<number, KvAction> = {
  initial: MISSING,
  step(state, action) {
    switch (action.kind) {
      case 'read':
        return state === (action.result ?? MISSING) ? state : undefined;
      case 'write':
        return action.value;
      case 'cas': {
        const { from, to, outcome } = action;
        if (outcome === 'ok') return state === from ? to : undefined;
        const isMissing = state === MISSING;
        if (outcome === 'missing') return isMissing ? state : undefined;
        return !isMissing && state !== from ? state : undefined;
      }
    }
  },
  keyOf: (state) => state,
  describe: (action) => JSON.stringify(action),
};

export class Router {
  /** Chance that a message between nodes is lost. */
  loss = 0;
  /** Messages between nodes take up to so long. */
  delayMs: Ms = 2;
  carried = 0;
  lost = 0;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #ports = new Map<string, Port>();
  readonly #clients = new Map<string, (body: Body) => void>();
  #isCut: (from: string, to: string) => boolean = () => false;

  constructor(clock: Clock, rng: Rng) {
    this.#clock = clock;
    this.#rng = rng;
  }

  addNode(name: string, port: Port): void {
    this.#ports.set(name, port);
  }

  addClient(name: string, receive: (body: Body) => void): void {
    this.#clients.set(name, receive);
  }

  cut(isCut: (from: string, to: string) => boolean): void {
    this.#isCut = isCut;
  }

  /** A line that a node or a client wrote. Clients reach their node always, and at once. */
  route(line: string): void {
    const message = must(parseEnvelope(line), `a message: ${line}`);
    const { src, dest, body } = message;
    const client = this.#clients.get(dest);
    if (client !== undefined) {
      client(body);
      return;
    }
    const port = must(this.#ports.get(dest), `node ${dest}`);
    if (this.#clients.has(src)) {
      port(line);
      return;
    }
    if (this.#rng.float() < this.loss || this.#isCut(src, dest)) {
      this.lost += 1;
      return;
    }
    this.carried += 1;
    this.#clock.setTimer(this.#rng.float() * this.delayMs, () => port(line));
  }
}

interface Asked {
  readonly key: number;
  readonly body: Body;
  readonly action: KvAction;
}

/** One client: one operation at a time, all at the same node. */
export class Client {
  readonly name: string;
  readonly #node: string;
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #rng: Rng;
  #lastId = 0;
  #waiting: { readonly id: number; readonly settle: (body: Body) => void } | undefined;

  constructor(name: string, node: string, parts: { router: Router; clock: Clock; rng: Rng }) {
    this.name = name;
    this.#node = node;
    this.#router = parts.router;
    this.#clock = parts.clock;
    this.#rng = parts.rng;
    parts.router.addClient(name, (body) => {
      if (this.#waiting !== undefined && body.in_reply_to === this.#waiting.id) {
        this.#waiting.settle(body);
      }
    });
  }

  /** The answer; error 0 where none came in time. */
  ask(body: Body, timeoutMs: Ms = CLIENT_TIMEOUT_MS): Promise<Body> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      const settle = (answer: Body): void => {
        timer.cancel();
        this.#waiting = undefined;
        resolve(answer);
      };
      const timer = this.#clock.setTimer(timeoutMs, () =>
        settle({ type: 'error', code: ERRORS.timeout, text: 'the client gave up' }),
      );
      this.#waiting = { id, settle };
      const message = { src: this.name, dest: this.#node, body: { ...body, msg_id: id } };
      this.#router.route(JSON.stringify(message));
    });
  }

  /** Does one operation and notes what is known of it. */
  async operate(history: History, kind?: 'read', key = this.#rng.int(KEYS)): Promise<boolean> {
    const asked = this.#choose(history, key, kind);
    const callAt = this.#clock.now();
    const answer = await this.ask(asked.body);
    return history.note(this.name, asked, callAt, this.#clock.now(), answer);
  }

  #choose(history: History, key: number, kind?: 'read'): Asked {
    const chance = kind === 'read' ? 0 : this.#rng.float();
    if (chance < 0.4) {
      return { key, body: { type: 'read', key }, action: { kind: 'read', result: undefined } };
    }
    const value = history.newValue();
    if (chance < 0.7) {
      return { key, body: { type: 'write', key, value }, action: { kind: 'write', value } };
    }
    const from = history.lastSeen(key);
    const body = { type: 'cas', key, from, to: value };
    return { key, body, action: { kind: 'cas', from, to: value, outcome: 'ok' } };
  }
}

/** What all clients saw, by key. */
export class History {
  readonly #byKey = new Map<number, Interval<KvAction>[]>();
  readonly #seen = new Map<number, number>();
  #values = 0;
  #operations = 0;
  readonly counts: Record<string, number> = {};

  newValue(): number {
    this.#values += 1;
    return this.#values;
  }

  lastSeen(key: number): number {
    return this.#seen.get(key) ?? 0;
  }

  /** True when the operation was done or answered by the register; false: refused, or unknown. */
  note(client: string, { key, action }: Asked, callAt: Ms, returnAt: Ms, answer: Body): boolean {
    const known = outcomeOf(action, answer);
    const what = known === 'refused' || known === 'unknown' ? known : describe(known);
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    this.#operations += 1;
    const base = { id: this.#operations, client, callAt };
    const history = this.#byKey.get(key) ?? [];
    this.#byKey.set(key, history);
    if (known === 'refused') return false;
    if (known === 'unknown') {
      if (action.kind !== 'read') history.push({ ...base, returnAt: undefined, action });
      return false;
    }
    history.push({ ...base, returnAt, action: known });
    if (known.kind === 'write') this.#seen.set(key, known.value);
    else if (known.kind === 'read') this.#seen.set(key, known.result ?? 0);
    else if (known.outcome === 'ok') this.#seen.set(key, known.to);
    return true;
  }

  /** By key; `linearizable` where some order explains everything. */
  verdicts(): ReadonlyMap<number, Verdict> {
    return new Map(
      [...this.#byKey].map(([key, history]) => [key, judge(history, KV).verdict] as const),
    );
  }
}

function describe(action: KvAction): string {
  return action.kind === 'cas' ? `cas ${action.outcome}` : action.kind;
}

/** What the protocol's answer says about the operation. Throws for one that it may not give. */
function outcomeOf(
  action: KvAction,
  { type, code, value }: Body,
): KvAction | 'refused' | 'unknown' {
  if (type === 'error') return errorOutcome(action, code);
  if (type === 'read_ok' && action.kind === 'read' && typeof value === 'number') {
    return { kind: 'read', result: value };
  }
  if (type === 'write_ok' && action.kind === 'write') return action;
  if (type === 'cas_ok' && action.kind === 'cas') return action;
  throw new Error(`${type} cannot be the answer to ${action.kind}`);
}

function errorOutcome(action: KvAction, code: Json | undefined): KvAction | 'refused' | 'unknown' {
  switch (code) {
    case ERRORS.timeout:
      return 'unknown';
    case ERRORS.temporarilyUnavailable:
      return 'refused';
    case ERRORS.keyDoesNotExist:
      if (action.kind === 'read') return { kind: 'read', result: undefined };
      if (action.kind === 'cas') return { ...action, outcome: 'missing' };
      break;
    case ERRORS.preconditionFailed:
      if (action.kind === 'cas') return { ...action, outcome: 'mismatch' };
      break;
    default:
      break;
  }
  throw new Error(`error ${String(code)} cannot be the answer to ${action.kind}`);
}

/** Ways to part the nodes: nobody, one alone, a minority, one direction only. */
export function randomCut(
  nodes: readonly string[],
  rng: Rng,
): (from: string, to: string) => boolean {
  const shuffled = [...nodes].sort(() => rng.float() - 0.5);
  const minority = new Set(shuffled.slice(0, Math.floor((nodes.length - 1) / 2)));
  const alone = must(shuffled[0], 'a node');
  switch (rng.int(4)) {
    case 0:
      return () => false;
    case 1:
      return (from, to) => from === alone || to === alone;
    case 2:
      return (from, to) => minority.has(from) !== minority.has(to);
    default:
      return (from, to) => from === alone && minority.has(to) !== minority.has(from);
  }
}

export const ALL_KEYS: readonly number[] = Array.from({ length: KEYS }, (_, key) => key);
