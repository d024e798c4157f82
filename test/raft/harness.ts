/**
 * A cluster of consensus cores under full control of a test: nothing moves unless told. Messages
 * wait on their links, timers ring when asked, and disks sync at once or when told.
 */
import { must, nodeId, type NodeId, type Rng } from '../../src/base/index.js';
import {
  type ConfState,
  type Effect,
  type Entry,
  type Input,
  type Message,
  RaftCore,
  type RaftLimits,
  type RaftStatus,
  type SnapshotMeta,
  type StoredState,
} from '../../src/raft/index.js';

export const TIMING = { heartbeatMs: 50, electionMinMs: 150, electionMaxMs: 300 };

/** Always the smallest draw: every timer is at its shortest. */
export const NO_CHANCE: Rng = {
  nextU32: () => 0,
  int: () => 0,
  float: () => 0,
  fork: () => NO_CHANCE,
};

type WithoutNow<I> = I extends Input ? Omit<I, 'now'> : never;
export type TimelessInput = WithoutNow<Input>;
type Persist = Extract<Effect, { kind: 'persist' }>;

export interface Packet {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
}

export interface HarnessOptions {
  readonly limits?: Partial<RaftLimits>;
  /** Terms of the entries after the bootstrap entry, by node number: a log as in the figures. */
  readonly logs?: Readonly<Record<number, readonly number[]>>;
  /** Current terms, by node number, where they exceed that of the last entry. */
  readonly terms?: Readonly<Record<number, number>>;
  readonly learners?: number;
  /** So many of the last nodes are not members yet, and empty. */
  readonly strangers?: number;
  readonly suspects?: readonly number[];
  /** How far the state machine's disk is behind what is applied. Default 0. */
  readonly durableLag?: number;
  readonly rng?: Rng;
}

/** One node: its core, what its disk holds, and what waits for its disk. */
export interface HarnessNode {
  readonly id: NodeId;
  core: RaftCore | undefined;
  hardState: StoredState['hardState'];
  snapshot: SnapshotMeta;
  entries: Entry[];
  applied: Entry[];
  isDiskHeld: boolean;
  isSuspect: boolean;
  unsynced: Persist[];
}

export class Harness {
  now = 0;
  /** In the order of sending. */
  packets: Packet[] = [];
  readonly nodes: readonly HarnessNode[];
  /** Told of every effect, in order. */
  onEffect: (node: HarnessNode, effect: Effect) => void = () => {};
  readonly #options: HarnessOptions;

  constructor(size: number, options: HarnessOptions = {}) {
    this.#options = options;
    const ids = Array.from({ length: size }, (_, at) => nodeId(`n${at + 1}`));
    const memberCount = size - (options.strangers ?? 0);
    const learners = ids.slice(memberCount - (options.learners ?? 0), memberCount);
    const voters = ids.slice(0, memberCount - learners.length);
    const founded: ConfState = { voters, outgoing: [], learners };
    this.nodes = ids.map((id, at) => {
      const isStranger = at >= memberCount;
      const conf = isStranger ? { voters: [], outgoing: [], learners: [] } : founded;
      const entries = isStranger ? [] : [entryOf(1, 1, 'bootstrap')];
      for (const term of options.logs?.[at + 1] ?? [])
        entries.push(entryOf(entries.length + 1, term));
      const term = options.terms?.[at + 1] ?? entries.at(-1)?.term ?? 0;
      return {
        id,
        core: undefined,
        hardState: { term, vote: undefined },
        snapshot: { index: 0, term: 0, conf },
        entries,
        applied: [],
        isDiskHeld: false,
        isSuspect: options.suspects?.includes(at + 1) ?? false,
        unsynced: [],
      };
    });
    for (const node of this.nodes) this.#boot(node);
  }

  node(number: number): HarnessNode {
    return must(this.nodes[number - 1], `node ${number}`);
  }

  core(number: number): RaftCore {
    return must(this.node(number).core, `the core of node ${number}`);
  }

  status(number: number): RaftStatus {
    return this.core(number).status();
  }

  /** Terms of a node's durable log, the bootstrap entry included. */
  logTerms(number: number): number[] {
    return this.node(number).entries.map((entry) => entry.term);
  }

  step(number: number, input: TimelessInput): readonly Effect[] {
    const node = this.node(number);
    const all: Effect[] = [];
    const queue: TimelessInput[] = [input];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (node.core === undefined) return all;
      const effects = node.core.step({ ...next, now: this.now } as Input);
      for (const effect of effects) {
        all.push(effect);
        this.onEffect(node, effect);
        queue.push(...this.#perform(node, effect));
      }
    }
    return all;
  }

  /** Lets the node's own timer ring, exactly when it wants to. */
  tick(number: number): readonly Effect[] {
    const deadline = this.core(number).nextDeadline();
    this.now = Math.max(this.now, Number.isFinite(deadline) ? deadline : this.now);
    return this.step(number, { kind: 'tick' });
  }

  /** Ticks until the node starts an election, then delivers everything. */
  elect(number: number): void {
    this.tick(number);
    this.deliverAll();
  }

  propose(number: number, text = 'x', id = 1): readonly Effect[] {
    const data = new TextEncoder().encode(text);
    return this.step(number, { kind: 'propose', proposals: [{ id, timeMs: 0, data }] });
  }

  /** Asks for these members, by number. */
  reconfigure(number: number, voters: readonly number[], learners: readonly number[] = []) {
    const names = (numbers: readonly number[]) => numbers.map((each) => this.node(each).id);
    return this.step(number, {
      kind: 'reconfigure',
      id: 1,
      voters: names(voters),
      learners: names(learners),
    });
  }

  send(from: number, to: number, message: Message): readonly Effect[] {
    return this.step(to, { kind: 'message', from: this.node(from).id, message });
  }

  /** Delivers what waits and matches, not what it leads to. */
  deliver(matches: (packet: Packet) => boolean = () => true): Packet[] {
    const chosen = this.take(matches);
    for (const { from, to, message } of chosen) {
      this.step(this.numberOf(to), { kind: 'message', from, message });
    }
    return chosen;
  }

  /** Delivers until nothing is on its way. */
  deliverAll(): void {
    for (let rounds = 0; this.packets.length > 0; rounds += 1) {
      if (rounds > 200) throw new Error('the cluster does not come to rest');
      this.deliver();
    }
  }

  /** Takes what matches off the links. */
  take(matches: (packet: Packet) => boolean): Packet[] {
    const chosen = this.packets.filter(matches);
    this.packets = this.packets.filter((packet) => !matches(packet));
    return chosen;
  }

  crash(number: number): void {
    const node = this.node(number);
    node.core = undefined;
    node.unsynced = [];
    node.applied = [];
    this.take(({ to }) => to === node.id);
  }

  restart(number: number): void {
    this.#boot(this.node(number));
  }

  /** The held disk completes its oldest writes, all of them unless told how many. */
  sync(number: number, count = Number.POSITIVE_INFINITY): void {
    const node = this.node(number);
    const writes = node.unsynced.slice(0, count);
    node.unsynced = node.unsynced.slice(writes.length);
    for (const write of writes) this.step(number, this.#persist(node, write));
  }

  numberOf(id: NodeId): number {
    return this.nodes.findIndex((node) => node.id === id) + 1;
  }

  #boot(node: HarnessNode): void {
    const { hardState, snapshot, entries } = node;
    const limits = this.#options.limits;
    node.core = new RaftCore(
      {
        self: node.id,
        timing: TIMING,
        rng: this.#options.rng ?? NO_CHANCE,
        isSuspect: node.isSuspect,
        ...(limits === undefined ? {} : { limits }),
      },
      { hardState, snapshot, entries: [...entries], applied: snapshot.index },
      this.now,
    );
  }

  #perform(node: HarnessNode, effect: Effect): TimelessInput[] {
    switch (effect.kind) {
      case 'send':
        this.packets.push({ from: node.id, to: effect.to, message: effect.message });
        return [];
      case 'persist':
        if (!node.isDiskHeld) return [this.#persist(node, effect)];
        node.unsynced.push(effect);
        return [];
      case 'apply': {
        node.applied.push(...effect.entries);
        const index = effect.entries.at(-1)?.index ?? 0;
        const durable = Math.max(0, index - (this.#options.durableLag ?? 0));
        return [{ kind: 'applied', index, durable }];
      }
      case 'compact':
        node.entries = node.entries.filter((entry) => entry.index > effect.upTo);
        node.snapshot = effect.meta;
        return [];
      case 'install-snapshot':
        node.entries = [];
        node.snapshot = effect.meta;
        return [{ kind: 'snapshot-installed', meta: effect.meta }];
      default:
        return [];
    }
  }

  #persist(node: HarnessNode, write: Persist): TimelessInput {
    if (write.truncateFrom !== undefined) {
      node.entries = node.entries.filter((entry) => entry.index < (write.truncateFrom ?? 0));
    }
    node.entries.push(...write.append);
    if (write.hardState !== undefined) node.hardState = write.hardState;
    for (const { to, message } of write.then) this.packets.push({ from: node.id, to, message });
    const { index, term, hardTerm } = write;
    return { kind: 'persisted', index, term, hardTerm };
  }
}

export function entryOf(index: number, term: number, kind: Entry['kind'] = 'command'): Entry {
  return { index, term, kind, timeMs: 0, data: new Uint8Array(0) };
}

/** The messages among effects that leave at once, and those that wait for the disk. */
export function sent(effects: readonly Effect[]): { to: NodeId; message: Message }[] {
  return effects.flatMap((effect) => {
    if (effect.kind === 'send') return [{ to: effect.to, message: effect.message }];
    return effect.kind === 'persist' ? [...effect.then] : [];
  });
}
