/**
 * The ends of what the network in memory carries: streams and datagram sockets. They keep order
 * and buffers; when and whether something arrives is the world's decision (memory-network.ts).
 */
import {
  assert,
  type Clock,
  type Connection,
  type DatagramSocket,
  MIB,
  type Ms,
} from '../base/index.js';

/** Above it `write` asks for patience, as real-network.ts does. */
const WRITE_MARK_BYTES = 1 * MIB;

/** What the ends need of the network they are in. */
export interface MemoryWorld {
  readonly clock: Clock;
  /** Calls `deliver` once the link carries it, never before `notBefore`; returns when. */
  transmit(from: string, to: string, notBefore: Ms, deliver: () => void): Ms;
  /** The connection has ended. */
  forget(end: MemoryConnection): void;
  sendDatagram(from: MemoryDatagramSocket, host: string, port: number, bytes: Uint8Array): void;
  closeDatagram(socket: MemoryDatagramSocket): void;
}

export class MemoryConnection implements Connection {
  readonly owner: string;
  readonly peerName: string;
  readonly remote: string;
  /** The listener that accepted it, which ends it when it closes. */
  readonly listener: object | undefined;
  peer: MemoryConnection | undefined;
  readonly #world: MemoryWorld;
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
    world: MemoryWorld,
    owner: string,
    peerName: string,
    remote: string,
    listener?: object,
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

export class MemoryDatagramSocket implements DatagramSocket {
  readonly owner: string;
  readonly host: string;
  readonly port: number;
  readonly #world: MemoryWorld;
  #listener: ((bytes: Uint8Array, host: string, port: number) => void) | undefined;

  constructor(world: MemoryWorld, owner: string, host: string, port: number) {
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
