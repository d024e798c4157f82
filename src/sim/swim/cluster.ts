/**
 * A cluster of membership cores on a virtual clock and a network that delays, loses, duplicates and
 * cuts. Every packet goes through the real codec, so what is simulated is what is sent.
 *
 * Faults: crash (silent for good), restart (a new boot epoch), freeze (the process stands still and
 * answers its backlog afterwards), stall (only its main thread stands still), and those of the
 * network (lossy-network.ts).
 *
 * Checked after every step, in every run: packets keep their budget, encode and decode to what they
 * were; identities and incarnations never go back; nobody lists a member that never was.
 */
import {
  assert,
  createSeededRng,
  crc32c,
  type Ms,
  must,
  type NodeId,
  nodeId,
  PRESETS,
  type Rng,
  type Timer,
  VirtualClock,
} from '../../base/index.js';
import {
  clusterNumber,
  createTiming,
  decodePacket,
  type Effect,
  encodePacket,
  type Input,
  type Introducer,
  type Member,
  type MemberRecord,
  type MemberState,
  type Origin,
  type Packet,
  type StreamPeer,
  SwimCore,
  type SwimTiming,
} from '../../swim/index.js';
import { LossyNetwork, type LossyNetworkOptions } from './lossy-network.js';

export interface SwimClusterOptions extends LossyNetworkOptions {
  readonly size: number;
  readonly seed: number | string;
  readonly timing?: SwimTiming;
  /** Start as a cluster that has known itself for long; else every node finds the others itself. */
  readonly isWarm?: boolean;
  /** How many of the nodes the config file names; the others come with `join`. Default: all. */
  readonly configured?: number;
}

/** A change on one node's list, with the virtual time. */
export interface Observation {
  readonly atMs: Ms;
  readonly observer: NodeId;
  readonly member: Member;
  readonly before: MemberState | undefined;
}

interface SimNode {
  readonly name: NodeId;
  readonly index: number;
  readonly port: number;
  epoch: number;
  core: SwimCore;
  isUp: boolean;
  frozenUntilMs: Ms;
  timer: Timer | undefined;
  timerMs: Ms;
  links: ReadonlySet<NodeId>;
  /** Last identity seen per member, to notice if one goes back. */
  seen: Map<NodeId, { epoch: number; incarnation: number }>;
}

const CLUSTER = clusterNumber('sim');
const HOST = '10.0.0.1';
const PORT_BASE = 10_000;

export class SwimCluster {
  readonly clock = new VirtualClock();
  readonly timing: SwimTiming;
  readonly observations: Observation[] = [];
  /** Called with every UDP packet as it is sent, and whether it will arrive. */
  onPacket: ((from: NodeId, to: NodeId, packet: Packet, isLost: boolean) => void) | undefined;
  #hash = 0;
  readonly #nodes: SimNode[] = [];
  readonly #byName = new Map<NodeId, SimNode>();
  readonly #byPort = new Map<number, SimNode>();
  readonly #options: SwimClusterOptions;
  readonly #network: LossyNetwork;
  readonly #rng: Rng;
  #syncs = 0;
  #overslept = 0;

  constructor(options: SwimClusterOptions) {
    this.#options = options;
    this.timing = options.timing ?? createTiming(PRESETS.local.swim);
    this.#rng = createSeededRng(options.seed);
    this.#network = new LossyNetwork(this.clock, this.#rng.fork('network'), options);
    const digits = String(options.size).length;
    for (let index = 0; index < options.size; index++) {
      const name = nodeId(`n${String(index + 1).padStart(digits, '0')}`);
      this.#addNode(name, index);
    }
    for (const node of this.#nodes) this.#boot(node);
    if (options.isWarm === true) this.#warm();
  }

  get names(): readonly NodeId[] {
    return this.#nodes.map((node) => node.name);
  }

  /** What the network carried, the faults that struck, and what they led to. */
  get counts() {
    return { ...this.#network.counts, syncs: this.#syncs, overslept: this.#overslept };
  }

  set lossRate(rate: number) {
    this.#network.lossRate = rate;
  }

  /** One number over everything that was delivered and decided so far. */
  get traceHash(): number {
    return this.#hash;
  }

  core(name: NodeId): SwimCore {
    return this.#node(name).core;
  }

  /** Names of nodes whose process runs. */
  up(): readonly NodeId[] {
    return this.#nodes.filter((node) => node.isUp).map((node) => node.name);
  }

  run(ms: Ms): void {
    this.clock.advance(ms);
  }

  /** Runs until the condition holds, looking every 5 ms; the virtual time it took. */
  runUntil(condition: () => boolean, limitMs: Ms): Ms {
    const start = this.clock.now();
    while (!condition()) {
      assert(this.clock.now() - start < limitMs, `the condition did not come in ${limitMs} ms`);
      this.clock.advance(5);
    }
    return this.clock.now() - start;
  }

  crash(...names: readonly NodeId[]): void {
    for (const name of names) {
      const node = this.#node(name);
      node.isUp = false;
      this.#disarm(node);
    }
  }

  /** The process starts again, under the next boot epoch. */
  restart(name: NodeId): void {
    const node = this.#node(name);
    this.crash(name);
    node.epoch++;
    node.frozenUntilMs = 0;
    this.#boot(node);
  }

  /** The whole process stands still; it meets its backlog when it goes on. */
  freeze(name: NodeId, ms: Ms): void {
    const node = this.#node(name);
    node.frozenUntilMs = this.clock.now() + ms;
    this.#disarm(node);
    // As the driver does: what waits in the socket is read before the late tick.
    this.clock.setTimer(ms + 0.01, () => {
      this.#step(node, { kind: 'tick', now: this.clock.now() });
    });
  }

  /** Tells the membership thread for how long the main thread has stood still. */
  stall(name: NodeId, stalledMs: Ms): void {
    this.#step(this.#node(name), { kind: 'stalled', now: this.clock.now(), stalledMs });
  }

  leave(name: NodeId): void {
    this.#step(this.#node(name), { kind: 'leave', now: this.clock.now() });
  }

  join(name: NodeId): void {
    this.#step(this.#node(name), { kind: 'join', now: this.clock.now() });
  }

  /** Only nodes of the same group reach each other; without groups the network is whole. */
  partition(...groups: readonly (readonly NodeId[])[]): void {
    this.#network.partition(groups);
  }

  /** States of one member on all running lists but its own. */
  statesOf(name: NodeId): readonly (MemberState | undefined)[] {
    return this.#nodes
      .filter((node) => node.isUp && node.name !== name)
      .map((node) => node.core.get(name)?.state);
  }

  /** Do all running nodes list exactly the running nodes as Active, with their present epochs? */
  isConverged(): boolean {
    const up = this.#nodes.filter((node) => node.isUp);
    return up.every((node) => {
      const active = node.core.members().filter((member) => member.state === 'active');
      return (
        active.length === up.length &&
        active.every((member) => this.#byName.get(member.name)?.epoch === member.bootEpoch)
      );
    });
  }

  #node(name: NodeId): SimNode {
    return must(this.#byName.get(name), name);
  }

  #addNode(name: NodeId, index: number): void {
    const node: SimNode = {
      name,
      index,
      port: PORT_BASE + index,
      epoch: 1,
      core: this.#createCore(name, PORT_BASE + index, 1),
      isUp: false,
      frozenUntilMs: 0,
      timer: undefined,
      timerMs: 0,
      links: new Set(),
      seen: new Map(),
    };
    this.#nodes.push(node);
    this.#byName.set(name, node);
    this.#byPort.set(node.port, node);
  }

  #createCore(name: NodeId, port: number, bootEpoch: number): SwimCore {
    const host = HOST;
    const { timing } = this;
    const rng = this.#rng.fork(`${name}/${bootEpoch}`);
    const introducers = this.#introducers();
    const bootWallMs = this.clock.wall();
    const streamPort = port;
    return new SwimCore(
      { name, host, port, streamPort, bootEpoch, bootWallMs, timing, introducers },
      rng,
    );
  }

  #introducers(): readonly Introducer[] {
    const digits = String(this.#options.size).length;
    const count = Math.min(this.#options.size, this.#options.configured ?? this.#options.size);
    return Array.from({ length: count }, (_, index) => ({
      name: nodeId(`n${String(index + 1).padStart(digits, '0')}`),
      host: HOST,
      port: PORT_BASE + index,
    }));
  }

  #boot(node: SimNode): void {
    node.core = this.#createCore(node.name, node.port, node.epoch);
    node.isUp = true;
    node.seen = new Map();
    node.links = new Set();
    this.#step(node, { kind: 'start', now: this.clock.now() });
  }

  /** Gives every node the whole list, as one sync would. */
  #warm(): void {
    const records: MemberRecord[] = this.#nodes.map((node) => ({
      name: node.name,
      epoch: node.epoch,
      incarnation: 1,
      state: 'active',
      host: HOST,
      port: node.port,
      streamPort: node.port,
      bootWallMs: this.clock.wall(),
      ageMs: 0,
      stalledMs: 0,
    }));
    for (const node of this.#nodes) {
      const other = must(this.#nodes[(node.index + 1) % this.#nodes.length], 'another node');
      const sender = { name: other.name, epoch: 1, incarnation: 1, isObserver: false };
      const rumours = records.filter((record) => record.name !== node.name);
      const packet: Packet = { sender, message: { type: 'sync-push' }, rumours };
      const from: Origin = { via: 'stream', id: other.index };
      this.#step(node, { kind: 'packet', now: this.clock.now(), from, packet });
    }
    this.observations.length = 0;
  }

  #step(node: SimNode, input: Input): void {
    if (!node.isUp) return;
    const now = this.clock.now();
    if (now < node.frozenUntilMs && input.kind !== 'start') {
      // It waits in the socket, or in the main thread, until the process goes on.
      if (input.kind === 'tick') return;
      const { epoch } = node;
      this.clock.setTimer(node.frozenUntilMs - now, () => {
        if (node.epoch === epoch) this.#step(node, { ...input, now: this.clock.now() });
      });
      return;
    }
    for (const effect of node.core.step(input)) this.#perform(node, effect);
    this.#arm(node);
  }

  /** One timer per node; one that fires early finds nothing due. */
  #arm(node: SimNode): void {
    const dueMs = node.core.nextDeadline();
    const isArmed = node.timer !== undefined && node.timerMs <= dueMs;
    if (isArmed || !Number.isFinite(dueMs)) return;
    this.#disarm(node);
    node.timerMs = dueMs;
    const { epoch } = node;
    node.timer = this.clock.setTimer(dueMs - this.clock.now(), () => {
      node.timer = undefined;
      if (node.epoch === epoch) this.#step(node, { kind: 'tick', now: this.clock.now() });
    });
  }

  #disarm(node: SimNode): void {
    node.timer?.cancel();
    node.timer = undefined;
  }

  #perform(node: SimNode, effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        if (effect.to.via === 'udp') this.#datagram(node, effect.to.port, effect.packet);
        else this.#stream(node, this.#nodes[effect.to.id], effect.packet);
        break;
      case 'stream':
        if (effect.dial || node.links.has(effect.to.name)) {
          if (effect.packet.message.type === 'sync') this.#syncs++;
          this.#stream(node, this.#peer(effect.to), effect.packet);
        }
        break;
      case 'links':
        node.links = new Set(effect.peers.map((peer) => peer.name));
        break;
      case 'member':
        this.#onMember(node, effect.member, effect.before, effect.notable);
        break;
      case 'log':
        if (effect.event === 'swim.overslept') this.#overslept++;
        break;
      default:
        break;
    }
  }

  #peer(to: StreamPeer): SimNode | undefined {
    const peer = this.#byName.get(to.name);
    return peer?.epoch === to.epoch ? peer : undefined;
  }

  #onMember(
    node: SimNode,
    member: Member,
    before: MemberState | undefined,
    notable: boolean,
  ): void {
    assert(this.#byName.has(member.name), `${node.name} lists ${member.name}, who never was`);
    const last = node.seen.get(member.name);
    const { bootEpoch: epoch, incarnation } = member;
    if (last !== undefined && member.state !== 'deleted') {
      const goesBack =
        epoch < last.epoch || (epoch === last.epoch && incarnation < last.incarnation);
      assert(!goesBack, `${node.name} lists an older identity of ${member.name} than before`);
    }
    node.seen.set(member.name, { epoch, incarnation });
    this.#mix(this.clock.now(), node.index, member.state.length * 1000 + incarnation);
    if (!notable) return;
    this.observations.push({ atMs: this.clock.now(), observer: node.name, member, before });
  }

  #datagram(from: SimNode, port: number, packet: Packet): void {
    const to = this.#byPort.get(port);
    if (to === undefined) return;
    const bytes = encodePacket(CLUSTER, packet);
    const origin: Origin = { via: 'udp', host: HOST, port: from.port };
    const arrive = () => this.#arrive(to, origin, bytes);
    const isSent = this.#network.datagram(from.name, to.name, bytes, arrive);
    this.onPacket?.(from.name, to.name, packet, !isSent || !to.isUp);
  }

  #stream(from: SimNode, to: SimNode | undefined, packet: Packet): void {
    if (to === undefined) return;
    const bytes = encodePacket(CLUSTER, packet);
    const origin: Origin = { via: 'stream', id: from.index };
    this.#network.stream(from.name, to.name, () => this.#arrive(to, origin, bytes));
  }

  #arrive(to: SimNode, from: Origin, bytes: Uint8Array): void {
    if (!to.isUp) return;
    const decoded = decodePacket(CLUSTER, bytes);
    assert(decoded.ok, 'a packet of ours does not decode');
    const now = this.clock.now();
    this.#mix(now, to.index, crc32c(bytes));
    this.#step(to, { kind: 'packet', now, from, packet: decoded.packet });
  }

  #mix(...values: readonly number[]): void {
    for (const value of values) {
      this.#hash =
        Math.imul(this.#hash ^ Math.floor(value * 1000), 0x01000193) ^ (this.#hash >>> 15);
    }
  }
}
