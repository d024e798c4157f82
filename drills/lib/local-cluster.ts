/**
 * A cluster of real processes on this machine, for drills, benchmarks, the demo and tests: made
 * from a config file on free ports in a temporary folder, killed, frozen and restarted by process
 * id, and gone without trace when the owner is done.
 *
 * It knows nothing of the inside of a node: it starts `idunno node NAME`, as a person would.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ClusterConfig,
  IdunnoError,
  loadClusterConfig,
  must,
  type NodeConfig,
  type NodeId,
  relocateClusterConfig,
  writeClusterConfig,
} from '../../src/base/index.js';
import { ApiClient, type ApiClientOptions } from '../../src/cli/index.js';
import { projectRoot } from './project-root.js';

export interface LocalClusterOptions {
  /** A file of `config/`, e.g. `local-3.yaml`, or an absolute path. */
  readonly config: string;
  readonly preset?: ClusterConfig['preset'];
  /** So many of the nodes are coordinators; else those that the file names. */
  readonly coordinators?: number;
  /** Told what happens, for people. */
  readonly say?: (text: string) => void;
}

interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
/** Of calls that live through a restart of all nodes. */
const PATIENCE_MS = 30_000;

export class LocalCluster {
  readonly config: ClusterConfig;
  readonly folder: string;
  readonly #running = new Map<NodeId, Running>();
  readonly #say: (text: string) => void;
  readonly #killAll = (): void => this.#killRest();

  private constructor(config: ClusterConfig, folder: string, say: (text: string) => void) {
    this.config = config;
    this.folder = folder;
    this.#say = say;
    // Whatever ends this process, nothing it started stays behind.
    process.once('exit', this.#killAll);
  }

  /** Chooses ports and writes the config; starts nothing. */
  static async create(options: LocalClusterOptions): Promise<LocalCluster> {
    const path = options.config.startsWith('/')
      ? options.config
      : join(projectRoot(), 'config', options.config);
    const loaded = await loadClusterConfig(path);
    const template = {
      ...loaded,
      coordinators: loaded.coordinators.slice(0, options.coordinators),
    };
    const folder = mkdtempSync(join(tmpdir(), 'idunno-'));
    const ports = await freePorts(template.nodes.length);
    const relocated = relocateClusterConfig(template, {
      path: join(folder, 'cluster.yaml'),
      dataRoot: join(folder, 'data'),
      ports,
      ...(options.preset === undefined ? {} : { preset: options.preset }),
    });
    await writeClusterConfig(relocated);
    return new LocalCluster(relocated, folder, options.say ?? (() => {}));
  }

  get nodes(): readonly NodeConfig[] {
    return this.config.nodes;
  }

  /** Nodes whose process runs. */
  get alive(): NodeId[] {
    return [...this.#running.keys()];
  }

  pid(name: NodeId): number {
    return must(this.#running.get(name), `process of ${name}`).pid;
  }

  node(name: NodeId): NodeConfig {
    return must(
      this.config.nodes.find((node) => node.name === name),
      `node ${name}`,
    );
  }

  /** Files of one node: its data folder, where its log lies too. */
  dataDir(name: NodeId): string {
    return this.node(name).dataDir;
  }

  start(name: NodeId): void {
    if (this.#running.has(name)) return;
    const output = openSync(join(this.folder, `${name}.out`), 'a');
    const child = spawn(
      process.execPath,
      [join(projectRoot(), 'bin/idunno.js'), 'node', name, '--config', this.config.path],
      // A group of its own: Ctrl-C reaches the owner, which ends the nodes in order.
      { stdio: ['ignore', output, output], detached: true, env: nodeEnvironment() },
    );
    closeSync(output);
    const exited = new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => resolve());
    });
    const running: Running = { child, pid: must(child.pid, `pid of ${name}`), exited };
    this.#running.set(name, running);
    void exited.then(() => {
      if (this.#running.get(name) === running) this.#running.delete(name);
    });
  }

  async startAll(): Promise<void> {
    for (const node of this.config.nodes) this.start(node.name);
    await this.waitReady();
  }

  /** Waits for a leader and for every started node to be Active in every list. */
  async waitReady(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const client = this.client();
    const endsAt = performance.now() + timeoutMs;
    try {
      for (;;) {
        const waitingFor = await this.#notReady(client);
        if (waitingFor === undefined) return;
        if (performance.now() > endsAt) throw this.#neverReady(waitingFor);
        await pause(50);
      }
    } finally {
      await client.close();
    }
  }

  async #notReady(client: ApiClient): Promise<string | undefined> {
    const gone = this.config.nodes.map((n) => n.name).filter((n) => !this.#running.has(n));
    try {
      const status = await client.status({ timeoutMs: 2000 });
      if (status.leader === undefined) return 'a leader';
      const up = new Set(status.nodes.filter((n) => n.status === 'up').map((n) => n.name));
      const missing = this.alive.filter((name) => !up.has(name));
      if (missing.length > 0) return `${missing.join(', ')} to be up`;
      // A node that was restarted quickly was never marked down: it must say itself that it is back.
      const own = await Promise.all(
        this.alive.map((node) => client.status({ node, timeoutMs: 2000 })),
      );
      const late = own.filter(({ ready }) => !ready).map(({ node }) => node);
      return late.length === 0 ? undefined : `${late.join(', ')} to be ready`;
    } catch (error) {
      const note = gone.length === 0 ? '' : `; not running: ${gone.join(', ')}`;
      return `an answer (${error instanceof Error ? error.message : String(error)}${note})`;
    }
  }

  #neverReady(waitingFor: string): IdunnoError {
    const outputs = this.config.nodes.map((node) => {
      const text = readFileSync(join(this.folder, `${node.name}.out`), 'utf8').trim();
      return text === '' ? '' : `\n${node.name}: ${text.split('\n').slice(-5).join('\n    ')}`;
    });
    return new IdunnoError(
      'TIMEOUT',
      `the cluster did not start: waited for ${waitingFor}${outputs.join('')}`,
    );
  }

  /** A client that waits while no node at all is there, as a program that is to go on does. */
  patientClient(): ApiClient {
    return this.#client({ nobodyThereMs: Number.POSITIVE_INFINITY, timeoutMs: PATIENCE_MS });
  }

  /** A client that knows every node; close it after use. */
  client(preferred?: NodeId): ApiClient {
    return this.#client(preferred === undefined ? {} : { preferred });
  }

  #client(options: Partial<ApiClientOptions>): ApiClient {
    return new ApiClient({
      cluster: this.config.cluster,
      nodes: this.config.nodes.map((n) => ({ name: n.name, host: n.host, port: n.port })),
      ...options,
    });
  }

  /** Sends the signal at once and returns; `exited` tells the end. */
  signal(name: NodeId, signal: NodeJS.Signals): void {
    process.kill(this.pid(name), signal);
  }

  /** kill -9: the process is gone when this resolves; the signal has left before it returns. */
  kill(name: NodeId): Promise<void> {
    const running = must(this.#running.get(name), `process of ${name}`);
    this.#running.delete(name);
    process.kill(running.pid, 'SIGKILL');
    return running.exited;
  }

  async stopNode(name: NodeId): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    process.kill(running.pid, 'SIGTERM');
    const late = setTimeout(() => {
      this.#say(`${name} did not stop within ${STOP_TIMEOUT_MS / 1000} s and is killed`);
      process.kill(running.pid, 'SIGKILL');
    }, STOP_TIMEOUT_MS);
    await running.exited;
    clearTimeout(late);
  }

  /** Ends every process and removes the folder. */
  async stop(options: { keepFolder?: boolean } = {}): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.stopNode(name)));
    process.removeListener('exit', this.#killAll);
    if (options.keepFolder !== true) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Synchronous last resort, when this process ends. */
  #killRest(): void {
    for (const running of this.#running.values()) {
      try {
        process.kill(running.pid, 'SIGKILL');
      } catch {
        // Already gone.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function nodeEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, UV_THREADPOOL_SIZE: '16' };
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Numbers free for TCP and UDP alike, all held until the last is found so that none comes twice.
 * Below the kernel's range for outgoing connections, or a client of one cluster could be given
 * the port of a node that is being restarted.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: { port: number; release(): Promise<void> }[] = [];
  const first = 10_000 + Math.floor(Math.random() * 20_000);
  for (let port = first; held.length < count; port++) {
    if (port >= 32_000) port = 10_000;
    const release = await tryHold(port);
    if (release !== undefined) held.push({ port, release });
  }
  await Promise.all(held.map((hold) => hold.release()));
  return held.map((hold) => hold.port);
}

async function tryHold(port: number): Promise<(() => Promise<void>) | undefined> {
  const server = createServer();
  const socket = createSocket('udp4');
  const listening = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  const bound = new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind(port, '127.0.0.1', () => resolve(true));
  });
  const [tcp, udp] = await Promise.all([listening, bound]);
  const release = async (): Promise<void> => {
    if (tcp) await new Promise((resolve) => server.close(resolve));
    if (udp) await new Promise<void>((resolve) => socket.close(() => resolve()));
  };
  if (tcp && udp) return release;
  await release();
  return undefined;
}
