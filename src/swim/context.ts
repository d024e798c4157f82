/**
 * What the parts of the membership core share during a step: the present time, this node's own
 * identity, the tables, and the list of effects. It decides nothing beyond what goes into a packet.
 */
import {
  assert,
  type BootEpoch,
  type LogLevel,
  type Ms,
  type NodeId,
  type Rng,
} from '../base/index.js';
import { Agenda } from './agenda.js';
import { emptyPacketBytes, recordBytes } from './codec.js';
import { PACKET_BYTES_MAX, SEAL_BYTES_MAX, type SwimTiming } from './config.js';
import { EvidenceTrail } from './evidence.js';
import { RumourQueue, transmissionsMax } from './gossip.js';
import { LocalHealth } from './health.js';
import {
  combineDigests,
  identityHash,
  type MemberEntry,
  memberOf,
  MemberTable,
  recordOf,
} from './members.js';
import type { Digest, MemberRecord, Message, Origin, Packet, Sender } from './messages.js';
import type { Effect, SwimOptions, Task } from './protocol.js';
import type { Member, MemberState } from './types.js';

/** This node, as it announces itself. */
export interface Self {
  readonly name: NodeId;
  readonly host: string;
  readonly port: number;
  readonly streamPort: number;
  readonly epoch: BootEpoch;
  readonly bootWallMs: Ms;
  incarnation: number;
  /** Left: it watches and answers, but is no member. */
  state: 'active' | 'left';
  sinceMs: Ms;
  stalledSinceMs: Ms | undefined;
}

export class SwimContext {
  readonly timing: SwimTiming;
  readonly rng: Rng;
  readonly self: Self;
  readonly table = new MemberTable();
  readonly rumours = new RumourQueue();
  readonly health = new LocalHealth();
  readonly trail = new EvidenceTrail();
  readonly agenda = new Agenda<Task>();
  #heardMs: Ms = Number.NEGATIVE_INFINITY;
  #now: Ms = 0;
  #effects: Effect[] = [];
  #seq = 0;
  #gossipAtMs: Ms | undefined;
  #lastGossipMs: Ms = Number.NEGATIVE_INFINITY;

  constructor(options: SwimOptions, rng: Rng) {
    this.timing = options.timing;
    this.rng = rng;
    this.self = {
      name: options.name,
      host: options.host,
      port: options.port,
      streamPort: options.streamPort,
      epoch: options.bootEpoch,
      bootWallMs: options.bootWallMs,
      incarnation: 1,
      state: 'active',
      sinceMs: 0,
      stalledSinceMs: undefined,
    };
  }

  get now(): Ms {
    return this.#now;
  }

  advanceTo(now: Ms): void {
    assert(now >= this.#now, 'time went back');
    this.#now = now;
  }

  /** When the last answer to anything this node asked arrived. */
  get heardMs(): Ms {
    return this.#heardMs;
  }

  /**
   * A node that hears nobody may be the one that is cut off: until somebody answers, it keeps to
   * itself what it believes of the others.
   */
  get isDeaf(): boolean {
    return this.#now - this.#heardMs > this.timing.deafMs;
  }

  markHeard(): void {
    this.#heardMs = this.#now;
  }

  /** Numbers this node's pings, relayed ones included. */
  nextSeq(): number {
    this.#seq = (this.#seq + 1) % 2 ** 32;
    return this.#seq;
  }

  emit(effect: Effect): void {
    this.#effects.push(effect);
  }

  takeEffects(): readonly Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  log(level: LogLevel, event: string, fields: Readonly<Record<string, string | number>>): void {
    this.emit({ kind: 'log', level, event, fields });
  }

  /** A line for `idunno member why NAME`. */
  note(name: NodeId, text: string): void {
    this.trail.add(name, this.#now, text);
  }

  /** Tells users of a member's change. */
  announce(entry: MemberEntry, before: MemberState | undefined, notable: boolean): void {
    this.emit({ kind: 'member', member: memberOf(entry, this.#now), before, notable });
  }

  /** Tells users of a change of this node itself. */
  announceSelf(before: MemberState | undefined, notable: boolean): void {
    this.emit({ kind: 'member', member: this.selfMember(), before, notable });
  }

  /** There is news about the member (or this node): it goes out at the next round of gossip. */
  spread(name: NodeId): void {
    this.rumours.add(name);
    this.armGossip();
  }

  /** The first news in a while goes out at once, later ones at the pace of the rounds. */
  armGossip(): void {
    if (this.#gossipAtMs !== undefined || this.table.live.length === 0) return;
    this.#gossipAtMs = Math.max(this.#now, this.#lastGossipMs + this.timing.gossipMs);
    this.agenda.push(this.#gossipAtMs, { kind: 'gossip' });
  }

  /** A round of gossip begins. */
  beginGossip(): void {
    this.#gossipAtMs = undefined;
    this.#lastGossipMs = this.#now;
  }

  selfRecord(): MemberRecord {
    const self = this.self;
    return {
      name: self.name,
      epoch: self.epoch,
      incarnation: self.incarnation,
      state: self.state,
      host: self.host,
      port: self.port,
      streamPort: self.streamPort,
      bootWallMs: self.bootWallMs,
      ageMs: Math.max(0, this.#now - self.sinceMs),
      stalledMs: self.stalledSinceMs === undefined ? 0 : this.#now - self.stalledSinceMs,
    };
  }

  selfMember(): Member {
    const { epoch, ageMs, ...record } = this.selfRecord();
    return {
      name: record.name,
      host: record.host,
      port: record.port,
      bootEpoch: epoch,
      incarnation: record.incarnation,
      state: this.self.state,
      bootWallMs: record.bootWallMs,
      sinceMs: this.#now - ageMs,
      stalledMs: record.stalledMs,
    };
  }

  /** Over all live members, itself included while it is one. */
  digest(): Digest {
    const self = this.self;
    if (self.state === 'left') return this.table.digest;
    const own = identityHash(self.name, self.epoch, self.incarnation);
    return combineDigests(this.table.digest, own);
  }

  get sender(): Sender {
    const { name, epoch, incarnation, state } = this.self;
    return { name, epoch, incarnation, isObserver: state === 'left' };
  }

  /** A packet with `first`, then as much news as its budget holds. */
  packet(message: Message, first: readonly MemberRecord[] = []): Packet {
    const sender = this.sender;
    let room = PACKET_BYTES_MAX - SEAL_BYTES_MAX - emptyPacketBytes(sender, message);
    for (const record of first) room -= recordBytes(record);
    assert(room >= 0, 'a packet has no room for what it must say');
    if (this.rumours.size === 0) return { sender, message, rumours: first };
    if (this.isDeaf) return { sender, message, rumours: this.#onlyOwnNews(first) };
    const limit = transmissionsMax(this.table.live.length + 1);
    const news = this.rumours.take(room, limit, (name) => this.#rumour(name));
    return { sender, message, rumours: [...first, ...news] };
  }

  /** Over UDP, or back on the stream that it answers. */
  send(to: Origin, message: Message, first: readonly MemberRecord[] = []): void {
    this.emit({ kind: 'send', to, packet: this.packet(message, first) });
  }

  /** Over UDP, to where the member says it is. */
  sendTo(entry: { host: string; port: number }, message: Message, first?: MemberRecord[]): void {
    this.send({ via: 'udp', host: entry.host, port: entry.port }, message, first);
  }

  /** Up to `count` different names, drawn without order; fewer when there are not so many. */
  sample(
    names: readonly NodeId[],
    count: number,
    accept: (name: NodeId) => boolean = () => true,
  ): NodeId[] {
    const drawn: NodeId[] = [];
    if (names.length === 0) return drawn;
    // A random start and a random stride would favour neighbours; drawing with retries does not.
    for (let tries = 0; drawn.length < count && tries < 8 * count; tries++) {
      const name = names[this.rng.int(names.length)];
      if (name !== undefined && !drawn.includes(name) && accept(name)) drawn.push(name);
    }
    if (drawn.length === count || names.length > 8 * count) return drawn;
    // Small lists: luck may have missed some, so complete the sample in order.
    for (const name of names) {
      if (drawn.length === count) break;
      if (!drawn.includes(name) && accept(name)) drawn.push(name);
    }
    return drawn;
  }

  #onlyOwnNews(first: readonly MemberRecord[]): readonly MemberRecord[] {
    const isSaid = first.some((record) => record.name === this.self.name);
    return isSaid || first.length > 1 ? first : [...first, this.selfRecord()];
  }

  #rumour(name: NodeId): { record: MemberRecord; bytes: number } | undefined {
    const record = name === this.self.name ? this.selfRecord() : this.#recordOf(name);
    return record && { record, bytes: recordBytes(record) };
  }

  #recordOf(name: NodeId): MemberRecord | undefined {
    const entry = this.table.get(name);
    return entry && recordOf(entry, this.#now);
  }
}
