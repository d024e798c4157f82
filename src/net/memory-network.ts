/**
 * A network in memory, deterministic on a Clock and an Rng: what the simulator and fast tests run
 * on. One MemoryNetwork is the world; each node gets its own view by `node(name)`, so that faults
 * are told by the names of nodes although all of them share one host.
 *
 * Streams keep their order and lose nothing while they live; on a cut link bytes wait, as under
 * TCP, and connecting stays unanswered. Datagrams are delayed, lost, doubled and reordered.
 * What it refuses: two listeners on one port (PORT_TAKEN), connecting where nobody listens.
 */
import {
  assert,
  type Clock,
  type Connection,
  type DatagramSocket,
  IdunnoError,
  type Listener,
  MIB,
  type Ms,
  type Network,
  type Rng,
} from '../base/index.js';

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** One way, uniform between the two. Default 0.1 to 0.3 ms: a loopback. */
  readonly latencyMs?: readonly [min: Ms, max: Ms];
  /** Part of the datagrams, in [0, 1]. */
  readonly lossRate?: number;
  readonly duplicateRate?: number;
}

const WRITE_MARK_BYTES = 1 * MIB;
const FIRST_FREE_PORT = 40_000;

interface Listening {
  readonly owner: string;
  readonly accept: (connection: Connection) => void;
}

export class MemoryNetwork {
  readonly clock: Clock;
  readonly #rng: Rng;
  #latencyMs: readonly [Ms, Ms];
  lossRate: number;
  duplicateRate: number;
  readonly #listeners = new Map<string, Listening>();
  readonly #datagrams = new Map<string, MemoryDatagramSocket>();
  readonly #ends = new Set<MemoryConnection>();
  /** Directed links "a>b" that carry nothing now. */
  readonly #cuts = new Set<string>();
  readonly #paused = new Set<string>();
  /** What waits for a link to carry again. */
  #held: { from: string; to: string; deliver: () => void }[] = [];
  #nextPort = FIRST_FREE_PORT;
  /** Faults that struck, by kind: simulations print them. */
  readonly struck = { lost: 0, duplicated: 0, held: 0, reset: 0 };

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.#rng = options.rng;
    this.#latencyMs = options.latencyMs ?? [0.1, 0.3];
    this.lossRate = options.lossRate ?? 0;
    this.duplicateRate = options.duplicateRate ?? 0;
  }

  /** The network as this node sees it. */
  node(name: string): Network {
    return {
      listen: async (host, port, accept) => this.#listen(name, host, port, accept),
      connect: (host, port, timeoutMs) => this.#connect(name, host, port, timeoutMs),
      openDatagram: async (host, port) => this.#openDatagram(name, host, port),
    };
  }

  setLatency(minMs: Ms, maxMs: Ms): void {
    this.#latencyMs = [minMs, maxMs];
  }

  /** From `a` to `b` nothing passes any more; both ways unless `oneWay`. */
  cut(a: string, b: string, oneWay = false): void {
    this.#cuts.add(`${a}>${b}`);
    if (!oneWay) this.#cuts.add(`${b}>${a}`);
  }

  /** Both ways; without names: everything. What waited is delivered. */
  heal(a?: string, b?: string): void {
    if (a === undefined || b === undefined) this.#cuts.clear();
    else for (const link of [`${a}>${b}`, `${b}>${a}`]) this.#cuts.delete(link);
    this.#releaseHeld();
  }

  /** The node is frozen (SIGSTOP): its connections stay open and carry nothing. */
  pause(name: string): void {
    this.#paused.add(name);
  }

  resume(name: string): void {
    this.#paused.delete(name);
    this.#releaseHeld();
  }

  /** The node's process is gone. With `isSilent` (power lost) its peers hear nothing of it. */
  crash(name: string, isSilent = false): void {
    for (const [key, listening] of [...this.#listeners]) {
      if (listening.owner === name) this.#listeners.delete(key);
    }
    for (const [key, socket] of [...this.#datagrams]) {
      if (socket.owner === name) this.#datagrams.delete(key);
    }
    for (const end of [...this.#ends]) {
      if (end.owner !== name) continue;
      this.struck.reset++;
      this.#ends.delete(end);
      if (!isSilent) this.transmit(end.owner, end.peerName, 0, () => end.peer?.closeNow('reset'));
      end.die();
    }
  }

  /** The connections between the two break; both processes live. */
  reset(a: string, b: string): void {
    for (const end of [...this.#ends]) {
      const isBetween = new Set([end.owner, end.peerName, a, b]).size === 2;
      if (!isBetween) continue;
      this.struck.reset++;
      end.closeNow('reset');
    }
  }

  #listen(owner: string, host: string, port: number, accept: Listening['accept']): Listener {
    const chosen = port === 0 ? this.#freePort(host) : port;
    const key = `${host}:${chosen}`;
    if (this.#listeners.has(key)) throw taken(host, chosen);
    const listening = { owner, accept };
    this.#listeners.set(key, listening);
    return {
      port: chosen,
      close: async () => {
        if (this.#listeners.get(key) !== listening) return;
        this.#listeners.delete(key);
        for (const end of [...this.#ends]) if (end.listener === listening) end.destroy();
      },
    };
  }

  #freePort(host: string): number {
    while (this.#isTaken(`${host}:${this.#nextPort}`)) this.#nextPort++;
    return this.#nextPort++;
  }

  #isTaken(key: string): boolean {
    return this.#listeners.has(key) || this.#datagrams.has(key);
  }

  #connect(owner: string, host: string, port: number, timeoutMs: Ms): Promise<Connection> {
    const key = `${host}:${port}`;
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (reason: string) => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        const text = `cannot connect to ${key}: ${reason}`;
        reject(new IdunnoError('CONNECTION_LOST', text, { host, port, reason }));
      };
      const timer = this.clock.setTimer(timeoutMs, () => end('timeout'));
      // Where nobody listens, the machine answers all the same: links are between nodes' names,
      // so it answers at once.
      const target = this.#listeners.get(key)?.owner ?? owner;
      this.transmit(owner, target, 0, () => {
        const listening = this.#listeners.get(key);
        if (isOver) return;
        if (listening === undefined) {
          this.transmit(target, owner, 0, () => end('refused'));
          return;
        }
        const theirs = new MemoryConnection(this, listening.owner, owner, key, listening);
        const ours = new MemoryConnection(this, owner, listening.owner, key);
        theirs.peer = ours;
        ours.peer = theirs;
        this.#ends.add(theirs).add(ours);
        listening.accept(theirs);
        this.transmit(target, owner, 0, () => {
          if (isOver) {
            ours.destroy();
            return;
          }
          isOver = true;
          timer.cancel();
          resolve(ours);
        });
      });
    });
  }

  forget(end: MemoryConnection): void {
    this.#ends.delete(end);
  }

  /** Calls `deliver` once the link carries it, never before `notBefore`; returns when. */
  transmit(from: string, to: string, notBefore: Ms, deliver: () => void): Ms {
    const [min, max] = this.#latencyMs;
    const now = this.clock.now();
    const at = Math.max(now + min + (max - min) * this.#rng.float(), notBefore);
    this.clock.setTimer(at - now, () => {
      if (this.#carries(from, to)) return deliver();
      this.struck.held++;
      this.#held.push({ from, to, deliver });
    });
    return at;
  }

  /** True where something older waits for the same link: order must be kept. */
  #carries(from: string, to: string): boolean {
    if (this.#cuts.has(`${from}>${to}`) || this.#paused.has(from) || this.#paused.has(to)) {
      return false;
    }
    return true;
  }

  #releaseHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const item of held) {
      if (this.#carries(item.from, item.to)) this.clock.setTimer(0, item.deliver);
      else this.#held.push(item);
    }
  }

  #openDatagram(owner: string, host: string, port: number): DatagramSocket {
    const chosen = port === 0 ? this.#freePort(host) : port;
    const key = `${host}:${chosen}`;
    if (this.#datagrams.has(key)) throw taken(host, chosen);
    const socket = new MemoryDatagramSocket(this, owner, host, chosen);
    this.#datagrams.set(key, socket);
    return socket;
  }

  closeDatagram(socket: MemoryDatagramSocket): void {
    const key = `${socket.host}:${socket.port}`;
    if (this.#datagrams.get(key) === socket) this.#datagrams.delete(key);
  }

  sendDatagram(from: MemoryDatagramSocket, host: string, port: number, bytes: Uint8Array): void {
    const key = `${host}:${port}`;
    const target = this.#datagrams.get(key);
    if (target === undefined || this.#datagrams.get(`${from.host}:${from.port}`) !== from) return;
    if (!this.#carries(from.owner, target.owner) || this.#rng.float() < this.lossRate) {
      this.struck.lost++;
      return;
    }
    const copies = this.#rng.float() < this.duplicateRate ? 2 : 1;
    if (copies === 2) this.struck.duplicated++;
    const copy = bytes.slice();
    const [min, max] = this.#latencyMs;
    for (let i = 0; i < copies; i++) {
      this.clock.setTimer(min + (max - min) * this.#rng.float(), () => {
        // Links are looked at again on arrival: a cut loses what is under way.
        if (!this.#carries(from.owner, target.owner)) this.struck.lost++;
        else this.#datagrams.get(key)?.receive(copy, from.host, from.port);
      });
    }
  }
}

function taken(host: string, port: number): IdunnoError {
  return new IdunnoError('PORT_TAKEN', `port ${port} of ${host} is taken`, { host, port });
}

class MemoryConnection implements Connection {
  readonly owner: string;
  readonly peerName: string;
  readonly remote: string;
  readonly listener: Listening | undefined;
  peer: MemoryConnection | undefined;
  readonly #world: MemoryNetwork;
  #onData: ((bytes: Uint8Array) => void) | undefined;
  #onDrain: (() => void) | undefined;
  #onClose: ((error: string | undefined) => void) | undefined;
  /** Arrived but not taken yet: paused, or nobody listens so far. */
  #inbox: Uint8Array[] = [];
  #isPaused = false;
  #isClosed = false;
  #isEnding = false;
  #isFinished = false;
  #closeReason: string | undefined;
  /** Streams keep their order: nothing arrives before what was sent earlier. */
  #lastArrival: Ms = 0;
  #inFlight = 0;
  #needsDrain = false;
  #sequence = 0;
  #delivered = 0;
  readonly #early = new Map<number, () => void>();

  constructor(
    world: MemoryNetwork,
    owner: string,
    peerName: string,
    remote: string,
    listener?: Listening,
  ) {
    this.#world = world;
    this.owner = owner;
    this.peerName = peerName;
    this.remote = remote;
    this.listener = listener;
  }

  get bufferedBytes(): number {
    return this.#inFlight;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#isEnding) return false;
    const copy = bytes.slice();
    this.#inFlight += copy.length;
    this.#send((peer) => peer.#receive(copy));
    if (this.#inFlight < WRITE_MARK_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  onData(listener: (bytes: Uint8Array) => void): void {
    assert(this.#onData === undefined, 'onData is set once');
    this.#onData = listener;
    this.#pump();
  }

  onDrain(listener: () => void): void {
    this.#onDrain = listener;
  }

  onClose(listener: (error: string | undefined) => void): void {
    this.#onClose = listener;
    if (this.#isClosed) queueMicrotask(() => this.#tellClosed());
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#pump();
  }

  end(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    this.#send((peer) => {
      peer.#finish();
      this.closeNow(undefined);
    });
  }

  destroy(reason?: string): void {
    if (this.#isClosed) return;
    const peer = this.peer;
    this.#world.transmit(this.owner, this.peerName, this.#lastArrival, () =>
      peer?.closeNow('reset'),
    );
    this.closeNow(reason);
  }

  /** The owner is gone: nothing reaches it any more, not even the news. */
  die(): void {
    this.#isClosed = true;
    this.#onData = undefined;
    this.#onClose = undefined;
    this.#onDrain = undefined;
  }

  closeNow(reason: string | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closeReason = reason;
    this.#world.forget(this);
    queueMicrotask(() => this.#tellClosed());
  }

  #tellClosed(): void {
    const listener = this.#onClose;
    this.#onClose = undefined;
    listener?.(this.#closeReason);
  }

  /** Delivered in the order of sending, also when a link was cut in between. */
  #send(action: (peer: MemoryConnection) => void): void {
    const sequence = this.#sequence++;
    this.#lastArrival = this.#world.transmit(this.owner, this.peerName, this.#lastArrival, () => {
      const peer = this.peer;
      if (peer === undefined) return;
      this.#early.set(sequence, () => action(peer));
      for (;;) {
        const next = this.#early.get(this.#delivered);
        if (next === undefined) return;
        this.#early.delete(this.#delivered++);
        next();
      }
    });
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    this.#inbox.push(bytes);
    this.#pump();
  }

  /** The peer said its last: what arrived before is still read. */
  #finish(): void {
    this.#isFinished = true;
    this.#pump();
  }

  #pump(): void {
    while (!this.#isPaused && this.#onData !== undefined && !this.#isClosed) {
      const bytes = this.#inbox.shift();
      if (bytes === undefined) {
        if (this.#isFinished) this.closeNow(undefined);
        return;
      }
      this.peer?.acknowledge(bytes.length);
      this.#onData(bytes);
    }
  }

  /** The peer's reader took so many bytes. */
  acknowledge(bytes: number): void {
    this.#inFlight -= bytes;
    if (!this.#needsDrain || this.#inFlight > 0) return;
    this.#needsDrain = false;
    if (!this.#isClosed) this.#world.clock.setTimer(0, () => this.#onDrain?.());
  }
}

class MemoryDatagramSocket implements DatagramSocket {
  readonly owner: string;
  readonly host: string;
  readonly port: number;
  readonly #world: MemoryNetwork;
  #listener: ((bytes: Uint8Array, host: string, port: number) => void) | undefined;

  constructor(world: MemoryNetwork, owner: string, host: string, port: number) {
    this.#world = world;
    this.owner = owner;
    this.host = host;
    this.port = port;
  }

  send(host: string, port: number, bytes: Uint8Array): void {
    this.#world.sendDatagram(this, host, port, bytes);
  }

  onPacket(listener: (bytes: Uint8Array, host: string, port: number) => void): void {
    this.#listener = listener;
  }

  receive(bytes: Uint8Array, host: string, port: number): void {
    this.#listener?.(bytes, host, port);
  }

  async close(): Promise<void> {
    this.#world.closeDatagram(this);
  }
}
