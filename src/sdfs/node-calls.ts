/**
 * Calls between data nodes. A call to the node itself goes straight to its own handler: the
 * nearest copy is the one that needs no network.
 */
import { type Clock, IdunnoError, type NodeId, withTimeout } from '../base/index.js';
import type { CallOptions, CallResult, Handler, Rpc, Wire } from '../net/index.js';

export interface NodeCallsParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
}

export class NodeCalls {
  readonly self: NodeId;
  readonly bootEpoch: number;
  readonly #parts: NodeCallsParts;
  readonly #handlers = new Map<string, Handler>();

  constructor(options: { self: NodeId; bootEpoch: number }, parts: NodeCallsParts) {
    this.self = options.self;
    this.bootEpoch = options.bootEpoch;
    this.#parts = parts;
  }

  /** Answers this method, for other nodes and for this one. Clients are refused. */
  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
    this.#parts.rpc.handle(method, (args, body, context) => {
      if (context.peer.kind !== 'node') {
        throw new IdunnoError('BAD_ARGUMENT', `${method} is for nodes of the cluster only`);
      }
      return handler(args, body, context);
    });
  }

  async call(
    node: NodeId,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    if (node !== this.self) return this.#parts.rpc.call(node, method, args, options);
    const handler = this.#handlers.get(method);
    if (handler === undefined) {
      throw new IdunnoError('NO_SUCH_METHOD', `${node} does not answer ${method} yet`);
    }
    const { clock } = this.#parts;
    const abort = new AbortController();
    const signal =
      options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    const context = {
      peer: { kind: 'node' as const, name: this.self, bootEpoch: this.bootEpoch },
      signal,
      deadlineMs: clock.now() + options.timeoutMs,
    };
    const answering = (async () => handler(args, toBody(options.body), context))();
    try {
      const answer = await untilAborted(
        withTimeout(clock, answering, options.timeoutMs, `${method} on this node`),
        options.signal,
      );
      return { value: answer.value, body: toBody(answer.body) };
    } catch (error) {
      // Whoever waited has left: what is still being done for it stops too.
      abort.abort(error);
      throw error;
    }
  }
}

async function* toBody(
  body: AsyncIterable<Uint8Array> | Uint8Array | undefined,
): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  if (body instanceof Uint8Array) {
    if (body.length > 0) yield body;
  } else {
    yield* body;
  }
}

/** The promise's outcome, or the signal's reason as soon as it aborts. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortReason(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** What to throw when a signal has aborted. */
export function abortReason(signal: AbortSignal): IdunnoError {
  if (signal.reason instanceof IdunnoError) return signal.reason;
  return new IdunnoError('ABORTED', 'it was interrupted');
}
