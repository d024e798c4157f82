/**
 * Calls between nodes in one process on a virtual clock: the Rpc interface without connections.
 * Links have a latency and can be cut; a node can be shut off, which its peers notice as a refused
 * connection or, when frozen, not at all.
 */
import {
  asIdunnoError,
  type Clock,
  IdunnoError,
  type Ms,
  type NodeId,
  nodeId,
} from '../../src/base/index.js';
import {
  type Address,
  type Answer,
  type CallOptions,
  type CallResult,
  decode,
  encode,
  type Handler,
  type Lane,
  type NoticeHandler,
  type Peer,
  type PeerEvents,
  type Rpc,
  type Wire,
} from '../../src/net/index.js';

const LATENCY_MS: Ms = 0.5;

export class RpcHub {
  readonly clock: Clock;
  readonly nodes = new Map<string, HubRpc>();
  readonly #cut = new Set<string>();
  /** Called for each notice; returning false loses it. */
  filter: (from: string, to: string, args: readonly Wire[], bytes: number, lane?: Lane) => boolean =
    () => true;
  /** How long a notice, a call or an answer takes; different answers reorder them. */
  latency: () => Ms = () => LATENCY_MS;

  /** Called for each call; returning false refuses it. */
  callFilter: (from: string, to: string, method: string) => boolean = () => true;
  /** Called for each answer; returning false loses it: the call was carried out. */
  answerFilter: (from: string, to: string, method: string) => boolean = () => true;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A node joins (again): its peers see it come up. */
  join(name: string, bootEpoch = 1): HubRpc {
    const rpc = new HubRpc(this, { kind: 'node', name, bootEpoch });
    this.nodes.set(name, rpc);
    for (const other of this.nodes.values()) {
      if (other === rpc) continue;
      this.clock.setTimer(LATENCY_MS, () => {
        if (!this.isLinked(name, other.peer.name)) return;
        other.tell('up', rpc.peer);
        rpc.tell('up', other.peer);
      });
    }
    return rpc;
  }

  /** The process ends: connections to it are refused from now on. */
  leave(name: string): void {
    const rpc = this.nodes.get(name);
    if (rpc === undefined) return;
    this.nodes.delete(name);
    rpc.shut('the process ended');
    for (const other of this.nodes.values()) {
      this.clock.setTimer(1, () => {
        if (!this.nodes.has(name)) other.tell('down', rpc.peer);
      });
    }
  }

  cut(a: string, b: string): void {
    this.#cut.add(`${a}-${b}`).add(`${b}-${a}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  isLinked(from: string, to: string): boolean {
    return this.nodes.has(from) && this.nodes.has(to) && !this.#cut.has(`${from}-${to}`);
  }

  carry(from: string, to: string, deliver: (rpc: HubRpc) => void): void {
    this.clock.setTimer(this.latency(), () => {
      const rpc = this.nodes.get(to);
      if (rpc !== undefined && this.isLinked(from, to)) deliver(rpc);
    });
  }
}

export class HubRpc implements Rpc {
  readonly peer: Peer;
  readonly #hub: RpcHub;
  readonly #handlers = new Map<string, Handler>();
  readonly #notices = new Map<string, NoticeHandler>();
  readonly #listeners: Partial<PeerEvents>[] = [];
  /** What ends each call that waits, and whom it waits for. */
  readonly #pending = new Map<(error: IdunnoError) => void, string>();
  readonly calls: string[] = [];
  /** Stopped (SIGSTOP): connections stay open, nothing is answered. */
  isFrozen = false;

  constructor(hub: RpcHub, peer: Peer) {
    this.#hub = hub;
    this.peer = peer;
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  handleNotice(method: string, handler: NoticeHandler): void {
    this.#notices.set(method, handler);
  }

  call(
    to: NodeId | Address,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    const target = String(to);
    const wire = decode(encode(args)) as readonly Wire[];
    this.calls.push(`${target} ${method}`);
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (): void => {
        isOver = true;
        timer.cancel();
        this.#pending.delete(fail);
        options.signal?.removeEventListener('abort', onAbort);
        callee.abort();
      };
      const callee = new AbortController();
      const fail = (error: IdunnoError): void => {
        if (isOver) return;
        end();
        reject(error);
      };
      const onAbort = (): void => fail(new IdunnoError('ABORTED', `${method} was given up`));
      const timer = this.#hub.clock.setTimer(options.timeoutMs, () =>
        fail(new IdunnoError('TIMEOUT', `${method} at ${target} took too long`)),
      );
      this.#pending.set(fail, target);
      options.signal?.addEventListener('abort', onAbort, { once: true });
      if (options.signal?.aborted === true) return onAbort();
      const isCallable = this.#hub.callFilter(this.peer.name, target, method);
      if (!this.#hub.nodes.has(target) || !isCallable) {
        this.#hub.clock.setTimer(LATENCY_MS, () =>
          fail(new IdunnoError('CONNECTION_LOST', `${target} refuses`)),
        );
        return;
      }
      this.#hub.carry(this.peer.name, target, (rpc) => {
        const deadlineMs = this.#hub.clock.now() + options.timeoutMs;
        const context = { peer: this.peer, signal: callee.signal, deadlineMs };
        rpc.serve(method, wire, bodyOf(options.body), context).then(
          (answer) =>
            this.#hub.carry(target, this.peer.name, () => {
              if (isOver || !this.#hub.answerFilter(target, this.peer.name, method)) return;
              end();
              const value = decode(encode(answer.value));
              resolve({ value, body: bodyOf(answer.body) });
            }),
          (error: unknown) =>
            this.#hub.carry(target, this.peer.name, () =>
              fail(IdunnoError.fromWire(asIdunnoError(error).toWire())),
            ),
        );
      });
      const lost = (): void => fail(new IdunnoError('CONNECTION_LOST', `${target} is gone`));
      this.#hub.nodes.get(target)?.onShut(lost);
    });
  }

  async serve(
    method: string,
    args: readonly Wire[],
    body: AsyncIterable<Uint8Array>,
    context: Parameters<Handler>[2],
  ): Promise<Answer> {
    if (this.isFrozen) return new Promise(() => undefined);
    const handler = this.#handlers.get(method);
    if (handler === undefined) throw new IdunnoError('NO_SUCH_METHOD', `no method ${method}`);
    return handler(args, body, context);
  }

  notify(
    to: NodeId,
    method: string,
    args: readonly Wire[],
    body = new Uint8Array(0),
    lane?: Lane,
  ): void {
    if (this.isFrozen || !this.#hub.filter(this.peer.name, to, args, body.length, lane)) return;
    const wire = decode(encode(args)) as readonly Wire[];
    const copy = body.slice();
    this.#hub.carry(this.peer.name, to, (rpc) => {
      if (!rpc.isFrozen) rpc.#notices.get(method)?.(wire, copy, this.peer);
    });
  }

  setAddress(): void {
    // Names are addresses here.
  }

  keepConnected(): void {
    // All nodes of a hub are connected.
  }

  onPeer(events: Partial<PeerEvents>): void {
    this.#listeners.push(events);
  }

  tell(event: 'up' | 'down', peer: Peer, reason: 'closed' | 'refused' = 'refused'): void {
    if (this.isFrozen) return;
    for (const listener of this.#listeners) {
      if (event === 'up') listener.up?.(peer);
      else listener.down?.(peer, reason);
    }
  }

  /** Ends the calls to `target` that wait now, as a connection that carries nothing would. */
  loseCalls(target: string): void {
    for (const [fail, to] of [...this.#pending]) {
      if (to === target) fail(new IdunnoError('CONNECTION_LOST', `${target} is silent`));
    }
  }

  readonly #shutListeners: (() => void)[] = [];

  onShut(listener: () => void): void {
    this.#shutListeners.push(listener);
  }

  shut(why: string): void {
    for (const fail of [...this.#pending.keys()]) fail(new IdunnoError('CONNECTION_LOST', why));
    for (const listener of this.#shutListeners.splice(0)) listener();
    this.#handlers.clear();
    this.#notices.clear();
    this.#listeners.length = 0;
  }

  async close(): Promise<void> {
    this.#hub.leave(this.peer.name);
  }
}

async function* bodyOf(body: CallOptions['body']): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  if (body instanceof Uint8Array) yield body;
  else yield* body;
}

export const N1 = nodeId('n1');
export const N2 = nodeId('n2');
export const N3 = nodeId('n3');
