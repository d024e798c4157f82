/**
 * Whole nodes in memory: the same composition as in production, over virtual time, a network, disks
 * and databases in memory, and an engine that runs no models.
 */
import {
  type ClusterConfig,
  createMemoryLogger,
  createMemoryRuntime,
  createSeededRng,
  createSilentLogger,
  type MemoryRuntime,
  type NodeConfig,
  parseClusterConfig,
  VirtualClock,
} from '../../src/base/index.js';
import { ApiClient } from '../../src/cli/index.js';
import type { Engine } from '../../src/idunno/index.js';
import { createRpc, MemoryNetwork, type Rpc } from '../../src/net/index.js';
import { type RunningNode, startNode } from '../../src/node/index.js';
import { createInlineMembership } from '../../src/swim/index.js';

const CONFIG = [
  'cluster: memory',
  'preset: local',
  'dataRoot: /data',
  'coordinators: [n1, n2, n3]',
  'nodes:',
  '  - { name: n1, host: 127.0.0.1, port: 7001 }',
  '  - { name: n2, host: 127.0.0.1, port: 7002 }',
  '  - { name: n3, host: 127.0.0.1, port: 7003 }',
  '  - { name: n4, host: 127.0.0.1, port: 7004 }',
].join('\n');

const IDLE_ENGINE: Engine = {
  load: () => undefined,
  unload: () => undefined,
  acquire: () => undefined,
  onState: () => undefined,
  stop: async () => undefined,
};

export class MemoryWorld {
  readonly clock = new VirtualClock();
  readonly config: ClusterConfig = parseClusterConfig(CONFIG, '/cluster.yaml');
  readonly rng = createSeededRng('node-memory');
  readonly network = new MemoryNetwork({ clock: this.clock, rng: this.rng.fork('network') });
  readonly machines = new Map<string, MemoryRuntime>();
  readonly nodes = new Map<string, RunningNode>();
  readonly fatal: string[] = [];
  readonly log = createMemoryLogger(this.clock);
  readonly client: ApiClient;
  #starts = 0;

  constructor() {
    const { cluster, nodes } = this.config;
    const rpc = this.clientRpc('client');
    this.client = new ApiClient({ cluster, nodes }, { rpc, clock: this.clock });
  }

  /** The calls of one more client. */
  clientRpc(name: string): Rpc {
    return createRpc({
      self: { name, kind: 'client', bootEpoch: 0 },
      cluster: this.config.cluster,
      fingerprint: this.config.fingerprint,
      network: this.network.node(name),
      clock: this.clock,
      logger: createSilentLogger(),
    });
  }

  machine(name: string): MemoryRuntime {
    const known = this.machines.get(name);
    if (known !== undefined) return known;
    const parts = {
      clock: this.clock,
      rng: this.rng.fork(name),
      network: this.network.node(name),
    };
    const made = createMemoryRuntime(parts);
    this.machines.set(name, made);
    return made;
  }

  start({ name }: Pick<NodeConfig, 'name'>): Promise<RunningNode> {
    this.#starts += 1;
    // Chance does not repeat itself when a process starts again.
    const runtime = { ...this.machine(name), rng: this.rng.fork(`${name} ${this.#starts}`) };
    const log = this.log.child({ node: name });
    return startNode(
      { config: this.config, name, version: 'test' },
      {
        runtime,
        log,
        createEngine: () => IDLE_ENGINE,
        createMembership: (node, { bootEpoch, path }) =>
          createInlineMembership({
            config: this.config,
            self: node.name,
            bootEpoch,
            bootWallMs: this.clock.wall(),
            dataDir: path,
            runtime,
            logger: log,
          }),
        onFatal: (error) => this.fatal.push(`${name}: ${error.message}`),
      },
    );
  }

  async startAll(): Promise<void> {
    const starting = this.config.nodes.map(async (node) => {
      this.nodes.set(node.name, await this.start(node));
    });
    await this.run(Promise.all(starting));
    await this.run(this.untilReady());
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.runUntil(promise, 60_000);
  }

  async untilReady(): Promise<void> {
    for (;;) {
      const asks = this.config.nodes.map(({ name }) => this.client.status({ node: name }));
      const answers = await Promise.all(asks);
      const isUp = answers.every(
        ({ ready, nodes }) =>
          ready && nodes.every(({ status, state }) => status === 'up' && state === 'active'),
      );
      if (isUp) return;
      await this.clock.sleep(50);
    }
  }

  async stopAll(): Promise<void> {
    await this.run(Promise.all([...this.nodes.values()].map((node) => node.stop())));
    await this.run(this.client.close());
  }

  /** The process of a node ends; what it had on its disks stays. */
  async kill(name: string): Promise<void> {
    const node = this.nodes.get(name);
    this.nodes.delete(name);
    await this.run(Promise.resolve(node?.stop()));
  }

  async startOne(name: string): Promise<void> {
    const node = this.config.nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`${name} is in the config`);
    this.nodes.set(name, await this.run(this.start(node)));
  }

  /** Its data folder is gone. */
  wipe(name: string): void {
    const { disk, databases } = this.machine(name);
    disk.wipe();
    databases.wipe();
  }

  async restartAll(): Promise<void> {
    const names = [...this.nodes.keys()];
    await this.run(Promise.all([...this.nodes.values()].map((node) => node.stop())));
    await Promise.all(names.map((name) => this.startOne(name)));
    await this.run(this.untilReady());
  }

  async aFollower(): Promise<string> {
    for (const name of this.nodes.keys()) {
      const { role } = await this.run(this.client.raftStatus({ node: name }));
      if (role === 'follower') return name;
    }
    throw new Error('there is no follower');
  }

  /** Until `node` says that exactly these have a vote, and nothing is under way. */
  async untilVoters(voters: readonly string[], node: string): Promise<void> {
    await this.run(
      this.#until(async () => {
        const status = await this.client.raftStatus({ node });
        const isSettled = status.outgoing.length === 0 && status.next.length === 0;
        return isSettled && [...status.voters].sort().join() === [...voters].sort().join();
      }),
    );
  }

  async untilObserver(node: string): Promise<void> {
    await this.run(
      this.#until(async () => {
        const { isCoordinator, leader } = await this.client.raftStatus({ node });
        return !isCoordinator && leader !== undefined;
      }),
    );
  }

  async #until(probe: () => Promise<boolean>): Promise<void> {
    while (!(await probe().catch(() => false))) await this.clock.sleep(50);
  }
}
