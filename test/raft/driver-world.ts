/**
 * Coordinators in one process on a virtual clock: the driver with a log store on a database in
 * memory, a machine that keeps what it was given, and calls without sockets.
 */
import {
  createMemoryLogger,
  createSeededRng,
  type LogIndex,
  MemoryDatabases,
  MemoryDisk,
  type MemoryLogger,
  type NodeId,
  nodeId,
  type Term,
  VirtualClock,
} from '../../src/base/index.js';
import {
  type Entry,
  LevelLogStore,
  RaftDriver,
  type RaftDriverOptions,
  type ReplicatedMachine,
  type SnapshotMeta,
} from '../../src/raft/index.js';
import { type HubRpc, RpcHub } from '../store/rpc-hub.js';

export const NAMES = ['n1', 'n2', 'n3'] as const;
const TIMING = { heartbeatMs: 50, electionMinMs: 250, electionMaxMs: 500 };

/** What a machine keeps on its disk. */
interface Kept {
  commands: { index: LogIndex; text: string }[];
  index: LogIndex;
  term: Term;
  installed: SnapshotMeta | undefined;
}

/** Keeps the texts of the commands; durable a millisecond later. */
export class ListMachine implements ReplicatedMachine {
  readonly #clock: VirtualClock;
  readonly #disk: Kept;
  readonly #listeners: ((index: LogIndex) => void)[] = [];
  #now: Kept;
  #staged: Kept | undefined;
  snapshots = 0;

  constructor(clock: VirtualClock, disk: Kept) {
    this.#clock = clock;
    this.#disk = disk;
    this.#now = structuredClone(disk);
  }

  get texts(): string[] {
    return this.#now.commands.map(({ text }) => text);
  }

  /** Applied commands with their places in the log. */
  get commands(): readonly { readonly index: LogIndex; readonly text: string }[] {
    return this.#now.commands;
  }

  get appliedIndex(): LogIndex {
    return this.#disk.index;
  }

  get installedSnapshot(): SnapshotMeta | undefined {
    return this.#disk.installed;
  }

  apply(entries: readonly Entry[]): readonly unknown[] {
    const results = entries.map(({ index, term, kind, data }) => {
      if (index !== this.#now.index + 1) throw new Error(`${index} after ${this.#now.index}`);
      this.#now.index = index;
      this.#now.term = term;
      if (kind !== 'command') return undefined;
      const text = Buffer.from(data).toString('utf8');
      this.#now.commands.push({ index, text });
      return `done ${text}`;
    });
    const { index } = this.#now;
    this.#clock.setTimer(1, () => {
      if (index <= this.#disk.index) return;
      Object.assign(this.#disk, structuredClone(this.#now));
      for (const listener of this.#listeners) listener(this.#disk.index);
    });
    return results;
  }

  onDurable(listener: (index: LogIndex) => void): void {
    this.#listeners.push(listener);
  }

  async image() {
    this.snapshots += 1;
    const bytes = Buffer.from(JSON.stringify(this.#now));
    const { index, term } = this.#now;
    const open = async function* () {
      yield bytes;
    };
    return { index, term, open, close: async () => undefined };
  }

  async stage(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    const kept = JSON.parse(Buffer.concat(parts).toString('utf8')) as Kept;
    if (kept.index !== meta.index) throw new Error('another snapshot');
    this.#staged = { ...kept, installed: meta };
  }

  async startOver(): Promise<void> {
    Object.assign(this.#disk, { commands: [], index: 0, term: 0, installed: undefined });
    this.#now = structuredClone(this.#disk);
    this.#staged = undefined;
  }

  async installStaged(meta: SnapshotMeta): Promise<void> {
    if (this.#staged?.index !== meta.index) throw new Error('nothing is staged');
    Object.assign(this.#disk, structuredClone(this.#staged));
    this.#now = structuredClone(this.#staged);
  }
}

export class TestNode {
  readonly name: NodeId;
  readonly databases = new MemoryDatabases();
  readonly disk = new MemoryDisk();
  readonly log: MemoryLogger = createMemoryLogger();
  readonly fatals: Error[] = [];
  kept: Kept = { commands: [], index: 0, term: 0, installed: undefined };
  #boots = 0;
  #world: DriverWorld;
  #driver: RaftDriver | undefined;
  #machine: ListMachine | undefined;
  #rpc: HubRpc | undefined;

  constructor(world: DriverWorld, name: string) {
    this.#world = world;
    this.name = nodeId(name);
  }

  get driver(): RaftDriver {
    if (this.#driver === undefined) throw new Error(`${this.name} is not running`);
    return this.#driver;
  }

  get machine(): ListMachine {
    if (this.#machine === undefined) throw new Error(`${this.name} is not running`);
    return this.#machine;
  }

  get rpc(): HubRpc {
    if (this.#rpc === undefined) throw new Error(`${this.name} is not running`);
    return this.#rpc;
  }

  get isRunning(): boolean {
    return this.#driver !== undefined;
  }

  async start(options: Partial<RaftDriverOptions> = {}): Promise<void> {
    const { clock, hub } = this.#world;
    this.#boots += 1;
    await this.disk.mkdir('/raft');
    this.#rpc = hub.join(this.name, this.#boots);
    this.#machine = new ListMachine(clock, this.kept);
    const logStore = new LevelLogStore(
      { folder: '/raft', watermarkPath: '/raft/watermark' },
      { db: await this.databases.open('/raft/log'), disk: this.disk, clock, log: this.log },
    );
    this.#driver = new RaftDriver(
      {
        self: this.name,
        coordinators: this.#world.nodes.map(({ name }) => name),
        timing: TIMING,
        bootFile: '/raft/boot.json',
        ...options,
      },
      {
        rpc: this.#rpc,
        clock,
        rng: createSeededRng(`${this.#world.seed} ${this.name} ${this.#boots}`),
        disk: this.disk,
        log: this.log,
        logStore,
        machine: this.#machine,
        onFatal: (error) => this.fatals.push(error),
      },
    );
    await this.#driver.start();
  }

  /** kill -9 and loss of power: what was not synced is gone. */
  async kill(): Promise<void> {
    const driver = this.#driver;
    this.#driver = undefined;
    this.#world.hub.leave(this.name);
    this.databases.crash();
    this.disk.crash();
    this.kept = structuredClone(this.kept);
    await driver?.stop().catch(() => undefined);
  }

  async stop(): Promise<void> {
    const driver = this.#driver;
    this.#driver = undefined;
    await driver?.stop();
    this.#world.hub.leave(this.name);
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.databases.wipe();
    this.disk.wipe();
    this.kept = { commands: [], index: 0, term: 0, installed: undefined };
  }
}

export class DriverWorld {
  readonly seed: string;
  readonly clock = new VirtualClock();
  readonly hub = new RpcHub(this.clock);
  readonly nodes: readonly TestNode[];

  constructor(seed: string, names: readonly string[] = NAMES) {
    this.seed = seed;
    this.nodes = names.map((name) => new TestNode(this, name));
  }

  node(name: string): TestNode {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  async startAll(options: Partial<RaftDriverOptions> = {}): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start(options)));
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.nodes.filter((node) => node.isRunning).map((node) => node.stop()));
  }

  /** The one ready leader among the running nodes; time passes until there is one. */
  async leader(limitMs = 20_000): Promise<TestNode> {
    return this.until('a leader', limitMs, () =>
      this.nodes.find((node) => node.isRunning && node.driver.role.isReady),
    );
  }

  followers(leader: TestNode): TestNode[] {
    return this.nodes.filter((node) => node.isRunning && node !== leader);
  }

  async until<T>(what: string, limitMs: number, probe: () => T | undefined): Promise<T> {
    const endsAt = this.clock.now() + limitMs;
    for (;;) {
      const found = probe();
      if (found !== undefined && found !== false) return found;
      if (this.clock.now() >= endsAt) throw new Error(`${what} did not come in ${limitMs} ms`);
      await this.clock.advanceSettled(2);
    }
  }

  propose(node: TestNode, text: string, timeoutMs = 10_000) {
    return node.driver.propose(Buffer.from(text), { timeoutMs });
  }

  /** Proposes and lets time pass until it is done. */
  async commit(node: TestNode, text: string): Promise<LogIndex> {
    return (await this.clock.runUntil(this.propose(node, text))).index;
  }

  /** All running nodes have applied what the leader has. */
  async converge(): Promise<void> {
    const leader = await this.leader();
    await this.until('convergence', 20_000, () => {
      const { applied } = leader.driver;
      return this.nodes.every((node) => !node.isRunning || node.driver.applied >= applied)
        ? true
        : undefined;
    });
  }
}

/** Three nodes that have found a leader. */
export async function ledWorld(
  seed: string,
): Promise<{ readonly world: DriverWorld; readonly leader: TestNode }> {
  const world = new DriverWorld(seed);
  await world.startAll();
  return { world, leader: await world.leader() };
}
