/**
 * One call to "the cluster": tries its nodes until one answers.
 *
 * The first attempt goes to the node that answered last (or the one the caller prefers). Another
 * node is tried at once when a connection is refused or lost or a node says it cannot serve now,
 * and after 200 ms of silence in parallel, because a frozen node refuses nothing. All attempts of a
 * call carry the same arguments, so a mutating call must carry a session and a number: then it
 * takes effect once, whichever attempts get through. A body is sent to one node at a time: another
 * gets it when the first does not even answer something small (life-watch.ts). Calls that cannot be repeated safely are of
 * kind `once`: they move on only when nothing can have reached a node.
 *
 * Ends in one of three ways: an answer, a refusal (nothing changed), or at the deadline
 * UNAVAILABLE (nothing can have happened) or UNKNOWN_OUTCOME (it may still take effect, once).
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  isIdunnoError,
  type Timer,
} from '../base/index.js';
import type { Address, CallResult, Lane, Rpc, Wire } from '../net/index.js';
import { ANSWER_MS, watchLife } from './life-watch.js';

export interface NodeAddress extends Address {
  /** As in the config file; `host:port` where no file was read. */
  readonly name: string;
}

export interface TransportOptions {
  readonly nodes: readonly NodeAddress[];
  /** Name of the node to try first, always. */
  readonly preferred: string | undefined;
  /** Whole calls, unless they say otherwise. */
  readonly timeoutMs: number;
  /** A node that has said nothing for so long gets company. */
  readonly silenceMs: number;
  /** How long a call goes on while all addresses refuse. */
  readonly nobodyThereMs: number;
}

/**
 * `read` changes nothing. `repeatable` takes effect once however often it is sent (it carries a
 * session and a number, or repeating it is harmless). `once` must not be sent twice.
 */
export type CallKind = 'read' | 'repeatable' | 'once';

export interface TransportCall {
  readonly method: string;
  readonly args: readonly Wire[];
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly lane?: Lane;
  /** Called for each attempt; calls with a body are never sent to two nodes at a time. */
  readonly body?: () => AsyncIterable<Uint8Array> | Uint8Array;
  /** With a body: a method without arguments or effect that a node answers from its memory. */
  readonly probe?: string;
  readonly kind: CallKind;
  /** The call concerns this node alone: nobody else is asked. */
  readonly only?: string;
}

export interface TransportAnswer extends CallResult {
  readonly node: NodeAddress;
}

type Caller = Pick<Rpc, 'call' | 'close'>;

export interface TransportDependencies {
  readonly rpc: Caller;
  readonly clock: Clock;
}

/** The cluster cannot tell any more whether a request took effect: asking again never helps. */
const FINAL_REASONS: ReadonlySet<unknown> = new Set(['session-evicted', 'request-forgotten']);
/** Nodes are tried again after this pause once all have failed; it doubles up to the second. */
const PAUSE_MS_MIN = 10;
const PAUSE_MS_MAX = 250;
/** How long a node that failed stays at the end of the order. */
const SHUN_MS = 1_000;
/** The network layer's own deadline is this much after ours, so that ours is the one that speaks. */
const GRACE_MS = 1_000;

export class ApiTransport {
  readonly nodes: readonly NodeAddress[];
  private readonly options: TransportOptions;
  private readonly rpc: Caller;
  private readonly clock: Clock;
  private readonly shunnedUntil = new Map<string, number>();
  private favourite: string | undefined;

  constructor(options: TransportOptions, dependencies: TransportDependencies) {
    if (options.nodes.length === 0) throw new IdunnoError('USAGE', 'no node to talk to was named');
    this.nodes = options.nodes;
    this.options = options;
    this.rpc = dependencies.rpc;
    this.clock = dependencies.clock;
    this.favourite = options.preferred;
  }

  /** Asks this node first from now on, as the leader is: it spares a hop. */
  prefer(name: string): void {
    if (this.options.preferred === undefined && this.nodes.some((node) => node.name === name)) {
      this.favourite = name;
    }
  }

  call(call: TransportCall): Promise<TransportAnswer> {
    return new Promise((resolve, reject) => {
      const attempts = new CallAttempts(call, {
        order: this.order(call.only),
        timeoutMs: call.timeoutMs ?? this.options.timeoutMs,
        silenceMs: this.options.silenceMs,
        nobodyThereMs: this.options.nobodyThereMs,
        clock: this.clock,
        rpc: this.rpc,
        answered: (answer) => {
          this.shunnedUntil.delete(answer.node.name);
          if (call.only === undefined && this.options.preferred === undefined) {
            this.favourite = answer.node.name;
          }
          resolve(answer);
        },
        failed: reject,
        nodeFailed: (node) => this.shunnedUntil.set(node.name, this.clock.now() + SHUN_MS),
      });
      attempts.start();
    });
  }

  async close(): Promise<void> {
    await this.rpc.close();
  }

  /** Favourite first, the others as listed, those that failed a moment ago last. */
  private order(only: string | undefined): readonly NodeAddress[] {
    if (only !== undefined) {
      const node = this.nodes.find((candidate) => candidate.name === only);
      if (node === undefined) {
        throw new IdunnoError('NODE_NOT_FOUND', `no node "${only}" is in this cluster's file`);
      }
      return [node];
    }
    const now = this.clock.now();
    const rank = (node: NodeAddress): number =>
      ((this.shunnedUntil.get(node.name) ?? 0) > now ? 2 : 0) +
      (node.name === this.favourite ? 0 : 1);
    return [...this.nodes].sort((a, b) => rank(a) - rank(b));
  }
}

interface AttemptsContext {
  readonly order: readonly NodeAddress[];
  readonly timeoutMs: number;
  readonly silenceMs: number;
  /** How long a call goes on while all addresses refuse. */
  readonly nobodyThereMs: number;
  readonly clock: Clock;
  readonly rpc: Caller;
  answered(answer: TransportAnswer): void;
  failed(error: IdunnoError): void;
  nodeFailed(node: NodeAddress): void;
}

/** The attempts of one call. At most one per node is in flight, and one in all with a body. */
class CallAttempts {
  private readonly call: TransportCall;
  private readonly context: AttemptsContext;
  private readonly inFlight = new Map<string, AbortController>();
  private readonly lastErrors = new Map<string, IdunnoError>();
  private readonly deadline: number;
  private next = 0;
  private pauseMs = PAUSE_MS_MIN;
  private isDone = false;
  private isOutcomeUnknown = false;
  private silence: Timer | undefined;
  private pause: Timer | undefined;
  private overall: Timer | undefined;
  private readonly onAbort = (): void => this.fail(abortedError(this.call));

  constructor(call: TransportCall, context: AttemptsContext) {
    this.call = call;
    this.context = context;
    this.deadline = context.clock.now() + context.timeoutMs;
  }

  start(): void {
    if (this.call.signal?.aborted === true) {
      this.fail(abortedError(this.call));
      return;
    }
    this.call.signal?.addEventListener('abort', this.onAbort, { once: true });
    this.overall = this.context.clock.setTimer(this.context.timeoutMs, () => this.expire());
    this.attemptNext();
  }

  /** Tries the next node that has no attempt in flight; false when there is none. */
  private attemptNext(): boolean {
    const { order } = this.context;
    for (let skipped = 0; skipped < order.length; skipped += 1) {
      const node = order[this.next % order.length];
      this.next += 1;
      if (node !== undefined && !this.inFlight.has(node.name)) {
        void this.attempt(node);
        return true;
      }
    }
    return false;
  }

  private async attempt(node: NodeAddress): Promise<void> {
    const abort = new AbortController();
    this.inFlight.set(node.name, abort);
    this.armSilence();
    let silent: IdunnoError | undefined;
    const endWatch = this.watch(node, () => {
      silent = silentError(node);
      abort.abort(silent);
    });
    try {
      const body = this.call.body?.();
      const result = await this.context.rpc.call(
        { host: node.host, port: node.port },
        this.call.method,
        this.call.args,
        {
          timeoutMs: Math.max(1, this.deadline - this.context.clock.now()) + GRACE_MS,
          signal: abort.signal,
          ...(this.call.lane === undefined ? {} : { lane: this.call.lane }),
          ...(body === undefined ? {} : { body }),
        },
      );
      if (this.isDone) return abort.abort();
      this.inFlight.delete(node.name);
      this.finish();
      this.context.answered({ value: result.value, body: this.streamed(result.body, abort), node });
    } catch (error) {
      if (this.isDone) return;
      this.inFlight.delete(node.name);
      this.afterFailure(node, silent ?? asIdunnoError(error));
    } finally {
      endWatch();
    }
  }

  /** Of an attempt with a body that may be made again; returns how to end it. */
  private watch(node: NodeAddress, onSilent: () => void): () => void {
    const { kind, body, probe } = this.call;
    if (kind === 'once' || body === undefined || probe === undefined) return () => undefined;
    const { clock, rpc } = this.context;
    const ask = (timeoutMs: number, signal: AbortSignal) =>
      rpc.call({ host: node.host, port: node.port }, probe, [], { timeoutMs, signal });
    return watchLife({ clock, ask, onSilent });
  }

  /** The caller's signal goes on to govern the body after the call itself is settled. */
  private async *streamed(
    body: AsyncIterable<Uint8Array>,
    abort: AbortController,
  ): AsyncGenerator<Uint8Array> {
    const signal = this.call.signal;
    const stop = (): void => abort.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    try {
      yield* body;
    } finally {
      signal?.removeEventListener('abort', stop);
      abort.abort();
    }
  }

  private afterFailure(node: NodeAddress, error: IdunnoError): void {
    this.lastErrors.set(node.name, error);
    if (error.effect !== 'unchanged' && !neverSent(error)) this.isOutcomeUnknown = true;
    const isFinal = !error.isRetryable || FINAL_REASONS.has(error.data['reason']);
    if (isFinal || (this.call.kind === 'once' && this.isOutcomeUnknown)) {
      this.fail(error);
      return;
    }
    this.context.nodeFailed(node);
    const triedAll = this.lastErrors.size >= this.context.order.length;
    if (!triedAll && this.attemptNext()) return;
    if (triedAll && this.isNobodyThere()) {
      this.expire();
      return;
    }
    this.armPause(error);
  }

  /** Nobody listens on any address, and that has not changed for a while: waiting is no use. */
  private isNobodyThere(): boolean {
    const { clock, timeoutMs, nobodyThereMs, order } = this.context;
    const waitedMs = clock.now() - (this.deadline - timeoutMs);
    if (this.inFlight.size > 0 || waitedMs < nobodyThereMs) return false;
    return order.every(({ name }) => this.lastErrors.get(name)?.data['reason'] === 'refused');
  }

  private armSilence(): void {
    this.silence?.cancel();
    if (this.call.kind === 'once' || this.call.body !== undefined) return;
    this.silence = this.context.clock.setTimer(this.context.silenceMs, () => {
      if (!this.isDone) this.attemptNext();
    });
  }

  /** Every node has failed once: wait a little, then go round again. */
  private armPause(error: IdunnoError): void {
    if (this.pause !== undefined) return;
    const hint = error.data['retryAfterMs'];
    const delay = Math.max(this.pauseMs, typeof hint === 'number' ? Math.min(hint, 1_000) : 0);
    this.pauseMs = Math.min(this.pauseMs * 2, PAUSE_MS_MAX);
    this.pause = this.context.clock.setTimer(delay, () => {
      this.pause = undefined;
      if (!this.isDone) this.attemptNext();
    });
  }

  private expire(): void {
    const tried = [...this.lastErrors].map(([name, error]) => `${name}: ${error.message}`);
    for (const name of this.inFlight.keys()) tried.push(`${name}: no answer yet`);
    const detail = tried.slice(0, 3).join('; ');
    const waitedMs = this.context.clock.now() - (this.deadline - this.context.timeoutMs);
    const seconds = Math.round(waitedMs / 100) / 10;
    const mayHaveHappened =
      this.call.kind !== 'read' && (this.isOutcomeUnknown || this.inFlight.size > 0);
    this.fail(
      new IdunnoError(
        mayHaveHappened ? 'UNKNOWN_OUTCOME' : 'UNAVAILABLE',
        `no node answered ${this.call.method} within ${seconds} s (${detail})`,
      ),
    );
  }

  private fail(error: IdunnoError): void {
    this.finish();
    this.context.failed(error);
  }

  private finish(): void {
    this.isDone = true;
    this.silence?.cancel();
    this.pause?.cancel();
    this.overall?.cancel();
    this.call.signal?.removeEventListener('abort', this.onAbort);
    for (const abort of this.inFlight.values()) abort.abort();
  }
}

function abortedError(call: TransportCall): IdunnoError {
  return new IdunnoError('ABORTED', `${call.method} was interrupted`);
}

function silentError(node: NodeAddress): IdunnoError {
  const text = `${node.name} took the call and then answered nothing at all for ${ANSWER_MS} ms`;
  return new IdunnoError('CONNECTION_LOST', text, { reason: 'silent' });
}

/** A connection that was never made carried nothing. */
function neverSent(error: IdunnoError): boolean {
  return isIdunnoError(error, 'CONNECTION_LOST') && NOT_CONNECTED.has(error.data['reason']);
}

/** Reasons that only the dialling of a connection has. */
const NOT_CONNECTED: ReadonlySet<unknown> = new Set(['refused', 'unreachable', 'timeout']);
