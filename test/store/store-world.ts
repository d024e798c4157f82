/**
 * A cluster of coordinators and plain nodes in one process on a virtual clock: real driver, real
 * state machine on databases in memory, real clients; only the connections are missing.
 */
import {
  createMemoryLogger,
  createSeededRng,
  MemoryDatabases,
  MemoryDisk,
  type MemoryLogger,
  type NodeId,
  nodeId,
  VirtualClock,
} from '../../src/base/index.js';
import { LevelLogStore, RaftDriver, type RaftLimits } from '../../src/raft/index.js';
import { StateMachine, StoreRpcClient, StoreService } from '../../src/store/index.js';
import { counterModule } from './counter-module.js';
import { type HubRpc, RpcHub } from './rpc-hub.js';

export const COORDINATORS = ['n1', 'n2', 'n3'].map(nodeId);
/** Sessions that a cluster of tests remembers. */
export const SESSIONS_MAX = 30;
const TIMING = { heartbeatMs: 50, electionMinMs: 250, electionMaxMs: 500 };

export interface Running {
  readonly rpc: HubRpc;
  readonly driver: RaftDriver;
  readonly machine: StateMachine;
  readonly service: StoreService;
  readonly client: StoreRpcClient;
}

export class Coordinator {
  readonly name: NodeId;
  readonly log: MemoryLogger = createMemoryLogger();
  readonly fatals: Error[] = [];
  readonly #world: StoreWorld;
  readonly #databases: MemoryDatabases;
  readonly #disk = new MemoryDisk();
  #boots = 0;
  #running: Running | undefined;
  /** Called when a service is made, before it starts: register methods and duties here. */
  prepare: (service: StoreService) => void = () => undefined;

  constructor(world: StoreWorld, name: NodeId) {
    this.#world = world;
    this.name = name;
    // A disk that takes a fifth of a millisecond to sync.
    this.#databases = new MemoryDatabases({
      delay: () => new Promise((resolve) => world.clock.setTimer(0.2, resolve)),
    });
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get on(): Running {
    if (this.#running === undefined) throw new Error(`${this.name} is not running`);
    return this.#running;
  }

  async start(): Promise<void> {
    const { clock, hub, seed, limits } = this.#world;
    this.#boots += 1;
    this.fatals.length = 0;
    const rng = createSeededRng(`${seed} ${this.name} ${this.#boots}`);
    const rpc = hub.join(this.name, this.#boots);
    await this.#disk.mkdir('/raft');
    const onFatal = (error: Error) => this.fatals.push(error);
    const machine = await StateMachine.open(
      { folder: '/state', modules: [counterModule], sessionCountMax: SESSIONS_MAX },
      {
        disk: this.#disk,
        log: this.log,
        openDatabase: (path) => this.#databases.open(path),
        onFatal,
        clock,
      },
    );
    const logStore = new LevelLogStore(
      { folder: '/raft', watermarkPath: '/raft/watermark' },
      { db: await this.#databases.open('/raft/log'), disk: this.#disk, clock, log: this.log },
    );
    const driver = new RaftDriver(
      {
        self: this.name,
        coordinators: COORDINATORS,
        timing: TIMING,
        limits,
        bootFile: '/raft/boot.json',
      },
      { rpc, clock, rng, disk: this.#disk, log: this.log, logStore, machine, onFatal },
    );
    const service = new StoreService({ rpc, clock, log: this.log, driver, machine });
    this.prepare(service);
    const client = new StoreRpcClient(
      { self: this.name, coordinators: COORDINATORS },
      { rpc, clock, rng: rng.fork('client'), local: service },
    );
    this.#running = { rpc, driver, machine, service, client };
    await driver.start();
  }

  /** kill -9 with loss of power. */
  kill(): void {
    const running = this.#running;
    this.#running = undefined;
    this.#world.hub.leave(this.name);
    this.#databases.crash();
    this.#disk.crash();
    running?.driver.stop().catch(() => undefined);
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.driver.stop();
    await running?.machine.close();
    this.#world.hub.leave(this.name);
  }
}

export class StoreWorld {
  readonly seed: string;
  readonly clock = new VirtualClock();
  readonly hub = new RpcHub(this.clock);
  readonly limits: Partial<RaftLimits>;
  readonly coordinators: readonly Coordinator[];

  constructor(seed: string, limits: Partial<RaftLimits> = {}) {
    this.seed = seed;
    this.limits = limits;
    this.coordinators = COORDINATORS.map((name) => new Coordinator(this, name));
  }

  async start(): Promise<void> {
    await this.run(Promise.all(this.coordinators.map((node) => node.start())));
  }

  async stop(): Promise<void> {
    const running = this.coordinators.filter(({ isRunning }) => isRunning);
    await this.run(Promise.all(running.map((node) => node.stop())));
  }

  /** A client on a node that is no coordinator. */
  client(name: string): StoreRpcClient {
    const rng = createSeededRng(`${this.seed} ${name}`);
    return new StoreRpcClient(
      { self: nodeId(name), coordinators: COORDINATORS },
      { rpc: this.hub.join(name), clock: this.clock, rng, local: undefined },
    );
  }

  /** Lets time pass until the promise settles. */
  run<T>(promise: Promise<T>, limitMs = 60_000): Promise<T> {
    return this.clock.runUntil(promise, limitMs);
  }

  async leader(): Promise<Coordinator> {
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 2) {
      const leader = this.coordinators.find(
        (node) => node.isRunning && node.on.driver.role.isReady,
      );
      if (leader !== undefined) return leader;
      await this.clock.advanceSettled(2);
    }
    throw new Error('no leader');
  }

  followers(leader: Coordinator): Coordinator[] {
    return this.coordinators.filter((node) => node.isRunning && node !== leader);
  }

  /** All running coordinators are at one index with one state; returns its hash. */
  async sameState(): Promise<string> {
    const leader = await this.leader();
    const running = this.coordinators.filter(({ isRunning }) => isRunning);
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 5) {
      const index = leader.on.machine.position.index;
      if (running.every((node) => node.on.machine.position.index === index)) break;
      await this.clock.advanceSettled(5);
    }
    const states = await Promise.all(running.map((node) => node.on.machine.stateHash()));
    const distinct = new Set(states.map(({ index, hash }) => `${index} ${hash}`));
    if (distinct.size !== 1) throw new Error(`states differ: ${[...distinct].join(', ')}`);
    return states[0]?.hash ?? '';
  }
}
