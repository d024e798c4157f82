/**
 * TCP between membership threads: connections to the ring neighbours, kept open so that a probe
 * over them needs no handshake, and short ones for comparing lists. Frames are a length and a
 * packet. The main thread has no part in it.
 *
 * Best effort like UDP: what cannot be sent now is dropped, and the protocol above copes. Bounds:
 * 256 incoming connections (the oldest goes first), 1 MiB per frame, 2 MiB unsent per connection.
 */
import type { Clock, Connection, Listener, Ms, Network, Timer } from '../base/index.js';
import { FRAME_BYTES_MAX } from './config.js';
import type { StreamPeer } from './messages.js';

const PREFIX_BYTES = 4;
const INCOMING_MAX = 256;
const UNSENT_BYTES_MAX = 2 * FRAME_BYTES_MAX;
const DIAL_TIMEOUT_MS: Ms = 1_000;
const REDIAL_MS: Ms = 1_000;
/** A connection that is not kept ends when nothing has moved on it for so long. */
const IDLE_MS: Ms = 5_000;

export interface StreamsDependencies {
  readonly clock: Clock;
  readonly network: Network;
  /** One packet, and the number under which `reply` answers on the same connection. */
  onFrame(bytes: Uint8Array, id: number): void;
}

interface Stream {
  readonly id: number;
  readonly connection: Connection;
  /** Whom this node dialled; undefined for accepted connections. */
  readonly key: string | undefined;
  usedMs: Ms;
}

export class Streams {
  readonly #dependencies: StreamsDependencies;
  /** By id, in order of opening. */
  readonly #streams = new Map<number, Stream>();
  readonly #dialled = new Map<string, Stream>();
  readonly #dialling = new Set<string>();
  #kept = new Map<string, StreamPeer>();
  #listener: Listener | undefined;
  #sweep: Timer | undefined;
  #nextId = 1;
  #isClosed = false;

  constructor(dependencies: StreamsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Listens on a free port and returns it. Throws BAD_CONFIG where the host is not ours. */
  async listen(host: string): Promise<number> {
    const { network } = this.#dependencies;
    this.#listener = await network.listen(host, 0, (connection) => this.#accept(connection));
    this.#armSweep();
    return this.#listener.port;
  }

  /** Keeps connections to exactly these peers open. */
  keep(peers: readonly StreamPeer[]): void {
    this.#kept = new Map(peers.map((peer) => [keyOf(peer), peer]));
    for (const peer of peers) void this.#dial(peer);
  }

  /** Over an open connection to the peer; with `dial`, one is opened where there is none. */
  send(peer: StreamPeer, dial: boolean, bytes: Uint8Array): void {
    const stream = this.#dialled.get(keyOf(peer));
    if (stream !== undefined) {
      this.#write(stream, bytes);
      return;
    }
    if (!dial) return;
    void this.#dial(peer).then((opened) => opened && this.#write(opened, bytes));
  }

  /** Back along the connection that a frame came by, if it is still open. */
  reply(id: number, bytes: Uint8Array): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.#write(stream, bytes);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sweep?.cancel();
    for (const stream of [...this.#streams.values()]) stream.connection.destroy('stopped');
    await this.#listener?.close();
  }

  async #dial(peer: StreamPeer): Promise<Stream | undefined> {
    const key = keyOf(peer);
    if (this.#isClosed || this.#dialled.has(key) || this.#dialling.has(key)) return undefined;
    this.#dialling.add(key);
    try {
      const { network } = this.#dependencies;
      const connection = await network.connect(peer.host, peer.streamPort, DIAL_TIMEOUT_MS);
      if (this.#isClosed) {
        connection.destroy('stopped');
        return undefined;
      }
      return this.#adopt(connection, key);
    } catch {
      // Unreachable: UDP probes say so, too. Kept peers are tried again by the sweep.
      return undefined;
    } finally {
      this.#dialling.delete(key);
    }
  }

  #accept(connection: Connection): void {
    this.#adopt(connection, undefined);
    let incoming = 0;
    for (const stream of this.#streams.values()) if (stream.key === undefined) incoming++;
    if (incoming <= INCOMING_MAX) return;
    for (const stream of this.#streams.values()) {
      if (stream.key !== undefined) continue;
      stream.connection.destroy('too many connections');
      break;
    }
  }

  #adopt(connection: Connection, key: string | undefined): Stream {
    const id = this.#nextId++;
    const stream: Stream = { id, connection, key, usedMs: this.#dependencies.clock.now() };
    this.#streams.set(id, stream);
    if (key !== undefined) this.#dialled.set(key, stream);
    const frames = new FrameBuffer();
    connection.onData((bytes) => {
      stream.usedMs = this.#dependencies.clock.now();
      if (!frames.push(bytes, (frame) => this.#dependencies.onFrame(frame, id))) {
        connection.destroy('a frame is too long');
      }
    });
    connection.onClose(() => {
      this.#streams.delete(id);
      if (key !== undefined && this.#dialled.get(key) === stream) this.#dialled.delete(key);
    });
    return stream;
  }

  #write(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length > FRAME_BYTES_MAX || stream.connection.bufferedBytes > UNSENT_BYTES_MAX)
      return;
    stream.usedMs = this.#dependencies.clock.now();
    const frame = new Uint8Array(PREFIX_BYTES + bytes.length);
    new DataView(frame.buffer).setUint32(0, bytes.length);
    frame.set(bytes, PREFIX_BYTES);
    stream.connection.write(frame);
  }

  /** Once a second: dials kept peers again, ends connections that nobody uses. */
  #armSweep(): void {
    this.#sweep = this.#dependencies.clock.setTimer(REDIAL_MS, () => {
      const now = this.#dependencies.clock.now();
      for (const stream of this.#streams.values()) {
        const isIdle = now - stream.usedMs > IDLE_MS;
        const isOurs = stream.key !== undefined && !this.#kept.has(stream.key);
        if (isOurs && isIdle) stream.connection.end();
      }
      for (const peer of this.#kept.values()) void this.#dial(peer);
      this.#armSweep();
    });
  }
}

function keyOf(peer: StreamPeer): string {
  return `${peer.name}/${peer.epoch}@${peer.host}:${peer.streamPort}`;
}

/** Cuts a byte stream into frames; holds at most one frame and what came with it. */
export class FrameBuffer {
  #bytes: Uint8Array = new Uint8Array(0);

  /** False when the stream announces a frame above the bound: it cannot be trusted any more. */
  push(bytes: Uint8Array, onFrame: (frame: Uint8Array) => void): boolean {
    this.#bytes = this.#bytes.length === 0 ? bytes : concat(this.#bytes, bytes);
    while (this.#bytes.length >= PREFIX_BYTES) {
      const { buffer, byteOffset } = this.#bytes;
      const length = new DataView(buffer, byteOffset, PREFIX_BYTES).getUint32(0);
      if (length > FRAME_BYTES_MAX) return false;
      const end = PREFIX_BYTES + length;
      if (this.#bytes.length < end) return true;
      const frame = this.#bytes.subarray(PREFIX_BYTES, end);
      this.#bytes = this.#bytes.subarray(end);
      onFrame(frame);
    }
    return true;
  }
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
