/**
 * Calls and notices between nodes, as Maelstrom messages of the type `idunno`. There are no
 * connections: no peer is ever known to be up or down, and what is lost ends by its deadline.
 *
 *   {type: "idunno", kind: "notice", method, args, data?}
 *   {type: "idunno", kind: "call", id, method, args, data?, timeoutMs}
 *   {type: "idunno", kind: "answer", id, value, data?}      {…, kind: "refusal", id, error}
 *
 * `data` is the raw body, base64; it goes in one message, so snapshots have to be small.
 */
import { asIdunnoError, type Clock, IdunnoError, type NodeId } from '../../src/base/index.js';
import type {
  Address,
  Answer,
  CallOptions,
  CallResult,
  Handler,
  NoticeHandler,
  Peer,
  Rpc,
  Wire,
} from '../../src/net/index.js';
import { type Body, type Json, isObject } from './protocol.js';

type Settle = (answer: CallResult | IdunnoError) => void;

export const IDUNNO = 'idunno';

export class MaelstromRpc implements Rpc {
  readonly #clock: Clock;
  readonly #send: (dest: string, body: Body) => void;
  readonly #handlers = new Map<string, Handler>();
  readonly #notices = new Map<string, NoticeHandler>();
  readonly #waiting = new Map<number, Settle>();
  #lastId = 0;

  constructor(clock: Clock, send: (dest: string, body: Body) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  handleNotice(method: string, handler: NoticeHandler): void {
    this.#notices.set(method, handler);
  }

  notify(to: NodeId, method: string, args: readonly Wire[], body?: Uint8Array): void {
    this.#send(to, { type: IDUNNO, kind: 'notice', method, args: json(args), ...dataOf(body) });
  }

  async call(
    to: NodeId | Address,
    method: string,
    args: readonly Wire[],
    { timeoutMs, signal, body }: CallOptions,
  ): Promise<CallResult> {
    if (typeof to !== 'string') throw new IdunnoError('PROTOCOL', 'nodes have names here');
    const data = dataOf(await collect(body));
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const end = (answer: CallResult | IdunnoError): void => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(id);
        if (answer instanceof IdunnoError) reject(answer);
        else resolve(answer);
      };
      const onAbort = (): void => end(new IdunnoError('ABORTED', `${method} was given up`));
      const timer = this.#clock.setTimer(timeoutMs, () =>
        end(new IdunnoError('TIMEOUT', `${to} did not answer ${method} in ${timeoutMs} ms`)),
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(id, end);
      const fields = { id, method, args: json(args), timeoutMs, ...data };
      this.#send(to, { type: IDUNNO, kind: 'call', ...fields });
    });
  }

  /** A message of another node. What is not one of ours is dropped. */
  receive(from: string, body: Body): void {
    const peer: Peer = { kind: 'node', name: from, bootEpoch: 1 };
    const { kind, id, method, args, value, error } = body;
    const data = bytesOf(body['data']);
    if (kind === 'notice' && typeof method === 'string' && Array.isArray(args)) {
      this.#notices.get(method)?.(args as readonly Wire[], data, peer);
    } else if (kind === 'call' && typeof id === 'number' && typeof method === 'string') {
      this.#serve(peer, id, method, args as readonly Wire[], data, Number(body['timeoutMs']));
    } else if (kind === 'answer' && typeof id === 'number') {
      this.#waiting.get(id)?.({ value: value as Wire, body: streamOf(data) });
    } else if (kind === 'refusal' && typeof id === 'number') {
      this.#waiting.get(id)?.(IdunnoError.fromWire(error));
    }
  }

  #serve(
    peer: Peer,
    id: number,
    method: string,
    args: readonly Wire[],
    data: Uint8Array,
    timeoutMs: number,
  ): void {
    const abort = new AbortController();
    const timer = this.#clock.setTimer(timeoutMs, () => abort.abort());
    const context = { peer, signal: abort.signal, deadlineMs: this.#clock.now() + timeoutMs };
    this.#run(method, args, data, context)
      .then(
        async ({ value, body }) => {
          const answer = { id, value: json(value), ...dataOf(await collect(body)) };
          this.#send(peer.name, { type: IDUNNO, kind: 'answer', ...answer });
        },
        (error: unknown) => {
          const wire = json(asIdunnoError(error).toWire());
          this.#send(peer.name, { type: IDUNNO, kind: 'refusal', id, error: wire });
        },
      )
      .finally(() => timer.cancel());
  }

  async #run(
    method: string,
    args: readonly Wire[],
    data: Uint8Array,
    context: Parameters<Handler>[2],
  ): Promise<Answer> {
    const handler = this.#handlers.get(method);
    if (handler === undefined) throw new IdunnoError('NO_SUCH_METHOD', `no method ${method}`);
    return handler(args, streamOf(data), context);
  }

  setAddress(): void {
    // Maelstrom delivers by name.
  }

  keepConnected(): void {
    // Nor are there connections.
  }

  onPeer(): void {
    // So none is ever lost.
  }

  async close(): Promise<void> {
    for (const settle of [...this.#waiting.values()]) {
      settle(new IdunnoError('ABORTED', 'this node stops'));
    }
  }
}

/** Headers hold no bytes; what did would not survive JSON. */
function json(value: unknown): Json {
  if (value instanceof Uint8Array) throw new IdunnoError('PROTOCOL', 'bytes in a header');
  if (Array.isArray(value)) return value.map(json);
  if (isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, json(item)]));
  }
  return value as Json;
}

function dataOf(bytes: Uint8Array | undefined): { data?: string } {
  if (bytes === undefined || bytes.length === 0) return {};
  return { data: Buffer.from(bytes).toString('base64') };
}

function bytesOf(data: Json | undefined): Uint8Array {
  return typeof data === 'string' ? new Uint8Array(Buffer.from(data, 'base64')) : new Uint8Array(0);
}

async function collect(body: CallOptions['body']): Promise<Uint8Array> {
  if (body === undefined) return new Uint8Array(0);
  if (body instanceof Uint8Array) return body;
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
