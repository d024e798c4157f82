/**
 * One call of the peer's on one connection: runs the handler and sends what it answers.
 *
 * The call is over when its answer's last byte is sent, or an error; what the handler left unread
 * of the request's body is then dropped. A cancelled or expired call aborts the handler's signal;
 * what it still returns goes nowhere.
 */
import { asIdunnoError, IdunnoError, type Logger, type Ms } from '../base/index.js';
import { type Body, BodyPump, BodyReader, EMPTY_BODY, wholeBody } from './body.js';
import type { Expiring } from './deadlines.js';
import { FRAME_KIND } from './frame.js';
import { BODY_MODE, bodyModeOf, type CallHost } from './outgoing-call.js';
import type { Answer, Handler, HandlerContext, Peer, Wire } from './types.js';

export interface IncomingHost extends CallHost {
  readonly peer: Peer;
  readonly logger: Logger;
  forget(call: IncomingCall): void;
}

export class IncomingCall implements HandlerContext, Expiring {
  readonly id: number;
  readonly peer: Peer;
  deadlineMs: Ms;
  /** Of its body; 0 without one. */
  windowBytes = 0;
  readonly #host: IncomingHost;
  readonly #method: string;
  readonly #timeoutMs: Ms;
  #controller: AbortController | undefined;
  #reader: BodyReader | undefined;
  #pump: BodyPump | undefined;
  #isOver = false;
  #abortReason: IdunnoError | undefined;

  constructor(host: IncomingHost, id: number, method: string, timeoutMs: Ms) {
    this.#host = host;
    this.id = id;
    this.#method = method;
    this.#timeoutMs = timeoutMs;
    this.peer = host.peer;
    this.deadlineMs = host.now() + timeoutMs;
  }

  /** Made when first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isOver) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  start(handler: Handler, args: readonly Wire[], mode: Wire | undefined, inline: Uint8Array): void {
    let body: Body = inline.length === 0 ? EMPTY_BODY : wholeBody(inline);
    if (mode === BODY_MODE.streamed) body = this.#openReader();
    let answer: Promise<Answer> | Answer;
    try {
      answer = handler(args, body, this);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (answer instanceof Promise) {
      answer.then(
        (value) => this.#answer(value),
        (error: unknown) => this.#refuse(error),
      );
    } else {
      this.#answer(answer);
    }
  }

  /** False when the peer broke the rules of streams. */
  onChunk(bytes: Uint8Array, isLast: boolean): boolean {
    if (this.#reader === undefined) return false;
    this.#touch();
    if (!this.#reader.push(bytes)) return false;
    if (isLast) this.#reader.end();
    return true;
  }

  onCredit(bytes: number): void {
    this.#touch();
    this.#pump?.addCredit(bytes);
  }

  /** The peer cancelled, or the connection is lost: nobody waits for an answer. */
  abort(error: IdunnoError): void {
    if (this.#isOver) return;
    this.#end(error);
  }

  expire(): void {
    const limit = Math.round(this.#timeoutMs);
    this.#sendError(new IdunnoError('TIMEOUT', `${this.#method} did not end within ${limit} ms`));
  }

  #openReader(): BodyReader {
    this.windowBytes = this.#host.takeWindow();
    this.#reader = new BodyReader({
      windowBytes: this.windowBytes,
      grant: (bytes) => {
        this.#touch();
        this.#host.send(FRAME_KIND.requestCredit, [this.id, bytes]);
      },
      abandon: () => undefined,
    });
    return this.#reader;
  }

  /** Waits its turn where much is unsent: answers must not heap up before a slow reader. */
  async #answerInTurn(answer: Answer): Promise<void> {
    for (let room = this.#host.room(); room !== undefined; room = this.#host.room()) {
      await room;
      if (this.#isOver) return;
    }
    this.#answer(answer);
  }

  #answer(answer: Answer): void {
    if (this.#isOver) return;
    if (this.#host.room() !== undefined) {
      void this.#answerInTurn(answer);
      return;
    }
    const { value, body } = answer;
    const mode = bodyModeOf(body);
    const inline = mode === BODY_MODE.inline && body instanceof Uint8Array ? body : undefined;
    try {
      this.#host.send(FRAME_KIND.answer, [this.id, value, mode], inline);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (mode !== BODY_MODE.streamed || body === undefined) {
      this.#end(undefined);
      return;
    }
    this.#touch();
    this.#pump = new BodyPump(body, {
      send: (bytes, isLast) => {
        this.#touch();
        this.#host.send(FRAME_KIND.replyChunk, [this.id, isLast ? 1 : 0], bytes);
      },
      writable: () => this.#host.writable(),
      fail: (error) => this.#refuse(error),
      done: () => this.#end(undefined),
    });
  }

  #refuse(error: unknown): void {
    const typed = asIdunnoError(error);
    if (typed.code === 'INTERNAL') {
      const fields = { method: this.#method, peer: this.peer.name, error: typed.cause ?? typed };
      this.#host.logger.error('rpc.handler-failed', fields);
    }
    this.#sendError(typed);
  }

  #sendError(error: IdunnoError): void {
    if (this.#isOver) return;
    try {
      this.#host.send(FRAME_KIND.error, [this.id, error.toWire()]);
    } catch (cause) {
      // An error that has no form on the wire: too long, or with data that is no JSON.
      this.#host.logger.error('rpc.handler-failed', { method: this.#method, error, cause });
      const short = new IdunnoError(error.code, `${this.#method} failed`);
      this.#host.send(FRAME_KIND.error, [this.id, short.toWire()]);
    }
    this.#end(error);
  }

  #touch(): void {
    this.deadlineMs = this.#host.now() + this.#timeoutMs;
  }

  /** With an error, whoever still works for this call is told to stop. */
  #end(error: IdunnoError | undefined): void {
    this.#isOver = true;
    this.#abortReason = error;
    this.#pump?.stop();
    if (error !== undefined) this.#controller?.abort(error);
    this.#reader?.fail(error ?? new IdunnoError('ABORTED', 'the call has been answered'));
    this.#host.forget(this);
  }
}
