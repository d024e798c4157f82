/**
 * Calls between processes: the implementation of Rpc (types.ts) over any Network. One per process,
 * a node or a client. It finds or makes the connection, and knows nothing of what is said on it.
 *
 * Three lanes per peer (types.ts), so that neither a transfer nor a full log ever delays a
 * heartbeat. A call to this node itself takes the same road through the codec, without a socket.
 * Nothing is sent twice: a retry is the caller's decision, and UNAVAILABLE says that nothing was
 * sent.
 */
import {
  type BootEpoch,
  type Clock,
  type Connection,
  IdunnoError,
  isIdunnoError,
  type Listener,
  type Logger,
  type Ms,
  type Network,
  type NodeId,
  withTimeout,
} from '../base/index.js';
import { Counters, type RpcCounters } from './counters.js';
import { answerGreeting, type Greeted, greet, type Identity } from './handshake.js';
import { CONNECTIONS_MAX, HANDSHAKES_MAX, PROTOCOL_VERSION } from './limits.js';
import { Link, type LinkHost } from './link.js';
import { abortError } from './outgoing-call.js';
import { PeerLinks } from './peer-links.js';
import { SelfCaller } from './self-call.js';
import type {
  Address,
  CallOptions,
  CallResult,
  Handler,
  Lane,
  NoticeHandler,
  Peer,
  PeerEvents,
  Rpc,
  Wire,
} from './types.js';

export interface RpcOptions {
  readonly self: {
    readonly name: string;
    readonly kind: Peer['kind'];
    readonly bootEpoch: BootEpoch;
  };
  /** A client may leave both empty: then it talks to any cluster. */
  readonly cluster: string;
  readonly fingerprint: string;
  readonly protocolVersion?: number;
  readonly network: Network;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An Rpc that can also be called. */
export interface RpcServer extends Rpc {
  /** Takes calls on this port from now on; 0 takes a free one, which is returned. */
  listen(host: string, port: number): Promise<number>;
  readonly counters: RpcCounters;
  /**
   * Takes no connections any more and sends clients elsewhere. Resolves when all that they have
   * asked here is answered, or the time is over.
   */
  drain(timeoutMs: Ms): Promise<void>;
}

/** For what is sent at closing to get out. */
const CLOSE_TIMEOUT_MS = 500;

/**
 * For a connection by address to be made and greeted. A frozen process lets its kernel connect and
 * greets nobody: a caller with much time of its own must learn so early, to turn to another.
 */
const DIAL_TIMEOUT_MS: Ms = 3_000;

const DEFAULT_LANE: Lane = 'control';

export function createRpc(options: RpcOptions): RpcServer {
  return new NetworkRpc(options);
}

class NetworkRpc implements RpcServer, LinkHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters = new Counters();
  readonly #options: RpcOptions;
  readonly #identity: Identity;
  readonly #self: SelfCaller;
  readonly #handlers = new Map<string, Handler>();
  readonly #noticeHandlers = new Map<string, NoticeHandler>();
  readonly #peers = new Map<string, PeerLinks>();
  /** Links made for a bare address, by host, port and lane. */
  readonly #byAddress = new Map<string, Promise<Link>>();
  readonly #links = new Set<Link>();
  /** Connections being made. */
  readonly #dials = new Set<Promise<Link>>();
  readonly #listeners: Listener[] = [];
  readonly #subscribers: Partial<PeerEvents>[] = [];
  #greeting = 0;
  #isDraining = false;
  #isClosed = false;

  constructor(options: RpcOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.logger = options.logger;
    this.#identity = {
      ...options.self,
      cluster: options.cluster,
      fingerprint: options.fingerprint,
      protocolVersion: options.protocolVersion ?? PROTOCOL_VERSION,
    };
    this.#self = new SelfCaller(options.self, this);
  }

  async listen(host: string, port: number): Promise<number> {
    const accept = (connection: Connection) => void this.#accept(connection);
    const listener = await this.#options.network.listen(host, port, accept);
    this.#listeners.push(listener);
    return listener.port;
  }

  handle(method: string, handler: Handler): void {
    this.#handlers.set(method, handler);
  }

  handleNotice(method: string, handler: NoticeHandler): void {
    this.#noticeHandlers.set(method, handler);
  }

  handler(method: string): Handler | undefined {
    return this.#handlers.get(method);
  }

  noticeHandler(method: string): NoticeHandler | undefined {
    return this.#noticeHandlers.get(method);
  }

  call(
    to: NodeId | Address,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    if (this.#isClosed)
      return Promise.reject(new IdunnoError('UNAVAILABLE', 'this node is stopping'));
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(abortError(signal, method));
    const lane = options.lane ?? DEFAULT_LANE;
    if (typeof to !== 'string') return this.#callAddress(to, lane, method, args, options);
    if (to === this.#options.self.name) return this.#self.call(method, args, options);
    const peer = this.#peer(to);
    const link = peer.pick(lane);
    if (link !== undefined) return link.call(method, args, options);
    return this.#callLater(peer, lane, method, args, options);
  }

  notify(
    to: NodeId,
    method: string,
    args: readonly Wire[],
    body?: Uint8Array,
    lane: Lane = DEFAULT_LANE,
  ): void {
    if (to === this.#options.self.name) {
      this.#self.notify(method, args, body);
      return;
    }
    const peer = this.#isClosed ? undefined : this.#peer(to);
    const link = peer?.pick(lane) ?? peer?.pick(DEFAULT_LANE);
    if (link === undefined) this.counters.noticesDropped++;
    else link.notify(method, args, body);
  }

  setAddress(node: NodeId, address: Address): void {
    if (node !== this.#options.self.name) this.#peer(node).setAddress(address);
  }

  keepConnected(nodes: readonly NodeId[]): void {
    const kept = new Set<string>(nodes);
    kept.delete(this.#options.self.name);
    for (const node of nodes) if (kept.has(node)) this.#peer(node).keep(true);
    for (const [name, peer] of this.#peers) if (!kept.has(name)) peer.keep(false);
  }

  onPeer(events: Partial<PeerEvents>): void {
    this.#subscribers.push(events);
  }

  async drain(timeoutMs: Ms): Promise<void> {
    this.#isDraining = true;
    for (const listener of this.#listeners) listener.refuse();
    const clients = [...this.#links].filter(({ peer }) => peer.kind === 'client');
    const ended = clients.map(
      (link) => new Promise<void>((resolve) => link.onClose(() => resolve())),
    );
    for (const link of clients) link.retire();
    await withTimeout(this.clock, Promise.all(ended), timeoutMs, 'draining').catch(() => undefined);
  }

  /** Ends all connections after what waits is sent; every call that is open fails. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const peer of this.#peers.values()) peer.close();
    const ended = [...this.#links].map((link) => this.#endLink(link));
    await Promise.all(ended);
    // What is being dialled closes itself as soon as it is greeted; a dead address is not waited for.
    const dialled = Promise.allSettled(this.#dials);
    await withTimeout(this.clock, dialled, CLOSE_TIMEOUT_MS, 'closing').catch(() => undefined);
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  #endLink(link: Link): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.clock.setTimer(CLOSE_TIMEOUT_MS, () => link.close('closed'));
      link.onClose(() => {
        timer.cancel();
        resolve();
      });
      link.end();
    });
  }

  async #callLater(
    peer: PeerLinks,
    lane: Lane,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    const since = this.clock.now();
    const link = await peer.open(lane, options.timeoutMs, false, options.signal);
    return link.call(method, args, this.#rest(options, since));
  }

  async #callAddress(
    address: Address,
    lane: Lane,
    method: string,
    args: readonly Wire[],
    options: CallOptions,
  ): Promise<CallResult> {
    const since = this.clock.now();
    const link = await this.#patient(this.#linkTo(address, lane), options, method, address);
    return link.call(method, args, this.#rest(options, since));
  }

  /** Several calls may wait for one connection; each has a deadline and a signal of its own. */
  #patient(
    link: Promise<Link>,
    { timeoutMs, signal }: CallOptions,
    method: string,
    { host, port }: Address,
  ): Promise<Link> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimer(timeoutMs, () => {
        const text = `${host}:${port} cannot be reached within ${Math.round(timeoutMs)} ms`;
        reject(new IdunnoError('UNAVAILABLE', text, { reason: 'timeout' }));
      });
      const onAbort = () => reject(abortError(signal, method));
      signal?.addEventListener('abort', onAbort, { once: true });
      void link.then(resolve, reject).finally(() => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      });
    });
  }

  /** The same options with what is left of their time. */
  #rest(options: CallOptions, sinceMs: Ms): CallOptions {
    const left = options.timeoutMs - (this.clock.now() - sinceMs);
    return { ...options, timeoutMs: Math.max(1, left) };
  }

  async #linkTo(address: Address, lane: Lane): Promise<Link> {
    const key = `${address.host}:${address.port}/${lane}`;
    const known = this.#byAddress.get(key) ?? this.#dialAddress(key, address, lane);
    const link = await known;
    if (link.isOpen) return link;
    if (this.#byAddress.get(key) === known) this.#byAddress.delete(key);
    return this.#linkTo(address, lane);
  }

  /** Known from now on, until it fails or closes. */
  #dialAddress(key: string, address: Address, lane: Lane): Promise<Link> {
    const forget = () => {
      if (this.#byAddress.get(key) === dialled) this.#byAddress.delete(key);
    };
    const dialled = this.#dial(address, '', lane, DIAL_TIMEOUT_MS).then(
      (link) => {
        link.onClose(forget);
        return link;
      },
      (error: unknown) => {
        forget();
        if (!isIdunnoError(error, 'CONNECTION_LOST')) throw error;
        throw new IdunnoError('UNAVAILABLE', `${error.message}: is the node running?`, error.data);
      },
    );
    this.#byAddress.set(key, dialled);
    return dialled;
  }

  #dial(address: Address, expects: string, lane: Lane, timeoutMs: Ms): Promise<Link> {
    const dialled = this.#greet(address, expects, lane, timeoutMs).finally(() =>
      this.#dials.delete(dialled),
    );
    this.#dials.add(dialled);
    return dialled;
  }

  async #greet(address: Address, expects: string, lane: Lane, timeoutMs: Ms): Promise<Link> {
    const { network } = this.#options;
    const since = this.clock.now();
    const connection = await network.connect(address.host, address.port, timeoutMs);
    const left = Math.max(1, timeoutMs - (this.clock.now() - since));
    let greeted: Greeted;
    try {
      greeted = await greet(connection, this.#identity, lane, expects, this.clock, left);
    } catch (error) {
      this.#countRefusal(error, connection.remote);
      throw error;
    }
    return this.#open(connection, greeted, true);
  }

  async #accept(connection: Connection): Promise<void> {
    const isTooMany = this.#greeting >= HANDSHAKES_MAX || this.#links.size >= CONNECTIONS_MAX;
    if (this.#isClosed || isTooMany) {
      this.counters.countClosed('too-many');
      connection.destroy('too-many');
      return;
    }
    this.#greeting++;
    try {
      const greeted = await answerGreeting(connection, this.#identity, this.clock);
      const link = this.#open(connection, greeted, false);
      if (link.peer.kind === 'node' && this.#options.self.kind === 'node' && link.isOpen) {
        this.#peer(link.peer.name as NodeId).add(link);
      }
    } catch (error) {
      this.#countRefusal(error, connection.remote);
    } finally {
      this.#greeting--;
    }
  }

  #open(connection: Connection, greeted: Greeted, isDialed: boolean): Link {
    const { peer, lane, parser } = greeted;
    const link = new Link({ connection, parser, peer, lane, isDialed }, this);
    this.#links.add(link);
    this.counters.connected++;
    link.onClose(() => this.#links.delete(link));
    greeted.handOver(link);
    if (this.#isClosed) link.close('closed');
    else if (this.#isDraining && peer.kind === 'client') link.retire();
    return link;
  }

  /** Strangers and misconfigured nodes are told apart from mere losses: only they are logged. */
  #countRefusal(error: unknown, remote: string): void {
    const code = isIdunnoError(error) ? error.code : 'INTERNAL';
    if (code === 'CONNECTION_LOST') return;
    this.counters.countRefused(code);
    this.logger.warn('net.refused', { remote, error });
  }

  #peer(name: NodeId): PeerLinks {
    const known = this.#peers.get(name);
    if (known !== undefined) return known;
    const made = new PeerLinks(name, {
      clock: this.clock,
      self: this.#options.self.name,
      dial: (address, expects, lane, timeoutMs) => this.#dial(address, expects, lane, timeoutMs),
      events: {
        up: (peer) => this.#tell((events) => events.up?.(peer)),
        down: (peer, reason) => this.#tell((events) => events.down?.(peer, reason)),
      },
    });
    this.#peers.set(name, made);
    return made;
  }

  #tell(event: (events: Partial<PeerEvents>) => void): void {
    for (const subscriber of this.#subscribers) {
      try {
        event(subscriber);
      } catch (error) {
        this.logger.error('rpc.peer-event-failed', { error });
      }
    }
  }
}
