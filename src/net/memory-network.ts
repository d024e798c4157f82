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
  type Clock,
  type Connection,
  type DatagramSocket,
  IdunnoError,
  type Listener,
  type Ms,
  type Network,
  type Rng,
} from '../base/index.js';
import { MemoryConnection, MemoryDatagramSocket, type MemoryWorld } from './memory-ends.js';

export interface MemoryNetworkOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** One way, uniform between the two. Default 0.1 to 0.3 ms: a loopback. */
  readonly latencyMs?: readonly [min: Ms, max: Ms];
  /** Part of the datagrams, in [0, 1]. */
  readonly lossRate?: number;
  readonly duplicateRate?: number;
}

const FIRST_FREE_PORT = 40_000;

interface Listening {
  readonly owner: string;
  readonly accept: (connection: Connection) => void;
}

export class MemoryNetwork implements MemoryWorld {
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
    const refuse = (): void => {
      if (this.#listeners.get(key) === listening) this.#listeners.delete(key);
    };
    return {
      port: chosen,
      refuse,
      close: async () => {
        refuse();
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

  #carries(from: string, to: string): boolean {
    const isFrozen = this.#paused.has(from) || this.#paused.has(to);
    return !isFrozen && !this.#cuts.has(`${from}>${to}`);
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
