/**
 * A small cluster in memory for this module's tests: real workers, coordinators, clients and
 * commands, on a virtual clock; the log, SDFS and inference are stand-ins of a few lines each.
 *
 * One test store stands for the replicated state of all coordinators: what is proposed is applied
 * after `commitMs`, unless leadership has ended meanwhile. Leadership is given and taken by the
 * test. SDFS keeps versions in a map. Inference takes `itemMs` for each item, and one that is
 * named in `poison` kills its host.
 */
import { createHash } from 'node:crypto';
import {
  createSilentLogger,
  IdunnoError,
  MemoryDisk,
  must,
  nodeId,
  VirtualClock,
} from '../../src/base/index.js';
import {
  type ChunkResult,
  createIdunno,
  type Engine,
  type EngineItem,
  type EngineListener,
  type EngineModel,
  type Idunno,
  idunnoModule,
  type Seat,
  type WorkersWanted,
} from '../../src/idunno/index.js';
import type { Wire } from '../../src/net/index.js';
import type { SdfsClient } from '../../src/sdfs/index.js';
import {
  type Change,
  createTestStore,
  type LocalStore,
  type NodeStatus,
  type StoreClient,
  type TestStore,
} from '../../src/store/index.js';
import type { Member, MemberState } from '../../src/swim/index.js';

export interface WorldOptions {
  /** From a proposal to its application. Default 2 ms. */
  readonly commitMs?: number;
  /** Time to infer one item. Default 5 ms. */
  readonly itemMs?: (model: string, node: string) => number;
  /** Inputs, by name, that kill the model host. */
  readonly poison?: ReadonlySet<string>;
  readonly slots?: number;
}

export const MANIFEST = `name: NAME
version: 1
weights: model.onnx
labels: labels.txt
input:
  width: 2
  height: 2
output:
  kind: classification
`;

interface Stored {
  readonly versions: Uint8Array[];
}

export class World {
  readonly clock = new VirtualClock();
  readonly store: TestStore = createTestStore([idunnoModule]);
  readonly files = new Map<string, Stored>();
  readonly nodes = new Map<string, Idunno>();
  readonly engines = new Map<string, FakeEngine>();
  /** Calls to the leader, by node. */
  readonly calls = new Map<string, number>();
  /** Nodes whose calls to the leader are lost on the way. */
  readonly cutOff = new Set<string>();
  /** Names of inputs whose bytes cannot be read at the moment. */
  readonly unreadable = new Set<string>();
  readonly #options: WorldOptions;
  readonly #listeners = new Set<(changes: readonly Change[], index: number) => void>();
  readonly #notices = new Map<string, (args: readonly Wire[]) => void>();
  readonly #suspicions = new Set<(node: string, state: MemberState) => void>();
  #leader: { name: string; abort: AbortController } | undefined;
  #term = 0;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
  }

  /** A node that is worker and coordinator, registered and started. */
  async addNode(name: string, epoch = 1): Promise<Idunno> {
    const engine = new FakeEngine(name, this.clock, this.#options);
    const idunno = createIdunno(
      {
        self: nodeId(name),
        bootEpoch: epoch,
        slots: this.#options.slots ?? 1,
        dir: '/data',
      },
      {
        clock: this.clock,
        disk: new MemoryDisk(),
        logger: createSilentLogger(),
        rpc: {
          handleNotice: (_, handler) =>
            this.#notices.set(name, (args) =>
              handler(args, new Uint8Array(0), { kind: 'node', name: 'x', bootEpoch: 1 }),
            ),
          notify: (to, _, args) => this.#notices.get(to)?.(args),
        },
        store: this.#client(name, epoch),
        localStore: this.#local(name),
        sdfs: this.sdfs,
        engine,
        membership: {
          onChange: (listener) => {
            this.#suspicions.add((node, state) =>
              listener({ member: memberOf(node, state), before: undefined }),
            );
          },
        },
      },
    );
    this.nodes.set(name, idunno);
    this.engines.set(name, engine);
    this.apply('nodes.register', [
      { name, epoch, host: '127.0.0.1', port: 1, slots: 1, bootWallMs: 1 },
    ]);
    await idunno.start();
    return idunno;
  }

  /** The process is gone; the cluster has not noticed. */
  async kill(name: string): Promise<void> {
    const node = must(this.nodes.get(name), `node ${name}`);
    this.nodes.delete(name);
    this.#notices.delete(name);
    if (this.#leader?.name === name) this.depose();
    await node.stop();
  }

  mark(name: string, status: NodeStatus, epoch = 1): void {
    this.apply('nodes.mark', [{ name, epoch, status }]);
  }

  /** What SWIM says of a node, to everyone. */
  say(node: string, state: MemberState): void {
    for (const tell of this.#suspicions) tell(node, state);
  }

  /** From now on this node leads. */
  elect(name: string): void {
    this.depose();
    const abort = new AbortController();
    this.#leader = { name, abort };
    this.#term += 1;
    for (const duty of this.node(name).duties) duty.lead(this.#term, abort.signal);
  }

  depose(): void {
    const before = this.#leader;
    this.#leader = undefined;
    before?.abort.abort(new IdunnoError('NOT_LEADER', 'deposed'));
  }

  node(name: string): Idunno {
    return must(this.nodes.get(name), `node ${name}`);
  }

  get client() {
    return must([...this.nodes.values()][0], 'a node').client;
  }

  putInputs(prefix: string, count: number): void {
    for (let at = 0; at < count; at += 1) {
      const name = `${prefix}${String(at).padStart(4, '0')}.png`;
      this.#put(name, Buffer.from(name));
    }
  }

  async deploy(name: string, workers: WorkersWanted = null) {
    const files = [
      { name: 'model.yaml', bytes: Buffer.from(MANIFEST.replace('NAME', name)) },
      { name: 'model.onnx', bytes: Buffer.from('weights') },
      { name: 'labels.txt', bytes: Buffer.from('a\nb\n') },
    ];
    return this.clock.runUntil(this.client.deploy(files, { workers }));
  }

  /** Lets time pass until the condition holds; fails after `limitMs`. */
  async until(what: string, condition: () => boolean, limitMs = 600_000): Promise<void> {
    const endMs = this.clock.now() + limitMs;
    while (!condition()) {
      if (this.clock.now() > endMs) throw new Error(`${what} did not happen`);
      await this.clock.advanceSettled(5);
    }
  }

  async stop(): Promise<void> {
    this.depose();
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
  }

  apply(command: string, args: readonly Wire[]): Wire {
    const nowMs = Math.floor(this.clock.wall());
    const value = this.store.apply(command, args, { nowMs, term: this.#term });
    for (const listener of this.#listeners) {
      listener(this.store.changes, this.store.appliedIndex);
    }
    return value;
  }

  #local(name: string): LocalStore {
    return {
      view: () => this.store.view(),
      readBarrier: async () => this.store.appliedIndex,
      onChanges: (listener) => void this.#listeners.add(listener),
      propose: async (command, args) => {
        const leader = this.#leader;
        if (leader?.name !== name) throw new IdunnoError('NOT_LEADER', `${name} does not lead`);
        await this.clock.sleep(this.#options.commitMs ?? 2);
        if (this.#leader !== leader) {
          throw new IdunnoError('UNKNOWN_OUTCOME', 'leadership was lost meanwhile');
        }
        return this.apply(command, args);
      },
    };
  }

  #client(name: string, bootEpoch: number): StoreClient {
    return {
      submit: async (command, args) => {
        await this.clock.sleep(this.#options.commitMs ?? 2);
        return this.apply(command, args);
      },
      openSession: async () => 1,
      query: async (query, args) => this.store.query(query, args),
      callLeader: async (method, args, options) => {
        this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
        await this.clock.sleep(0.2);
        if (this.cutOff.has(name)) throw new IdunnoError('CONNECTION_LOST', 'cut off');
        const leader = this.#leader;
        if (leader === undefined) throw new IdunnoError('NO_LEADER', 'nobody leads');
        const handler = must(this.node(leader.name).leaderMethods[method], method);
        const peer = { kind: 'node', name, bootEpoch } as const;
        const signal = options?.signal ?? new AbortController().signal;
        return handler(args, { peer, signal, term: this.#term });
      },
    };
  }

  #put(name: string, bytes: Uint8Array): number {
    const stored = this.files.get(name) ?? { versions: [] };
    stored.versions.push(bytes);
    this.files.set(name, stored);
    return stored.versions.length;
  }

  #find(name: string, version?: number): { bytes: Uint8Array; version: number } {
    const stored = this.files.get(name);
    if (stored === undefined) throw new IdunnoError('FILE_NOT_FOUND', `there is no ${name}`);
    const number = version ?? stored.versions.length;
    const bytes = stored.versions[number - 1];
    if (bytes === undefined) throw new IdunnoError('VERSION_NOT_FOUND', `${name} v${number}`);
    return { bytes, version: number };
  }

  /** As much of SDFS as this module uses. */
  readonly sdfs: SdfsClient = {
    put: async (source) => {
      const parts: Uint8Array[] = [];
      for await (const part of source.open()) parts.push(part);
      await this.clock.sleep(3);
      const bytes = Buffer.concat(parts);
      const version = this.#put(source.name, bytes);
      return { ...this.#facts(source.name, version), copies: 4, wanted: 4 };
    },
    get: async (name, options) => {
      const { bytes, version } = this.#find(name, options?.version);
      async function* chunks() {
        for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
      }
      return { file: this.#facts(name, version), chunks: chunks() };
    },
    readMany: async (refs) => {
      await this.clock.sleep(1);
      return refs.map(({ name, version }) => {
        if (this.unreadable.has(name)) return new IdunnoError('UNAVAILABLE', `${name} is away`);
        try {
          return this.#find(name, version).bytes;
        } catch (error) {
          return error as Error;
        }
      });
    },
    stat: async (name, version) => this.#facts(name, this.#find(name, version).version),
    resolve: async (selector) => {
      const names =
        'names' in selector
          ? selector.names
          : [...this.files.keys()].filter((name) =>
              name.startsWith(
                'prefix' in selector ? selector.prefix : (selector.glob.split('*')[0] ?? ''),
              ),
            );
      const files = [...names].sort().map((name) => {
        const { bytes, version } = this.#find(name);
        return { name, version, bytes: bytes.length };
      });
      return { files, next: undefined };
    },
    putMany: () => notUsed(),
    versions: () => notUsed(),
    list: () => notUsed(),
    delete: async (name) => {
      this.files.delete(name);
    },
    storeOf: () => notUsed(),
    report: () => notUsed(),
  };

  #facts(name: string, version: number) {
    const { bytes } = this.#find(name, version);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { name, version, bytes: bytes.length, sha256, createdMs: 0, holders: [] };
  }
}

function memberOf(name: string, state: MemberState): Member {
  const place = { name: nodeId(name), host: '127.0.0.1', port: 1 };
  const times = { bootEpoch: 1, incarnation: 1, bootWallMs: 1, sinceMs: 0, stalledMs: 0 };
  return { ...place, ...times, state };
}

function notUsed(): never {
  throw new Error('not part of the world');
}

/** Takes its time and labels every input with its own name. */
export class FakeEngine implements Engine {
  readonly #node: string;
  readonly #clock: VirtualClock;
  readonly #options: WorldOptions;
  readonly #warm = new Map<string, EngineModel>();
  #listener: EngineListener = () => undefined;
  #busy = 0;
  #isStopped = false;
  /** Models whose load fails, with the reason. */
  readonly refuses = new Map<string, string>();
  crashes = 0;
  /** Items computed, counting repetitions by mistake. */
  computed = 0;

  constructor(node: string, clock: VirtualClock, options: WorldOptions) {
    this.#node = node;
    this.#clock = clock;
    this.#options = options;
  }

  onState(listener: EngineListener): void {
    this.#listener = listener;
  }

  load(model: EngineModel): void {
    this.#listener(model, 'loading', undefined);
    this.#clock.setTimer(50, () => {
      if (this.#isStopped) return;
      const reason = this.refuses.get(model.name);
      if (reason === undefined) this.#warm.set(`${model.name}@${model.revision}`, model);
      this.#listener(model, reason === undefined ? 'warm' : 'failed', reason);
    });
  }

  unload(name: string, revision: number): void {
    this.#warm.delete(`${name}@${revision}`);
  }

  acquire(name: string, revision: number): Seat | undefined {
    const model = this.#warm.get(`${name}@${revision}`);
    if (model === undefined || this.#busy >= (this.#options.slots ?? 1)) return undefined;
    this.#busy += 1;
    return {
      infer: (items) => this.#infer(model, items),
      release: () => {
        this.#busy -= 1;
      },
    };
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#warm.clear();
  }

  async #infer(model: EngineModel, items: readonly EngineItem[]): Promise<ChunkResult> {
    const itemMs = this.#options.itemMs?.(model.name, this.#node) ?? 5;
    await this.#clock.sleep(itemMs * items.length);
    if (this.#isStopped) throw new IdunnoError('MODEL_CRASHED', 'the node has ended');
    if (items.some((item) => this.#options.poison?.has(item.input))) {
      this.crashes += 1;
      this.#warm.delete(`${model.name}@${model.revision}`);
      this.load(model);
      throw new IdunnoError('MODEL_CRASHED', 'the model host died of SIGSEGV');
    }
    this.computed += items.length;
    const failed = items.filter((item) => item.bytes === undefined);
    const lines = items.map(({ item, repetition, input, version, bytes, error }) => {
      const result = bytes === undefined ? { error } : { top: [{ label: input, score: 1 }] };
      return `${JSON.stringify({ item, repetition, input, version, ...result })}\n`;
    });
    return {
      lines: Buffer.from(lines.join('')),
      failed: failed.length,
      named: failed.map((item) => [item.query, item.error ?? ''] as const),
    };
  }
}
