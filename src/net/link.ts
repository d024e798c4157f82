/**
 * One connection after the handshake: calls and notices in both directions, at the same time.
 * Either side numbers its own calls. Whatever breaks the protocol closes the link with a counted
 * reason, and everything that waits on it fails with CONNECTION_LOST; the node goes on.
 */
import {
  assertNever,
  type Clock,
  type Connection,
  IdunnoError,
  isIdunnoError,
  type Logger,
  type Timer,
} from '../base/index.js';
import type { Counters } from './counters.js';
import { Deadlines } from './deadlines.js';
import { encodeFrame, FRAME_KIND, type Frame, type FrameKind, type FrameParser } from './frame.js';
import { IncomingCall, type IncomingHost } from './incoming-call.js';
import {
  INCOMING_CALLS_MAX,
  INCOMING_STREAMS_MAX,
  INITIAL_WINDOW_BYTES,
  OUTGOING_CALLS_MAX,
  PROBE_GRACE_MS,
  PROBE_TIMEOUT_MS,
  RETRY_AFTER_MS,
  UNSENT_BYTES_BUSY,
  UNSENT_BYTES_MAX,
  WINDOW_BUDGET_BYTES,
  WINDOW_BYTES_MAX,
} from './limits.js';
import { BODY_MODE, OutgoingCall, type OutgoingHost } from './outgoing-call.js';
import { Outbox } from './outbox.js';
import type { CallOptions, CallResult, Handler, Lane, NoticeHandler, Peer, Wire } from './types.js';

/** What a link needs of the process it lives in. */
export interface LinkHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters: Counters;
  handler(method: string): Handler | undefined;
  noticeHandler(method: string): NoticeHandler | undefined;
}

export interface LinkOptions {
  readonly connection: Connection;
  /** What the handshake left unread is in it. */
  readonly parser: FrameParser;
  readonly peer: Peer;
  readonly lane: Lane;
  /** Did we dial? Decides which of two simultaneous connections stays. */
  readonly isDialed: boolean;
}

const NO_BYTES = new Uint8Array(0);

export class Link {
  readonly peer: Peer;
  readonly lane: Lane;
  readonly isDialed: boolean;
  readonly #host: LinkHost;
  readonly #connection: Connection;
  readonly #parser: FrameParser;
  readonly #outbox: Outbox;
  readonly #deadlines: Deadlines;
  readonly #outgoing = new Map<number, OutgoingCall>();
  readonly #incoming = new Map<number, IncomingCall>();
  readonly #callHost: OutgoingHost & IncomingHost;
  #nextId = 0;
  #probe: Timer | undefined;
  /** Bodies being received, and the sum of their windows. */
  #streams = 0;
  #windowsBytes = 0;
  #isOpen = true;
  #isRetiring = false;
  #mayEnd = false;
  #framesReceived = 0;
  #closeListeners: ((reason: string) => void)[] = [];
  #closeReason: string | undefined;

  constructor(options: LinkOptions, host: LinkHost) {
    this.#host = host;
    this.peer = options.peer;
    this.lane = options.lane;
    this.isDialed = options.isDialed;
    this.#connection = options.connection;
    this.#parser = options.parser;
    this.#outbox = new Outbox(options.connection, host.clock, () => this.close('slow-reader'));
    this.#deadlines = new Deadlines(host.clock);
    this.#callHost = {
      peer: options.peer,
      peerName: options.peer.name,
      logger: host.logger,
      now: () => host.clock.now(),
      send: (kind, header, body) => this.#send(kind, header, body),
      writable: () => this.#outbox.writable(),
      room: () => (this.#isCongested ? this.#outbox.drained() : undefined),
      takeWindow: () => this.#takeWindow(),
      forget: (call) => this.#forget(call),
      doubt: () => this.doubt(),
    };
  }

  /** What the connection brings. */
  onData(bytes: Uint8Array): void {
    if (!this.#isOpen) return;
    this.#host.counters.bytesReceived += bytes.length;
    try {
      for (const frame of this.#parser.push(bytes)) {
        this.#framesReceived++;
        this.#onFrame(frame);
        if (!this.#isOpen) return;
      }
    } catch (error) {
      const reason = isIdunnoError(error, 'PROTOCOL') ? error.data['reason'] : 'internal';
      const fields = { peer: this.peer.name, remote: this.#connection.remote, error };
      this.#host.logger.warn('net.bad-frame', fields);
      this.close(String(reason ?? 'protocol'));
    }
  }

  /** Does it take calls? */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isRetiring;
  }

  /** Called once, when the link is of no use any more. */
  onClose(listener: (reason: string) => void): void {
    this.#closeListeners.push(listener);
  }

  call(method: string, args: readonly Wire[], options: CallOptions): Promise<CallResult> {
    if (!this.#isOpen) return Promise.reject(this.#lostError());
    if (this.#outgoing.size >= OUTGOING_CALLS_MAX || this.#isCongested) {
      this.#host.counters.callsBusy++;
      const text = `too much waits to be sent to ${this.peer.name}`;
      const data = { peer: this.peer.name, retryAfterMs: RETRY_AFTER_MS };
      return Promise.reject(new IdunnoError('BUSY', text, data));
    }
    const call = new OutgoingCall(this.#callHost, this.#takeId(), method, options);
    try {
      call.start(args);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#host.counters.callsSent++;
    this.#outgoing.set(call.id, call);
    this.#deadlines.add(call);
    return call.result;
  }

  /** Dropped when the link is full. */
  notify(method: string, args: readonly Wire[], body: Uint8Array = NO_BYTES): void {
    if (!this.#isOpen || this.#isCongested) {
      this.#host.counters.noticesDropped++;
      return;
    }
    this.#host.counters.noticesSent++;
    this.#send(FRAME_KIND.notice, [method, args], body);
  }

  /**
   * Takes no new work. The peer is told, and ends the link when all calls on it are answered: if
   * we ended it, calls that are on their way to us would be lost.
   */
  retire(): void {
    this.#isRetiring = true;
    this.#send(FRAME_KIND.retire, []);
  }

  /** A sign that the peer may be gone: it must show life, or the link is closed. */
  doubt(): void {
    if (this.#probe !== undefined || !this.#isOpen) return;
    const seen = this.#framesReceived;
    this.#send(FRAME_KIND.ping, [0]);
    const isSilent = () => this.#framesReceived === seen;
    this.#probe = this.#host.clock.setTimer(PROBE_TIMEOUT_MS, () => {
      // A process that slept finds its timers due before it has read what came meanwhile.
      this.#probe = this.#host.clock.setTimer(PROBE_GRACE_MS, () => {
        this.#probe = undefined;
        if (isSilent()) this.close('silent');
      });
    });
  }

  /** Drops the connection at once. */
  close(reason: string): void {
    this.#connection.destroy(reason);
    this.onConnectionClosed(reason);
  }

  /** Sends what waits, then ends. */
  end(): void {
    this.#outbox.flush();
    this.#connection.end();
  }

  onConnectionClosed(reason: string): void {
    if (this.#closeReason !== undefined) return;
    this.#closeReason = reason;
    this.#isOpen = false;
    this.#host.counters.countClosed(reason);
    this.#probe?.cancel();
    this.#deadlines.stop();
    this.#outbox.stop();
    const gone = new IdunnoError('ABORTED', `the connection of ${this.peer.name} is gone`);
    for (const call of [...this.#incoming.values()]) call.abort(gone);
    for (const call of [...this.#outgoing.values()]) call.fail(this.#lostError());
    const listeners = this.#closeListeners;
    this.#closeListeners = [];
    for (const listener of listeners) listener(reason);
  }

  #onFrame(frame: Frame): void {
    const { kind, header, body } = frame;
    const [id, second, third] = header;
    switch (kind) {
      case FRAME_KIND.call:
        this.#onCall(header, body);
        break;
      case FRAME_KIND.notice:
        this.#onNotice(header, body);
        break;
      case FRAME_KIND.answer:
        this.#outgoing.get(idOf(id))?.onAnswer(second ?? null, third, body);
        break;
      case FRAME_KIND.error:
        this.#outgoing.get(idOf(id))?.fail(IdunnoError.fromWire(second));
        break;
      case FRAME_KIND.requestChunk:
        this.#onChunk(this.#incoming.get(idOf(id)), body, second === 1);
        break;
      case FRAME_KIND.replyChunk:
        this.#onChunk(this.#outgoing.get(idOf(id)), body, second === 1);
        break;
      case FRAME_KIND.requestCredit:
        this.#outgoing.get(idOf(id))?.onCredit(creditOf(second));
        break;
      case FRAME_KIND.replyCredit:
        this.#incoming.get(idOf(id))?.onCredit(creditOf(second));
        break;
      case FRAME_KIND.cancel:
        this.#onCancel(idOf(id));
        break;
      case FRAME_KIND.ping:
        this.#send(FRAME_KIND.pong, header);
        break;
      case FRAME_KIND.pong:
        break;
      case FRAME_KIND.refuse:
        this.#onRefusal(IdunnoError.fromWire(id));
        break;
      case FRAME_KIND.retire:
        this.#isRetiring = true;
        this.#mayEnd = true;
        this.#maybeEnd();
        break;
      case FRAME_KIND.hello:
        throw protocolError('a second greeting');
      default:
        assertNever(kind, 'kind of frame');
    }
  }

  #onCancel(id: number): void {
    const error = new IdunnoError('ABORTED', `${this.peer.name} cancelled the call`);
    this.#incoming.get(id)?.abort(error);
  }

  /** The peer found only after our greeting that it does not want us. */
  #onRefusal(error: IdunnoError): void {
    this.#host.counters.countRefused(error.code);
    this.#host.logger.warn('net.refused-by-peer', { peer: this.peer.name, error });
    this.close('refused');
  }

  #onCall(header: readonly Wire[], body: Uint8Array): void {
    const [rawId, method, args, timeoutMs, mode] = header;
    const id = idOf(rawId);
    const isWellFormed =
      typeof method === 'string' && Array.isArray(args) && typeof timeoutMs === 'number';
    if (!isWellFormed || id === 0 || !(timeoutMs >= 0) || this.#incoming.has(id)) {
      throw protocolError('a call without method, arguments or timeout');
    }
    const handler = this.#host.handler(method);
    if (handler === undefined) {
      const text = `${method} is unknown here: the nodes run different versions`;
      this.#refuseCall(id, new IdunnoError('NO_SUCH_METHOD', text, { method }));
      return;
    }
    if (this.#incoming.size >= INCOMING_CALLS_MAX || this.#hasTooManyStreams(mode)) {
      this.#host.counters.callsBusy++;
      const text = `${this.peer.name} has too many calls open here`;
      this.#refuseCall(id, new IdunnoError('BUSY', text, { retryAfterMs: RETRY_AFTER_MS }));
      return;
    }
    this.#host.counters.callsHandled++;
    const call = new IncomingCall(this.#callHost, id, method, timeoutMs);
    this.#incoming.set(id, call);
    this.#deadlines.add(call);
    call.start(handler, args, mode, body);
  }

  #refuseCall(id: number, error: IdunnoError): void {
    this.#send(FRAME_KIND.error, [id, error.toWire()]);
  }

  #hasTooManyStreams(mode: Wire | undefined): boolean {
    return mode === BODY_MODE.streamed && this.#streams >= INCOMING_STREAMS_MAX;
  }

  #onNotice(header: readonly Wire[], body: Uint8Array): void {
    const [method, args] = header;
    if (typeof method !== 'string' || !Array.isArray(args)) {
      throw protocolError('a notice without method or arguments');
    }
    try {
      this.#host.noticeHandler(method)?.(args, body, this.peer);
    } catch (error) {
      this.#host.logger.error('rpc.notice-failed', { method, peer: this.peer.name, error });
    }
  }

  #onChunk(
    call: IncomingCall | OutgoingCall | undefined,
    bytes: Uint8Array,
    isLast: boolean,
  ): void {
    // A call that is over here may still have chunks on their way.
    if (call?.onChunk(bytes, isLast) === false) throw protocolError('more than it was allowed');
  }

  #send(kind: FrameKind, header: readonly (Wire | undefined)[], body: Uint8Array = NO_BYTES): void {
    if (!this.#isOpen) return;
    const [head, rest] = encodeFrame(kind, header, body);
    this.#host.counters.bytesSent += head.length + rest.length;
    this.#outbox.push(head, rest);
    if (this.#outbox.unsentBytes > UNSENT_BYTES_MAX) this.close('slow-reader');
  }

  get #isCongested(): boolean {
    return this.#outbox.unsentBytes > UNSENT_BYTES_BUSY;
  }

  #lostError(): IdunnoError {
    const peer = this.peer.name;
    const text = `the connection to ${peer} was lost (${this.#closeReason ?? 'closed'})`;
    return new IdunnoError('CONNECTION_LOST', text, { peer });
  }

  /** Numbers come round after 2^32 calls; one that is still open is left out. */
  #takeId(): number {
    do this.#nextId = this.#nextId >= 0xffff_ffff ? 1 : this.#nextId + 1;
    while (this.#outgoing.has(this.#nextId));
    return this.#nextId;
  }

  #forget(call: OutgoingCall | IncomingCall): void {
    this.#deadlines.delete(call);
    if (call.windowBytes > 0) {
      this.#windowsBytes -= call.windowBytes;
      this.#streams--;
    }
    if (call instanceof OutgoingCall) this.#outgoing.delete(call.id);
    else this.#incoming.delete(call.id);
    this.#maybeEnd();
  }

  #maybeEnd(): void {
    if (!this.#mayEnd || !this.#isOpen) return;
    if (this.#outgoing.size === 0 && this.#incoming.size === 0) this.end();
  }

  /**
   * A quarter of what is left: the first streams get the whole window, and many share the rest. In
   * all never more than the budget and an initial window each.
   */
  #takeWindow(): number {
    const left = Math.max(0, WINDOW_BUDGET_BYTES - this.#windowsBytes);
    const part = Math.min(WINDOW_BYTES_MAX, Math.floor(left / 4));
    const windowBytes = Math.max(INITIAL_WINDOW_BYTES, part);
    this.#windowsBytes += windowBytes;
    this.#streams++;
    return windowBytes;
  }
}

function protocolError(what: string): IdunnoError {
  return new IdunnoError('PROTOCOL', `the peer sent ${what}`, { reason: 'rules' });
}

/** The number of a call; 0, which is never given, for anything that is not one. */
function idOf(value: Wire | undefined): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function creditOf(value: Wire | undefined): number {
  if (typeof value === 'number' && value > 0 && value <= WINDOW_BUDGET_BYTES) return value;
  throw protocolError('a credit that is none');
}
