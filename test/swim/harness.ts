/** One core in hand: feeds it inputs, keeps its effects, plays the other members. */
import { createSeededRng, must, type NodeId, nodeId, PRESETS } from '../../src/base/index.js';
import {
  createTiming,
  type Effect,
  type Introducer,
  type MemberRecord,
  type Message,
  type Origin,
  type Packet,
  type SwimTiming,
  SwimCore,
} from '../../src/swim/index.js';

export const TIMING: SwimTiming = createTiming(PRESETS.local.swim);
export const HOST = '10.0.0.1';

export function portOf(name: string): number {
  return 7000 + Number(name.slice(1));
}

export function record(name: string, fields: Partial<MemberRecord> = {}): MemberRecord {
  return {
    name: nodeId(name),
    epoch: 1,
    incarnation: 1,
    state: 'active',
    host: HOST,
    port: portOf(name),
    streamPort: portOf(name) + 1000,
    bootWallMs: 1_700_000_000_000,
    ageMs: 0,
    stalledMs: 0,
    ...fields,
  };
}

export function suspicion(name: string, fields: Partial<MemberRecord> = {}): MemberRecord {
  const accuser = nodeId('n9');
  return record(name, { state: 'suspicious', holdMs: 1000, accuser, ...fields });
}

type Sent = Extract<Effect, { kind: 'send' }>;

/** The core of n1, unless named otherwise. */
export class Bench {
  readonly core: SwimCore;
  now = 1000;
  effects: Effect[] = [];

  constructor(
    options: { name?: string; epoch?: number; introducers?: readonly Introducer[] } = {},
  ) {
    const name = options.name ?? 'n1';
    this.core = new SwimCore(
      {
        name: nodeId(name),
        host: HOST,
        port: portOf(name),
        streamPort: portOf(name) + 1000,
        bootEpoch: options.epoch ?? 1,
        bootWallMs: 1_700_000_000_000,
        timing: TIMING,
        introducers: options.introducers ?? [],
      },
      createSeededRng('bench'),
    );
    this.effects.push(...this.core.step({ kind: 'start', now: this.now }));
  }

  /** Lets time pass; every deadline gets its own tick. */
  run(ms: number): this {
    const until = this.now + ms;
    while (this.core.nextDeadline() <= until) {
      this.now = Math.max(this.now, this.core.nextDeadline());
      this.effects.push(...this.core.step({ kind: 'tick', now: this.now }));
    }
    this.now = until;
    return this;
  }

  /** Lets time pass while every ping is answered by the members named. */
  runAnswering(ms: number, ...names: readonly string[]): this {
    const until = this.now + ms;
    for (;;) {
      this.answerAll(names);
      const due = this.core.nextDeadline();
      if (due > until) break;
      this.now = Math.max(this.now, due);
      this.effects.push(...this.core.step({ kind: 'tick', now: this.now }));
    }
    this.now = until;
    return this;
  }

  /** Answers the open pings to these members; other effects are dropped. */
  answerAll(names: readonly string[]): void {
    const sent = this.takeSent();
    for (const { to, packet } of sent) {
      if (packet.message.type !== 'ping' || to.via !== 'udp') continue;
      const name = names.find((it) => portOf(it) === to.port);
      if (name !== undefined) this.ack(name, packet.message.seq);
    }
  }

  receive(from: string, message: Message, rumours: readonly MemberRecord[] = []): this {
    return this.receiveFrom({ name: from }, message, rumours);
  }

  receiveFrom(
    from: { name: string; epoch?: number; incarnation?: number; isObserver?: boolean },
    message: Message,
    rumours: readonly MemberRecord[] = [],
  ): this {
    const { name, epoch = 1, incarnation = 1, isObserver = false } = from;
    const sender = { name: nodeId(name), epoch, incarnation, isObserver };
    const origin: Origin = { via: 'udp', host: HOST, port: portOf(name) };
    const packet: Packet = { sender, message, rumours };
    const input = { kind: 'packet', now: this.now, from: origin, packet } as const;
    this.effects.push(...this.core.step(input));
    return this;
  }

  gossip(...rumours: readonly MemberRecord[]): this {
    return this.receive('n9', { type: 'gossip' }, rumours);
  }

  ack(name: string, seq: number, fields: { epoch?: number; incarnation?: number } = {}): this {
    return this.receiveFrom({ name, ...fields }, { type: 'ack', seq, digest: [0, 0] });
  }

  state(name: string): string | undefined {
    return this.core.get(nodeId(name))?.state;
  }

  incarnation(name: string): number | undefined {
    return this.core.get(nodeId(name))?.incarnation;
  }

  why(name: string): readonly string[] {
    return this.core.why(nodeId(name)).map((line) => line.text);
  }

  /** Notable changes since the last call, as `n2 active>suspicious`. */
  takeChanges(): string[] {
    const changes: string[] = [];
    for (const effect of this.effects) {
      if (effect.kind !== 'member' || !effect.notable) continue;
      changes.push(`${effect.member.name} ${effect.before ?? 'unknown'}>${effect.member.state}`);
    }
    this.effects = this.effects.filter((effect) => effect.kind !== 'member');
    return changes;
  }

  /** UDP packets since the last call. */
  takeSent(): Sent[] {
    const sent = this.effects.filter((effect): effect is Sent => effect.kind === 'send');
    this.effects = this.effects.filter((effect) => effect.kind !== 'send');
    return sent;
  }

  /** Sent messages of one type since the last `takeSent`, with whom they go to. */
  sentOf<T extends Message['type']>(
    type: T,
  ): { to: NodeId; message: Extract<Message, { type: T }>; rumours: readonly MemberRecord[] }[] {
    return this.effects.flatMap((effect) => {
      if (effect.kind !== 'send' || effect.packet.message.type !== type) return [];
      if (effect.to.via !== 'udp') return [];
      const to = nodeId(`n${effect.to.port - 7000}`);
      const message = effect.packet.message as Extract<Message, { type: T }>;
      return [{ to, message, rumours: effect.packet.rumours }];
    });
  }

  /** Runs until the member is pinged, and says by which packet; the others are answered for. */
  nextPing(name: string): { seq: number; rumours: readonly MemberRecord[] } {
    for (let i = 0; i < 100; i++) {
      const pings = this.sentOf('ping');
      this.takeSent();
      for (const { to, message } of pings) if (to !== name) this.ack(to, message.seq);
      const ping = pings.find((it) => it.to === name);
      if (ping !== undefined) return { seq: ping.message.seq, rumours: ping.rumours };
      this.run(must(this.core.nextDeadline(), 'a deadline') - this.now);
    }
    throw new Error(`${name} is not pinged`);
  }
}
