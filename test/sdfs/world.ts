/**
 * A small cluster in memory for tests of SDFS: real nodes (rpc, service, client, blob store) on a
 * memory network and memory disks under a virtual clock; the replicated state is one test store,
 * and the leader a node of its own that holds no data.
 */
import {
  type Disk,
  type Logger,
  MemoryDisk,
  type MemoryDiskOptions,
  nodeId,
  type NodeId,
  createSeededRng,
  type Rng,
  VirtualClock,
  must,
} from '../../src/base/index.js';
import {
  createRpc,
  decode,
  encode,
  MemoryNetwork,
  type RpcServer,
  type Wire,
} from '../../src/net/index.js';
import { createSdfs, type PutSource, type Sdfs, sdfsModule } from '../../src/sdfs/index.js';
import { BLOBS } from '../../src/sdfs/tables.js';
import {
  type Change,
  createTestStore,
  type LocalStore,
  type StoreClient,
  type SubmitOptions,
  type TestStore,
} from '../../src/store/index.js';

export interface WorldOptions {
  readonly nodes: number;
  readonly disk?: MemoryDiskOptions;
  /** Another disk instead of the memory disk. */
  readonly makeDisk?: (node: string, world: World) => Disk;
  readonly repairDelayMs?: number;
  readonly pruneAfterMs?: number;
}

export interface WorldNode {
  readonly name: NodeId;
  readonly port: number;
  readonly disk: MemoryDisk;
  epoch: number;
  rpc: RpcServer;
  sdfs: Sdfs;
  isRunning: boolean;
}

const HOST = '10.0.0.1';
const LEADER = nodeId('leader');
const TERM = 1;

export class World {
  readonly clock = new VirtualClock();
  readonly rng: Rng = createSeededRng('sdfs-world');
  readonly network = new MemoryNetwork({ clock: this.clock, rng: this.rng.fork('network') });
  readonly store: TestStore = createTestStore([sdfsModule]);
  readonly nodes = new Map<NodeId, WorldNode>();
  readonly lines: string[] = [];
  /** Called before each command; may throw. */
  onSubmit: ((command: string, args: readonly Wire[]) => void) | undefined;
  readonly #options: WorldOptions;
  readonly #listeners: ((changes: readonly Change[], index: number) => void)[] = [];
  #leader: WorldNode | undefined;
  #leadership = new AbortController();

  private constructor(options: WorldOptions) {
    this.#options = options;
  }

  static async create(options: WorldOptions): Promise<World> {
    const world = new World(options);
    for (let at = 1; at <= options.nodes; at += 1) {
      const name = nodeId(`n${at}`);
      const disk = new MemoryDisk(options.disk ?? {});
      world.nodes.set(name, await world.#startNode(name, 7000 + at, disk, 1));
    }
    world.#leader = await world.#startNode(LEADER, 7000, new MemoryDisk(), 1);
    for (const node of world.nodes.values()) world.#register(node);
    for (const a of [...world.nodes.values(), world.#leader]) world.#introduce(a);
    world.lead();
    await world.run(world.clock.sleep(50));
    return world;
  }

  /** Starts the duties anew, as a new leadership would. */
  lead(): void {
    this.#leadership.abort();
    this.#leadership = new AbortController();
    for (const duty of must(this.#leader, 'leader').sdfs.duties) {
      duty.lead(TERM, this.#leadership.signal);
    }
  }

  node(name: string): WorldNode {
    return must(this.nodes.get(nodeId(name)), name);
  }

  client(name = 'n1') {
    return this.node(name).sdfs.client;
  }

  /** Lets virtual time pass until the promise settles. */
  run<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    return this.clock.runUntil(promise, limitMs);
  }

  sleep(ms: number): Promise<void> {
    return this.run(this.clock.sleep(ms), ms + 1_000);
  }

  /** Waits until it holds; throws TIMEOUT after the limit. */
  async until(holds: () => boolean | Promise<boolean>, limitMs = 120_000): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!(await holds())) await this.clock.sleep(100);
    };
    await this.run(wait(), limitMs);
  }

  /** The process is gone; with `mark`, Raft has decided so too. */
  kill(name: string, mark = true): void {
    const node = this.node(name);
    node.isRunning = false;
    this.network.crash(name);
    void node.sdfs.stop();
    if (mark) this.mark(name, 'down');
  }

  mark(name: string, status: string): void {
    const { epoch } = this.node(name);
    this.apply('nodes.mark', [{ name, epoch, status }]);
  }

  async restart(name: string): Promise<void> {
    const node = this.node(name);
    if (node.isRunning) this.kill(name, false);
    node.disk.crash();
    const fresh = await this.#startNode(node.name, node.port, node.disk, node.epoch + 1);
    Object.assign(node, fresh);
    this.#introduce(node);
    this.#register(node);
  }

  apply(command: string, args: readonly Wire[]): Wire {
    const nowMs = this.clock.wall();
    try {
      return this.store.apply(command, args, { nowMs, term: TERM });
    } finally {
      const { changes, appliedIndex } = this.store;
      if (changes.length > 0)
        for (const listener of this.#listeners) listener(changes, appliedIndex);
    }
  }

  /** Stops everything, so that no timer is left to run. */
  end(): void {
    this.#leadership.abort();
    for (const node of this.nodes.values()) void node.sdfs.stop();
  }

  async #startNode(
    name: NodeId,
    port: number,
    disk: MemoryDisk,
    epoch: number,
  ): Promise<WorldNode> {
    const logger = this.#logger(name);
    const rpc = createRpc({
      self: { name, kind: 'node', bootEpoch: epoch },
      cluster: 'test',
      fingerprint: 'f',
      network: this.network.node(name),
      clock: this.clock,
      logger,
    });
    await rpc.listen(HOST, port);
    const sdfs = createSdfs(
      {
        self: name,
        bootEpoch: epoch,
        root: '/data',
        copies: 4,
        repairDelayMs: this.#options.repairDelayMs ?? 10_000,
        ...(this.#options.pruneAfterMs === undefined
          ? {}
          : { pruneAfterMs: this.#options.pruneAfterMs }),
      },
      {
        rpc,
        store: this.#storeClient(),
        localStore: name === LEADER ? this.#localStore() : undefined,
        clock: this.clock,
        rng: this.rng.fork(name),
        disk: this.#options.makeDisk?.(name, this) ?? disk,
        logger,
      },
    );
    await sdfs.start();
    return { name, port, disk, epoch, rpc, sdfs, isRunning: true };
  }

  #register(node: WorldNode): void {
    const { name, epoch, port } = node;
    this.apply('nodes.register', [{ name, epoch, host: HOST, port, slots: 1, bootWallMs: 0 }]);
  }

  #introduce(node: WorldNode): void {
    for (const other of [...this.nodes.values(), ...(this.#leader ? [this.#leader] : [])]) {
      node.rpc.setAddress(other.name, { host: HOST, port: other.port });
      other.rpc.setAddress(node.name, { host: HOST, port: node.port });
    }
  }

  #storeClient(): StoreClient {
    return {
      submit: async (command, args, options) => {
        await this.#trip(options);
        this.onSubmit?.(command, args);
        return this.apply(command, args);
      },
      openSession: async () => this.store.openSession(),
      query: async (query, args, options) => {
        await this.#trip(options);
        return decode(encode(await this.store.query(query, decode(encode(args)) as Wire[])));
      },
      callLeader: async (method, args, options) => {
        await this.#trip(options);
        const handler = must(must(this.#leader, 'leader').sdfs.leaderMethods[method], method);
        const signal = options?.signal ?? new AbortController().signal;
        const copied = decode(encode(args)) as Wire[];
        return decode(encode(await handler(copied, { peer: undefined, signal, term: TERM })));
      },
    };
  }

  #localStore(): LocalStore {
    return {
      view: () => this.store.view(),
      readBarrier: async () => this.store.appliedIndex,
      onChanges: (listener) => {
        this.#listeners.push(listener);
      },
      propose: async (command, args, options) => {
        await this.#trip(options);
        return this.apply(command, args);
      },
    };
  }

  /** A round to the leader and its disk. */
  #trip(options: SubmitOptions | undefined): Promise<void> {
    return this.clock.sleep(1, options?.signal);
  }

  #logger(node: string): Logger {
    const line =
      (level: string) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
        this.lines.push(
          `${Math.round(this.clock.now())} ${node} ${level} ${event} ${describe(fields)}`,
        );
      };
    const logger: Logger = {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => logger,
    };
    return logger;
  }
}

function describe(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? value.message : String(value)}`)
    .join(' ');
}

/** Bytes that look random and are the same for the same seed. */
export function bytesOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2654435761) >>> 0;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export interface SourceOptions {
  readonly chunkBytes?: number;
  readonly isLengthUnknown?: boolean;
  /** Called before each chunk. */
  readonly onChunk?: (at: number) => void | Promise<void>;
}

/** A source over bytes in memory. */
export function sourceOf(name: string, bytes: Uint8Array, options: SourceOptions = {}): PutSource {
  const chunkBytes = options.chunkBytes ?? 64 * 1024;
  return {
    name,
    bytes: options.isLengthUnknown === true ? undefined : bytes.length,
    async *open() {
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        await options.onChunk?.(at);
        yield bytes.subarray(at, at + chunkBytes);
      }
    },
  };
}

export async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Files f0, f1, … from all nodes in turn. */
export async function putFiles(world: World, count: number, size = 2_000): Promise<void> {
  const put = async (): Promise<void> => {
    for (let at = 0; at < count; at += 1) {
      await world
        .client(`n${(at % world.nodes.size) + 1}`)
        .put(sourceOf(`f${at}`, bytesOf(size, at)));
    }
  };
  await world.run(put());
}

/** Small files PREFIX/0, … in packs. */
export async function putGroup(world: World, count: number, prefix = 'g'): Promise<void> {
  const put = async (): Promise<void> => {
    const sources = (async function* () {
      for (let at = 0; at < count; at += 1) yield sourceOf(`${prefix}/${at}`, bytesOf(300, at));
    })();
    for await (const result of world.client().putMany(sources)) void result;
  };
  await world.run(put());
}

/** Copies of each blob on nodes that run, by what the record says. */
export function copiesUp(world: World): number[] {
  return world.store
    .rows(BLOBS)
    .map(([, row]) => row.holders.filter((node) => world.node(node).isRunning).length);
}

/** Has every blob its four copies? */
export function isWhole(world: World): boolean {
  return copiesUp(world).every((copies) => copies >= 4);
}

/** Ids of the blobs on a node's disk. */
export async function filesOn(world: World, name: string): Promise<number[]> {
  const { disk } = world.node(name);
  const ids: number[] = [];
  for (const folder of await world.run(disk.list('/data/blobs'))) {
    ids.push(...(await world.run(disk.list(`/data/blobs/${folder}`))).map(Number));
  }
  return ids.sort((a, b) => a - b);
}
