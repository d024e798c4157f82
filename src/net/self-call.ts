/**
 * Calls of a node to itself. They pass the codec like any other, so what works here works between
 * two nodes: no shared objects, no undefined, and the same deadlines and errors.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Logger,
  type Ms,
  type Timer,
} from '../base/index.js';
import { EMPTY_BODY, wholeBody } from './body.js';
import { decode, encode } from './codec.js';
import { abortError } from './outgoing-call.js';
import type {
  Answer,
  CallOptions,
  CallResult,
  Handler,
  HandlerContext,
  NoticeHandler,
  Peer,
  Wire,
} from './types.js';

const NO_BYTES = new Uint8Array(0);

export interface SelfHost {
  readonly clock: Clock;
  readonly logger: Logger;
  handler(method: string): Handler | undefined;
  noticeHandler(method: string): NoticeHandler | undefined;
}

export class SelfCaller {
  readonly #peer: Peer;
  readonly #host: SelfHost;

  constructor(peer: Peer, host: SelfHost) {
    this.#peer = peer;
    this.#host = host;
  }

  async call(method: string, args: readonly Wire[], options: CallOptions): Promise<CallResult> {
    const handler = this.#host.handler(method);
    if (handler === undefined) {
      throw new IdunnoError('NO_SUCH_METHOD', `${method} is unknown here`, { method });
    }
    const copied = decode(encode(args)) as readonly Wire[];
    const context = new SelfContext(this.#peer, this.#host.clock, method, options);
    try {
      const body = bodyOf(options.body);
      const answer = await Promise.race([
        this.#run(handler, method, copied, body, context),
        context.over,
      ]);
      return { value: decode(encode(answer.value)), body: bodyOf(answer.body) };
    } finally {
      context.end();
    }
  }

  notify(method: string, args: readonly Wire[], body: Uint8Array = NO_BYTES): void {
    const copied = decode(encode(args)) as readonly Wire[];
    queueMicrotask(() => {
      try {
        this.#host.noticeHandler(method)?.(copied, body, this.#peer);
      } catch (error) {
        this.#host.logger.error('rpc.notice-failed', { method, peer: this.#peer.name, error });
      }
    });
  }

  async #run(
    handler: Handler,
    method: string,
    args: readonly Wire[],
    body: AsyncIterable<Uint8Array>,
    context: HandlerContext,
  ): Promise<Answer> {
    try {
      return await handler(args, body, context);
    } catch (error) {
      const typed = asIdunnoError(error);
      if (typed.code === 'INTERNAL') {
        const fields = { method, peer: this.#peer.name, error: typed.cause ?? typed };
        this.#host.logger.error('rpc.handler-failed', fields);
      }
      throw typed;
    }
  }
}

/** Deadline and cancellation of one call; `over` only ever rejects. */
class SelfContext implements HandlerContext {
  readonly peer: Peer;
  readonly signal: AbortSignal;
  readonly deadlineMs: Ms;
  readonly over: Promise<never>;
  readonly #timer: Timer;
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort: () => void;

  constructor(peer: Peer, clock: Clock, method: string, options: CallOptions) {
    const controller = new AbortController();
    this.peer = peer;
    this.signal = controller.signal;
    this.deadlineMs = clock.now() + options.timeoutMs;
    this.#outer = options.signal;
    let reject: (error: IdunnoError) => void = () => undefined;
    this.over = new Promise((_, fail) => {
      reject = fail;
    });
    // The race may be over before: then nobody looks at it.
    this.over.catch(() => undefined);
    const stop = (error: IdunnoError) => {
      controller.abort(error);
      reject(error);
    };
    this.#onAbort = () => stop(abortError(options.signal, method));
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#timer = clock.setTimer(options.timeoutMs, () => {
      const text = `${method} did not end within ${Math.round(options.timeoutMs)} ms`;
      stop(new IdunnoError('TIMEOUT', text, { peer: peer.name }));
    });
  }

  end(): void {
    this.#timer.cancel();
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}

function bodyOf(
  body: AsyncIterable<Uint8Array> | Uint8Array | undefined,
): AsyncIterable<Uint8Array> {
  if (body === undefined) return EMPTY_BODY;
  return body instanceof Uint8Array ? wholeBody(body) : body;
}
