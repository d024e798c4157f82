/**
 * One call of ours on one connection, from its frame to the end of its answer's body.
 *
 *     sent ── answer without body ──────────────────▶ over
 *       │──── answer with body ──▶ streaming ── last ─▶ over
 *       └──── error, abort, deadline, lost connection ▶ over
 *
 * It settles exactly once; what arrives after that is dropped by the link.
 */
import { IdunnoError, type Ms } from '../base/index.js';
import { type Body, BodyPump, BodyReader, EMPTY_BODY, wholeBody } from './body.js';
import type { Expiring } from './deadlines.js';
import { FRAME_KIND, type FrameKind } from './frame.js';
import { INLINE_BODY_BYTES_MAX } from './limits.js';
import type { CallOptions, CallResult, Wire } from './types.js';

/** How a body travels. Numbers are the protocol's. */
export const BODY_MODE = { none: 0, inline: 1, streamed: 2 } as const;

export type BodyMode = (typeof BODY_MODE)[keyof typeof BODY_MODE];

export function bodyModeOf(body: Body | Uint8Array | undefined): BodyMode {
  if (body === undefined) return BODY_MODE.none;
  if (!(body instanceof Uint8Array)) return BODY_MODE.streamed;
  if (body.length === 0) return BODY_MODE.none;
  return body.length <= INLINE_BODY_BYTES_MAX ? BODY_MODE.inline : BODY_MODE.streamed;
}

/** What both kinds of calls need of their link. */
export interface CallHost {
  readonly peerName: string;
  now(): Ms;
  /** Throws BAD_ARGUMENT for what is too long. */
  send(kind: FrameKind, header: readonly (Wire | undefined)[], body?: Uint8Array): void;
  /** Resolves when the connection takes more of a body; undefined: now. */
  writable(): Promise<void> | undefined;
  /** The same for answers, which are let through until much more is unsent. */
  room(): Promise<void> | undefined;
  /** Takes one more body's window from the budget; given back when the call is forgotten. */
  takeWindow(): number;
}

export interface OutgoingHost extends CallHost {
  /** The call is over: forget it. */
  forget(call: OutgoingCall): void;
  /** A deadline passed without an answer: is the connection alive at all? */
  doubt(): void;
}

export class OutgoingCall implements Expiring {
  readonly id: number;
  readonly result: Promise<CallResult>;
  deadlineMs: Ms;
  /** Of its answer's body; 0 without one. */
  windowBytes = 0;
  readonly #host: OutgoingHost;
  readonly #method: string;
  readonly #options: CallOptions;
  #resolve: (result: CallResult) => void = () => undefined;
  #reject: (error: IdunnoError) => void = () => undefined;
  #pump: BodyPump | undefined;
  #reader: BodyReader | undefined;
  #isOver = false;
  readonly #onAbort = () => this.cancel(abortError(this.#options.signal, this.#describe()));

  constructor(host: OutgoingHost, id: number, method: string, options: CallOptions) {
    this.#host = host;
    this.id = id;
    this.#method = method;
    this.#options = options;
    this.deadlineMs = host.now() + options.timeoutMs;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Throws where the call cannot be put into a frame; then nothing was sent. */
  start(args: readonly Wire[]): void {
    const { body, signal, timeoutMs } = this.#options;
    const mode = bodyModeOf(body);
    const inline = mode === BODY_MODE.inline && body instanceof Uint8Array ? body : undefined;
    const header = [this.id, this.#method, args, Math.ceil(timeoutMs), mode];
    this.#host.send(FRAME_KIND.call, header, inline);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (mode !== BODY_MODE.streamed || body === undefined) return;
    this.#pump = new BodyPump(body, {
      send: (bytes, isLast) => {
        this.#touch();
        this.#host.send(FRAME_KIND.requestChunk, [this.id, isLast ? 1 : 0], bytes);
      },
      writable: () => this.#host.writable(),
      fail: (error) => this.cancel(sourceError(error, this.#describe())),
      done: () => undefined,
    });
  }

  onAnswer(value: Wire, mode: Wire | undefined, body: Uint8Array): void {
    if (mode !== BODY_MODE.streamed) {
      this.#end();
      this.#resolve({ value, body: body.length === 0 ? EMPTY_BODY : wholeBody(body) });
      return;
    }
    this.#touch();
    this.windowBytes = this.#host.takeWindow();
    this.#reader = new BodyReader({
      windowBytes: this.windowBytes,
      grant: (bytes) => {
        this.#touch();
        this.#host.send(FRAME_KIND.replyCredit, [this.id, bytes]);
      },
      abandon: () => this.cancel(new IdunnoError('ABORTED', 'the body is not wanted any more')),
    });
    this.#resolve({ value, body: this.#reader });
  }

  /** False when the peer broke the rules of streams. */
  onChunk(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#reader === undefined) return false;
    this.#touch();
    if (!this.#reader.push(bytes)) return false;
    if (isLast) {
      this.#end();
      this.#reader.end();
    }
    return true;
  }

  onCredit(bytes: number): void {
    this.#touch();
    this.#pump?.addCredit(bytes);
  }

  /** The peer refused, or the connection is lost. */
  fail(error: IdunnoError): void {
    if (this.#isOver) return;
    this.#end();
    this.#reject(error);
    this.#reader?.fail(error);
  }

  /** We want no answer any more: the peer is told. */
  cancel(error: IdunnoError): void {
    if (this.#isOver) return;
    this.#host.send(FRAME_KIND.cancel, [this.id]);
    this.fail(error);
  }

  expire(): void {
    const what = this.#reader === undefined ? 'was not answered' : 'made no progress';
    const text = `${this.#describe()} ${what} within ${Math.round(this.#options.timeoutMs)} ms`;
    this.cancel(new IdunnoError('TIMEOUT', text, { peer: this.#host.peerName }));
    this.#host.doubt();
  }

  /** A body moves: the deadline counts from here again. */
  #touch(): void {
    this.deadlineMs = this.#host.now() + this.#options.timeoutMs;
  }

  #end(): void {
    this.#isOver = true;
    this.#pump?.stop();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#host.forget(this);
  }

  #describe(): string {
    return `${this.#method} to ${this.#host.peerName}`;
  }
}

/** An aborted signal as an error: its own where it is one of ours. */
export function abortError(signal: AbortSignal | undefined, what: string): IdunnoError {
  const reason: unknown = signal?.reason;
  if (reason instanceof IdunnoError) return reason;
  return new IdunnoError('ABORTED', `${what} was cancelled`, {}, reason);
}

export function sourceError(error: unknown, what: string): IdunnoError {
  if (error instanceof IdunnoError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new IdunnoError('INTERNAL', `the body of ${what} cannot be read: ${why}`, {}, error);
}
