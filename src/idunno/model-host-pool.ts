/**
 * The model hosts of one node: starts a process for each seat of a loaded model, speaks to it,
 * restarts it when it dies, and ends it when the model is unloaded or hangs.
 *
 *   load ──▶ loading ──▶ warm ──▶ (crash) ──▶ loading … after a growing pause
 *               │
 *               ▼
 *            failed      the model was refused, or its process died CRASHES_MAX times in a row
 *                        while it loaded
 *
 * A crash, leak or endless loop of a model costs its process, never the node: what was being
 * computed is answered with MODEL_CRASHED. A process that died over its inputs is always started
 * again, since the inputs may be to blame: the task machine counts strikes against those, so that
 * also a job whose every input kills its host comes to an end. Hosts run at nice 10, may do little
 * (model-host-walls.ts) and die with the node (model-host.ts). Bounds: seats per model, requests
 * under way per seat, time of a load and of a request; at the time bounds the process is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { asIdunnoError, type Clock, IdunnoError, type Logger, type Timer } from '../base/index.js';
import type {
  ChunkResult,
  Engine,
  EngineItem,
  EngineListener,
  EngineModel,
  EngineState,
  Seat,
} from './engine.js';
import { encodeFrame, FrameReader, type HostItem, readReply } from './host-frames.js';
import { modelKey } from './indexes.js';
import { ENV_COMMAND, hostCommand } from './model-host-walls.js';

export interface ModelHostPoolOptions {
  /** Tasks that the node computes at once: so many processes for each model. */
  readonly slots: number;
  /** See intraOpThreads. */
  readonly threads: number;
  /** Default 120 s. */
  readonly loadTimeoutMs?: number;
  /** For one request, a part of a task, at most; small ones get less. Default 120 s. */
  readonly inferTimeoutMs?: number;
}

export interface ModelHostPoolDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const CRASHES_MAX = 5;
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;
/** After a crash over inputs: others wait for the model, and what is to blame is soon found. */
const RERUN_MAX_MS = 1_000;
/** A request's time grows with its inputs: a single one that hangs is not waited for as for 64. */
const INFER_BASE_MS = 20_000;
const INFER_ITEM_MS = 5_000;
const TAIL_CHARS = 600;
const HOST_FILE = fileURLToPath(new URL('./model-host.js', import.meta.url));

interface Loaded {
  readonly model: EngineModel;
  readonly hosts: (Host | undefined)[];
  /** In a row: of any kind, and while loading. */
  crashes: number;
  loadCrashes: number;
  state: EngineState;
  restart: Timer | undefined;
}

export class ModelHostPool implements Engine {
  readonly #options: Required<ModelHostPoolOptions>;
  readonly #deps: ModelHostPoolDeps;
  readonly #models = new Map<string, Loaded>();
  readonly #living = new Set<Host>();
  #listener: EngineListener = () => undefined;

  constructor(options: ModelHostPoolOptions, deps: ModelHostPoolDeps) {
    this.#options = {
      loadTimeoutMs: DEFAULT_TIMEOUT_MS,
      inferTimeoutMs: DEFAULT_TIMEOUT_MS,
      ...options,
    };
    this.#deps = deps;
  }

  onState(listener: EngineListener): void {
    this.#listener = listener;
  }

  load(model: EngineModel): void {
    const key = modelKey(model.name, model.revision);
    if (this.#models.has(key)) return;
    const loaded: Loaded = {
      model,
      hosts: new Array<Host | undefined>(this.#options.slots).fill(undefined),
      crashes: 0,
      loadCrashes: 0,
      state: 'loading',
      restart: undefined,
    };
    this.#models.set(key, loaded);
    this.#startMissing(loaded);
  }

  unload(name: string, revision: number): void {
    const key = modelKey(name, revision);
    const loaded = this.#models.get(key);
    if (loaded === undefined) return;
    this.#models.delete(key);
    loaded.restart?.cancel();
    for (const host of loaded.hosts) host?.end('the model was unloaded');
  }

  acquire(name: string, revision: number): Seat | undefined {
    const loaded = this.#models.get(modelKey(name, revision));
    if (loaded === undefined || loaded.state !== 'warm') return undefined;
    const host = loaded.hosts.find((each) => each?.isFree === true);
    if (host === undefined) return undefined;
    host.isFree = false;
    return {
      infer: async (items) => {
        const result = await host.infer(items);
        loaded.crashes = 0;
        return result;
      },
      release: () => {
        host.isFree = true;
      },
    };
  }

  /** Process ids of a model's hosts. */
  processes(name: string, revision: number): number[] {
    const hosts = this.#models.get(modelKey(name, revision))?.hosts ?? [];
    return hosts.flatMap((host) => (host?.pid === undefined ? [] : [host.pid]));
  }

  async stop(): Promise<void> {
    for (const { model } of [...this.#models.values()]) this.unload(model.name, model.revision);
    await Promise.all([...this.#living].map((host) => host.exited));
  }

  #startMissing(loaded: Loaded): void {
    this.#become(loaded, 'loading', undefined);
    for (const [at, host] of loaded.hosts.entries()) {
      if (host === undefined) this.#startHost(loaded, at);
    }
  }

  #startHost(loaded: Loaded, at: number): void {
    const host = new Host(this.#options, this.#deps, loaded.model, {
      loaded: () => {
        loaded.loadCrashes = 0;
        if (loaded.hosts.every((each) => each?.isLoaded === true)) {
          this.#become(loaded, 'warm', undefined);
        }
      },
      refused: (reason) => this.#giveUp(loaded, reason),
      exited: (reason) => {
        this.#living.delete(host);
        if (host.isLoaded) this.#onCrash(loaded, at, host, reason);
        else this.#onLoadCrash(loaded, at, host, reason);
      },
    });
    loaded.hosts[at] = host;
    this.#living.add(host);
  }

  /** It died over its inputs, or by nobody's doing. */
  #onCrash(loaded: Loaded, at: number, host: Host, reason: string): void {
    if (!this.#takeOut(loaded, at, host, reason)) return;
    this.#restart(loaded, reason, RERUN_MAX_MS);
  }

  #onLoadCrash(loaded: Loaded, at: number, host: Host, reason: string): void {
    if (!this.#takeOut(loaded, at, host, reason)) return;
    loaded.loadCrashes += 1;
    if (loaded.loadCrashes >= CRASHES_MAX) {
      this.#giveUp(
        loaded,
        `its process died ${CRASHES_MAX} times in a row while it loaded: ${reason}`,
      );
      return;
    }
    this.#restart(loaded, reason, RESTART_MAX_MS);
  }

  /** False when nobody waits for this host any more. */
  #takeOut(loaded: Loaded, at: number, host: Host, reason: string): boolean {
    const key = modelKey(loaded.model.name, loaded.model.revision);
    if (this.#models.get(key) !== loaded || loaded.hosts[at] !== host) return false;
    loaded.hosts[at] = undefined;
    if (loaded.state === 'failed') return false;
    loaded.crashes += 1;
    this.#deps.log.warn('model-host.crashed', { model: key, reason, crashes: loaded.crashes });
    return true;
  }

  #restart(loaded: Loaded, reason: string, pauseMaxMs: number): void {
    this.#become(loaded, 'loading', reason);
    const pause = Math.min(pauseMaxMs, RESTART_MIN_MS * 2 ** (loaded.crashes - 1));
    loaded.restart?.cancel();
    loaded.restart = this.#deps.clock.setTimer(pause, () => this.#startMissing(loaded));
  }

  #giveUp(loaded: Loaded, reason: string): void {
    this.#become(loaded, 'failed', reason);
    loaded.restart?.cancel();
    for (const host of loaded.hosts) host?.end(reason);
  }

  #become(loaded: Loaded, state: EngineState, error: string | undefined): void {
    loaded.state = state;
    this.#listener(loaded.model, state, error);
  }
}

interface HostEvents {
  loaded(): void;
  /** The model cannot be used; another start would end the same way. */
  refused(reason: string): void;
  exited(reason: string): void;
}

interface Pending {
  readonly resolve: (result: ChunkResult) => void;
  readonly reject: (error: IdunnoError) => void;
  readonly timer: Timer;
}

/** One process. */
class Host {
  readonly exited: Promise<void>;
  isFree = true;
  isLoaded = false;
  readonly #options: Required<ModelHostPoolOptions>;
  readonly #clock: Clock;
  readonly #model: EngineModel;
  readonly #events: HostEvents;
  readonly #child: ChildProcess;
  readonly #channel: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #loadTimer: Timer;
  #nextId = 1;
  #tail = '';
  #endReason: string | undefined;

  constructor(
    options: Required<ModelHostPoolOptions>,
    deps: ModelHostPoolDeps,
    model: EngineModel,
    events: HostEvents,
  ) {
    this.#options = options;
    this.#clock = deps.clock;
    this.#model = model;
    this.#events = events;
    this.#child = spawn(ENV_COMMAND, hostCommand(HOST_FILE, model.dir), {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      env: hostEnvironment(),
    });
    this.#channel = this.#child.stdio[3] as Duplex;
    this.#loadTimer = deps.clock.setTimer(options.loadTimeoutMs, () =>
      this.end(`it was not loaded within ${options.loadTimeoutMs} ms`),
    );
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => this.#onExit(code, signal, resolve));
      this.#child.once('error', (error) => {
        // A process that could not be started has no exit event.
        if (this.#child.pid === undefined) this.#onExit(null, error.message, resolve);
      });
    });
    this.#listen();
    const { threads } = options;
    this.#write(encodeFrame({ type: 'load', dir: model.dir, threads }));
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  infer(items: readonly EngineItem[]): Promise<ChunkResult> {
    const id = this.#nextId;
    this.#nextId += 1;
    const inferTimeoutMs = Math.min(
      this.#options.inferTimeoutMs,
      INFER_BASE_MS + INFER_ITEM_MS * items.length,
    );
    return new Promise((resolve, reject) => {
      if (this.#endReason !== undefined || this.#child.exitCode !== null) {
        reject(this.#crashed(this.#endReason ?? 'it has just ended'));
        return;
      }
      const timer = this.#clock.setTimer(inferTimeoutMs, () =>
        this.end(`it did not answer within ${inferTimeoutMs} ms`),
      );
      this.#pending.set(id, { resolve, reject, timer });
      const bodies = items.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes]));
      this.#write(encodeFrame({ type: 'infer', id, items: items.map(toHostItem) }, bodies));
    });
  }

  /** Kills it; a run cannot be stopped in any other way. */
  end(reason: string): void {
    this.#endReason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #listen(): void {
    const reader = new FrameReader();
    this.#channel.on('data', (chunk: Buffer) => {
      try {
        for (const { header, body } of reader.push(chunk)) this.#onReply(header, body);
      } catch (error) {
        this.end(asIdunnoError(error).message);
      }
    });
    // The exit event tells the story; these only must not go unheard.
    this.#channel.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#keepTail(stream);
  }

  #keepTail(stream: Readable | null): void {
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => {
      this.#tail = (this.#tail + text).slice(-TAIL_CHARS);
    });
    stream?.on('error', () => undefined);
  }

  #onReply(header: unknown, body: Buffer): void {
    const reply = readReply(header);
    if (reply.type === 'loaded') {
      this.#loadTimer.cancel();
      this.isLoaded = true;
      this.#events.loaded();
    } else if (reply.type === 'load-failed') {
      this.#events.refused(reply.message);
    } else {
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      pending?.timer.cancel();
      // A copy: the body is a window into what may be a much larger read.
      const lines = Buffer.from(body);
      pending?.resolve({ lines, failed: reply.failed, named: reply.named });
    }
  }

  #onExit(code: number | null, signal: string | null, resolve: () => void): void {
    this.#loadTimer.cancel();
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    const tail = this.#tail.trim();
    const reason = this.#endReason ?? (tail === '' ? how : `${how}: ${tail}`);
    this.#endReason ??= reason;
    for (const { reject, timer } of this.#pending.values()) {
      timer.cancel();
      reject(this.#crashed(reason));
    }
    this.#pending.clear();
    this.#channel.destroy();
    this.#events.exited(reason);
    resolve();
  }

  #crashed(reason: string): IdunnoError {
    return new IdunnoError(
      'MODEL_CRASHED',
      `the process of model ${this.#model.name} ended: ${reason}`,
    );
  }

  /** At most two requests are under way, so what the pipe does not take yet is bounded. */
  #write(parts: readonly Uint8Array[]): void {
    if (this.#channel.destroyed) return;
    for (const part of parts) this.#channel.write(part);
  }
}

function toHostItem(item: EngineItem): HostItem {
  const { query, item: number, repetition, input, version, bytes, error } = item;
  const facts = { query, item: number, repetition, input, version };
  if (bytes !== undefined) return { ...facts, bytes: bytes.length };
  return { ...facts, bytes: -1, error: error ?? 'its bytes could not be read' };
}

/** Nothing of the node's environment but what a process needs: it may hold secrets. */
function hostEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { UV_THREADPOOL_SIZE: '2' };
  for (const name of ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'FONTCONFIG_PATH']) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}
