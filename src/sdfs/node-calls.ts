/** Calls between data nodes. A call to the node itself takes no network: the rpc sees to it. */
import { setMaxListeners } from 'node:events';
import { IdunnoError, type NodeId } from '../base/index.js';
import type { CallOptions, CallResult, Handler, Rpc, Wire } from '../net/index.js';

export class NodeCalls {
  readonly self: NodeId;
  readonly bootEpoch: number;
  readonly #rpc: Rpc;

  constructor(options: { self: NodeId; bootEpoch: number }, parts: { readonly rpc: Rpc }) {
    this.self = options.self;
    this.bootEpoch = options.bootEpoch;
    this.#rpc = parts.rpc;
  }

  /** Answers this method, for other nodes and for this one. Clients are refused. */
  handle(method: string, handler: Handler): void {
    this.#rpc.handle(method, (args, body, context) => {
      if (context.peer.kind !== 'node') {
        throw new IdunnoError('BAD_ARGUMENT', `${method} is for nodes of the cluster only`);
      }
      return handler(args, body, context);
    });
  }

  call(
    node: NodeId,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    return this.#rpc.call(node, method, args, options);
  }
}

/** What to throw when a signal has aborted. */
export function abortReason(signal: AbortSignal): IdunnoError {
  if (signal.reason instanceof IdunnoError) return signal.reason;
  return new IdunnoError('ABORTED', 'it was interrupted');
}

/** Many calls at a time hang on this signal; Node would take that for a leak. */
export function shareSignal(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal);
  return signal;
}
