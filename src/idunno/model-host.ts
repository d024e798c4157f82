/**
 * The process of one model: its entry file. Started by model-host-pool.ts, spoken to over file
 * descriptor 3 (host-frames.ts).
 *
 * It never outlives its node. Standard input is a pipe that the node never writes to and that
 * closes with it; a thread of its own waits for that, because this thread may be inside a run that
 * takes long or never returns, and then ends the process with SIGKILL, which nothing can stop.
 *
 * Inference blocks this thread, so requests queue up in the pipe and are answered in order.
 */
import { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { EngineItem } from './engine.js';
import {
  encodeFrame,
  type Frame,
  FrameReader,
  type HostItem,
  type HostRequest,
} from './host-frames.js';
import type { HostReply } from './host-frames.js';
import { ModelRunner } from './model-runner.js';

/** Inference gives way to the node's own threads: measured, keeps its ticks within 17 ms. */
const NICENESS = 10;
const CHANNEL_FD = 3;

class ModelHost {
  readonly #channel: Socket;
  readonly #reader = new FrameReader();
  readonly #waiting: Frame[] = [];
  #runner: ModelRunner | undefined;
  #isBusy = false;

  constructor(channel: Socket) {
    this.#channel = channel;
    channel.on('data', (chunk: Buffer) => {
      this.#waiting.push(...this.#reader.push(chunk));
      void this.#work();
    });
    channel.on('close', endNow);
    channel.on('error', endNow);
  }

  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let frame = this.#waiting.shift(); frame !== undefined; frame = this.#waiting.shift()) {
      await this.#serve(frame.header as HostRequest, frame.body);
    }
    this.#isBusy = false;
  }

  async #serve(request: HostRequest, body: Buffer): Promise<void> {
    if (request.type === 'load') {
      await this.#load(request.dir, request.threads);
      return;
    }
    if (this.#runner === undefined) throw new Error('asked to infer before the model was loaded');
    const result = await this.#runner.infer(takeItems(request.items, body));
    const { failed, named } = result;
    this.#send({ type: 'result', id: request.id, failed, named }, [result.lines]);
  }

  async #load(dir: string, threads: number): Promise<void> {
    try {
      this.#runner = await ModelRunner.load(dir, threads);
      this.#send({ type: 'loaded' });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#send({ type: 'load-failed', message });
    }
  }

  #send(reply: HostReply, body: readonly Uint8Array[] = []): void {
    for (const part of encodeFrame(reply, body)) this.#channel.write(part);
  }
}

function takeItems(items: readonly HostItem[], body: Buffer): EngineItem[] {
  let at = 0;
  return items.map(({ bytes, error, ...item }) => {
    if (bytes < 0) return { ...item, bytes: undefined, error };
    at += bytes;
    return { ...item, bytes: body.subarray(at - bytes, at), error: undefined };
  });
}

/** The watching thread cannot be joined while it waits, so the process is not ended politely. */
function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

setPriority(NICENESS);
// A Ctrl-C in the terminal is the node's business; the node ends its hosts when it has drained.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack ?? error.message}\n`, endNow);
});
new Worker(new URL('./model-host-watch.js', import.meta.url));
new ModelHost(new Socket({ fd: CHANNEL_FD, readable: true, writable: true }));
