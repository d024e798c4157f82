/**
 * Starts the membership thread and stands for it on the main thread: a list that can be read at
 * once (view.ts), requests with an answer, and the heartbeat by which the thread sees that the main
 * thread moves. A thread that ends unasked is fatal to the node: the others would declare it dead
 * while it believes itself a member.
 */
import { Worker } from 'node:worker_threads';
import {
  type BootEpoch,
  type Clock,
  type ClusterConfig,
  IdunnoError,
  type Logger,
  type Ms,
  type NodeId,
  type Timer,
  withTimeout,
} from '../base/index.js';
import { runnerOptions } from './runner-options.js';
import {
  type FromThread,
  HEARTBEAT_MS,
  machineNow,
  type ThreadData,
  type ToThread,
} from './thread-messages.js';
import type { Evidence, Member, Membership, MemberEvent } from './types.js';
import { MembershipView } from './view.js';

export interface MembershipOptions {
  readonly config: ClusterConfig;
  readonly self: NodeId;
  readonly bootEpoch: BootEpoch;
  readonly bootWallMs: Ms;
  /** The node's data folder; membership keeps one small file under `swim/`. */
  readonly dataDir: string;
  /** Further ways into the cluster, for a node that the config file does not name. */
  readonly seeds?: readonly { readonly host: string; readonly port: number }[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** The thread ended unasked. Default: the error is thrown, which ends the process. */
  readonly onFatal?: (error: IdunnoError) => void;
}

const READY_TIMEOUT_MS: Ms = 30_000;
const REQUEST_TIMEOUT_MS: Ms = 10_000;
const STOP_TIMEOUT_MS: Ms = 5_000;
/** Requests under way; each is a command of an operator. */
const REQUESTS_MAX = 1024;

interface Request {
  resolve(evidence: readonly Evidence[]): void;
  reject(error: IdunnoError): void;
}

/**
 * Binds the UDP port, starts the thread and begins to look for the others. Resolves when it runs,
 * alone or not. Throws PORT_TAKEN, BAD_CONFIG, NODE_NOT_FOUND.
 */
export async function createMembership(options: MembershipOptions): Promise<Membership> {
  const membership = new ThreadMembership(options);
  await membership.ready();
  return membership;
}

class ThreadMembership implements Membership {
  readonly #options: MembershipOptions;
  readonly #view: MembershipView;
  readonly #worker: Worker;
  readonly #word: Int32Array;
  readonly #requests = new Map<number, Request>();
  readonly #ready: Promise<void>;
  #settleReady: { resolve(): void; reject(error: IdunnoError): void } | undefined;
  #beat: Timer | undefined;
  #nextId = 1;
  #isStopping = false;
  #stopped: Promise<void> | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#view = new MembershipView(options.self, options.clock, options.logger);
    const heartbeat = new SharedArrayBuffer(4);
    const data: ThreadData = { ...runnerOptions(options), heartbeat };
    this.#word = new Int32Array(data.heartbeat);
    this.#worker = new Worker(new URL('./thread.js', import.meta.url), {
      workerData: data,
      name: `swim-${options.self}`,
      // Flags of the process are meant for the main thread; some even forbid a worker.
      execArgv: [],
    });
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.#worker.on('message', (message: FromThread) => this.#onMessage(message));
    this.#worker.on('error', (error) => this.#onEnd(String(error)));
    this.#worker.on('exit', (code) => this.#onEnd(`exit code ${code}`));
    this.#keepBeating();
  }

  async ready(): Promise<void> {
    const what = 'starting the membership thread';
    try {
      await withTimeout(this.#options.clock, this.#ready, READY_TIMEOUT_MS, what);
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  get self(): Member {
    return this.#view.self;
  }

  members(): readonly Member[] {
    return this.#view.members();
  }

  get(name: NodeId): Member | undefined {
    return this.#view.get(name);
  }

  onChange(listener: (event: MemberEvent) => void): void {
    this.#view.onChange(listener);
  }

  healthScore(): number {
    return this.#view.healthScore;
  }

  async why(name: NodeId): Promise<readonly Evidence[]> {
    return this.#ask((id) => ({ kind: 'why', id, name }));
  }

  async join(): Promise<void> {
    await this.#ask((id) => ({ kind: 'join', id }));
  }

  async leave(): Promise<void> {
    await this.#ask((id) => ({ kind: 'leave', id }));
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    try {
      await this.#request((id) => ({ kind: 'stop', id }), STOP_TIMEOUT_MS);
    } catch (error) {
      this.#options.logger.warn('swim.stop-forced', { error: String(error) });
    }
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#isStopping = true;
    this.#beat?.cancel();
    await this.#worker.terminate();
    this.#rejectAll(new IdunnoError('ABORTED', 'the membership of this node has been stopped'));
  }

  #ask(make: (id: number) => ToThread): Promise<readonly Evidence[]> {
    if (this.#isStopping) {
      const error = new IdunnoError('ABORTED', 'the membership of this node has been stopped');
      return Promise.reject(error);
    }
    return this.#request(make, REQUEST_TIMEOUT_MS);
  }

  async #request(make: (id: number) => ToThread, timeoutMs: Ms): Promise<readonly Evidence[]> {
    if (this.#requests.size >= REQUESTS_MAX) {
      throw new IdunnoError('BUSY', `${REQUESTS_MAX} requests to the membership thread are open`);
    }
    const id = this.#nextId++;
    const message = make(id);
    const answer = new Promise<readonly Evidence[]>((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
    });
    this.#worker.postMessage(message);
    try {
      const what = `"${message.kind}" of the membership thread`;
      return await withTimeout(this.#options.clock, answer, timeoutMs, what);
    } finally {
      this.#requests.delete(id);
    }
  }

  #onMessage(message: FromThread): void {
    const { clock, logger } = this.#options;
    switch (message.kind) {
      case 'ready':
        this.#settleReady?.resolve();
        break;
      case 'failed':
        this.#isStopping = true;
        this.#settleReady?.reject(IdunnoError.fromWire(message.error));
        break;
      case 'member': {
        const sinceMs = clock.now() - (machineNow() - message.member.sinceMs);
        const member = { ...message.member, sinceMs };
        this.#view.onMember(member, message.before, message.notable, message.atWallMs);
        break;
      }
      case 'health':
        this.#view.healthScore = message.score;
        break;
      case 'done':
        this.#requests.get(message.id)?.resolve(message.evidence);
        break;
      case 'refused':
        this.#requests.get(message.id)?.reject(IdunnoError.fromWire(message.error));
        break;
      case 'log':
        logger[message.level](message.event, message.fields);
        break;
    }
  }

  #onEnd(reason: string): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#beat?.cancel();
    const error = new IdunnoError('INTERNAL', `the membership thread ended unasked: ${reason}`);
    this.#rejectAll(error);
    this.#settleReady?.reject(error);
    this.#options.logger.error('swim.thread-ended', { reason });
    if (this.#options.onFatal === undefined) throw error;
    this.#options.onFatal(error);
  }

  #rejectAll(error: IdunnoError): void {
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
  }

  /** Runs on the main loop: as long as that moves, so does the word. */
  #keepBeating(): void {
    Atomics.add(this.#word, 0, 1);
    this.#beat = this.#options.clock.setTimer(HEARTBEAT_MS, () => this.#keepBeating());
  }
}
