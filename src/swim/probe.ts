/**
 * Who is probed, when, and what an answer or its absence means.
 *
 * Each period has four slots: predecessor, successor, super-successor, and one member of a shuffled
 * round robin (SWIM §4.3). The ring bounds the time to the first suspicion whatever the size of the
 * cluster; the random slot finds what the ring's own watchers cannot see. Ring positions skip
 * Suspicious members, and a Suspicious member at a position is probed as well, so that it can
 * refute.
 *
 *     0 ms ping ── 100 ms no ack: three helpers, and the open TCP connection ── 200 ms accuse
 *                                                          ... late answers count until lateAnswerMs
 *
 * Every ping to a member that is not believed Active carries the claim against it first
 * (Lifeguard's buddy system), so that its very answer refutes.
 */
import { assert, type BootEpoch, type Ms, type NodeId } from '../base/index.js';
import { INDIRECT_COUNT, OPEN_PROBES_MAX } from './config.js';
import type { SwimContext } from './context.js';
import { isLive, type MemberEntry, recordOf } from './members.js';
import type { Digest, Introducer, MemberRecord, Origin, Sender } from './messages.js';
import { RING_SLOTS, ringNeighbour } from './ring.js';
import type { Ladder } from './suspicion.js';

/** Why a probe was begun; the slots are named after the neighbour they probe. */
export type ProbeReason =
  | (typeof RING_SLOTS)[number]
  | 'random member'
  | 'new neighbour'
  | 'second opinion'
  | 'told of a claim'
  | 'greeting';

interface Probe {
  readonly seq: number;
  readonly target: NodeId;
  /** 0: whoever bears the name. */
  readonly epoch: BootEpoch;
  readonly startedMs: Ms;
  readonly reason: ProbeReason;
  stage: 'direct' | 'indirect' | 'late';
  helpers: readonly NodeId[];
  nacks: number;
}

/** A ping on behalf of another node. */
interface Relay {
  readonly requester: Origin;
  readonly seq: number;
  readonly target: NodeId;
  isNacked: boolean;
}

export interface ProbeActions {
  /** A member answered, with the digest of its list. */
  onDigest(entry: MemberEntry, digest: Digest): void;
  /** Anything came back that this node asked for, be it a nack. */
  onHeard(): void;
  /** A member answered for itself. */
  onContact(): void;
}

export class Prober {
  readonly #context: SwimContext;
  readonly #ladder: Ladder;
  readonly #actions: ProbeActions;
  readonly #probes = new Map<number, Probe>();
  readonly #relays = new Map<number, Relay>();
  /** Members with a probe that is not yet decided: no second one is begun meanwhile. */
  readonly #undecided = new Map<NodeId, number>();
  #slot = 0;
  #seq = 0;
  #robin: NodeId[] = [];

  constructor(context: SwimContext, ladder: Ladder, actions: ProbeActions) {
    this.#context = context;
    this.#ladder = ladder;
    this.#actions = actions;
  }

  /** One of the four slots of the period. */
  onSlot(): void {
    const ringSlot = RING_SLOTS[this.#slot];
    this.#slot = (this.#slot + 1) % (RING_SLOTS.length + 1);
    if (ringSlot === undefined) {
      const name = this.#nextOfRobin();
      if (name !== undefined) this.#probeName(name, 'random member');
      return;
    }
    const { table, self } = this.#context;
    const neighbour = ringNeighbour(table.active, self.name, ringSlot);
    const suspect = ringNeighbour(table.live, self.name, ringSlot);
    if (neighbour !== undefined) this.#probeName(neighbour, ringSlot);
    if (suspect !== undefined && suspect !== neighbour) this.#probeName(suspect, ringSlot);
  }

  /** Begins a probe unless one of the same member is undecided. */
  probe(entry: MemberEntry, reason: ProbeReason): void {
    if (this.#undecided.has(entry.name) || entry.name === this.#context.self.name) return;
    const claims = entry.state === 'active' ? [] : [recordOf(entry, this.#context.now)];
    const seq = this.#open(entry.name, entry.epoch, reason);
    if (seq === undefined) return;
    this.#undecided.set(entry.name, seq);
    this.#ping(entry, entry.name, entry.epoch, seq, claims);
  }

  /** Lets a member know what is said about it. An unanswered telling is a failed probe, too. */
  tell(entry: MemberEntry, claim: MemberRecord): void {
    const { now, timing } = this.#context;
    if (now < entry.toldMs + timing.ackTimeoutMs) return;
    entry.toldMs = now;
    const seq = this.#open(entry.name, entry.epoch, 'told of a claim');
    if (seq !== undefined) this.#ping(entry, entry.name, entry.epoch, seq, [claim]);
  }

  /** Introduces this node to whoever bears the name now; silence means nothing. */
  greet(introducer: Introducer): void {
    const { table, now } = this.#context;
    const entry = table.get(introducer.name);
    const seq = this.#open(introducer.name, 0, 'greeting');
    if (seq === undefined) return;
    const claims = [this.#context.selfRecord()];
    if (entry !== undefined && entry.state !== 'active') claims.push(recordOf(entry, now));
    this.#ping(introducer, introducer.name, 0, seq, claims, true);
  }

  /** The next stage of a probe is due. */
  onProbeDue(seq: number): void {
    const probe = this.#probes.get(seq);
    if (probe === undefined) return;
    const { agenda, timing, now } = this.#context;
    // After an oversleep this stage is late as well: the next one gets its whole time.
    const next = (dueMs: Ms, stageMs: Ms) =>
      agenda.push(Math.max(dueMs, now + stageMs), { kind: 'probe', seq });
    switch (probe.stage) {
      case 'direct':
        probe.stage = 'indirect';
        if (probe.reason !== 'greeting') this.#askHelpers(probe);
        next(probe.startedMs + timing.suspectAtMs, timing.suspectAtMs - timing.ackTimeoutMs);
        break;
      case 'indirect':
        this.#fail(probe, undefined);
        next(probe.startedMs + timing.lateAnswerMs, timing.failAfterMs);
        break;
      case 'late':
        this.#probes.delete(seq);
    }
  }

  /** A relayed ping: first the nack is due, later the end of the wait for a late answer. */
  onRelayDue(seq: number): void {
    const relay = this.#relays.get(seq);
    if (relay === undefined) return;
    if (relay.isNacked) {
      this.#relays.delete(seq);
      return;
    }
    relay.isNacked = true;
    this.#context.send(relay.requester, { type: 'nack', seq: relay.seq });
    const { now, timing, agenda } = this.#context;
    agenda.push(now + timing.lateAnswerMs, { kind: 'relay', seq });
  }

  /** Somebody asks whether this node lives. */
  onPing(
    from: Origin,
    sender: Sender,
    ping: { seq: number; target: NodeId; targetEpoch: BootEpoch; introduce: boolean },
  ): void {
    const { self, table, now } = this.#context;
    const isMeant = ping.target === self.name && [0, self.epoch].includes(ping.targetEpoch);
    const own = this.#context.selfRecord();
    if (!isMeant) {
      this.#context.send(from, { type: 'misdirected', seq: ping.seq }, [own]);
      return;
    }
    const first = ping.introduce ? [own] : [];
    const entry = table.get(sender.name);
    const isWronged = entry?.epoch === sender.epoch && entry.state !== 'active';
    if (entry !== undefined && isWronged && !sender.isObserver) first.push(recordOf(entry, now));
    this.#context.send(from, { type: 'ack', seq: ping.seq, digest: this.#context.digest() }, first);
  }

  /** Another node's direct probe was late: ping the member for it. */
  onPingRequest(
    from: Origin,
    request: {
      seq: number;
      target: NodeId;
      targetEpoch: BootEpoch;
      host: string;
      port: number;
    },
  ): void {
    const { self, table, now, timing, agenda } = this.#context;
    if (request.target === self.name) {
      const target = this.#context.sender;
      if (request.targetEpoch !== self.epoch) return;
      this.#context.send(from, { type: 'indirect-ack', seq: request.seq, target });
      return;
    }
    if (this.#relays.size >= OPEN_PROBES_MAX) return;
    const seq = this.#nextSeq();
    const { target } = request;
    this.#relays.set(seq, { requester: from, seq: request.seq, target, isNacked: false });
    agenda.push(now + timing.nackAfterMs, { kind: 'relay', seq });
    const entry = table.get(target);
    const isWronged = entry?.epoch === request.targetEpoch && entry.state !== 'active';
    const claims = entry !== undefined && isWronged ? [recordOf(entry, now)] : [];
    this.#ping(request, target, request.targetEpoch, seq, claims);
  }

  /** A member answers: to this node's own probe, or to one that it relays. */
  onAck(sender: Sender, seq: number, digest: Digest, how: 'UDP' | 'TCP'): void {
    const relay = this.#relays.get(seq);
    if (relay !== undefined) {
      if (relay.target !== sender.name) return;
      this.#relays.delete(seq);
      this.#actions.onHeard();
      const message = { type: 'indirect-ack', seq: relay.seq, target: sender } as const;
      this.#context.send(relay.requester, message);
      return;
    }
    const probe = this.#answered(seq, sender);
    if (probe === undefined) return;
    if (probe.stage !== 'late') this.#context.health.improve();
    const entry = this.#credit(probe, sender, `it answered over ${how}`);
    this.#actions.onContact();
    if (entry !== undefined) this.#actions.onDigest(entry, digest);
  }

  /** A helper reached the member. */
  onIndirectAck(helper: Sender, seq: number, target: Sender): void {
    const probe = this.#answered(seq, target);
    if (probe !== undefined) this.#credit(probe, target, `it answered to ${helper.name}`);
  }

  /** A helper is well, and could not reach the member. */
  onNack(seq: number): void {
    const probe = this.#probes.get(seq);
    if (probe === undefined) return;
    this.#actions.onHeard();
    probe.nacks++;
  }

  /** The address belongs to somebody else now: that member is not there any more. */
  onMisdirected(sender: Sender, seq: number): void {
    const probe = this.#probes.get(seq);
    if (probe === undefined) return;
    this.#actions.onHeard();
    this.#actions.onContact();
    if (probe.stage === 'late' || probe.reason === 'greeting') return;
    this.#fail(probe, `its address answers as ${sender.name}, boot ${sender.epoch}`);
  }

  /** A newcomer takes its turn at a random place of the round (SWIM §4.3). */
  onNewMember(name: NodeId): void {
    this.#robin.splice(this.#context.rng.int(this.#robin.length + 1), 0, name);
  }

  #nextOfRobin(): NodeId | undefined {
    const { table, rng } = this.#context;
    for (let turn = 0; turn < 2; turn++) {
      while (this.#robin.length > 0) {
        const name = this.#robin.pop();
        if (name !== undefined && table.get(name)?.state === 'active') return name;
      }
      this.#robin = [...table.active];
      for (let i = this.#robin.length - 1; i > 0; i--) {
        const j = rng.int(i + 1);
        const [a, b] = [this.#robin[i], this.#robin[j]];
        if (a !== undefined && b !== undefined) [this.#robin[i], this.#robin[j]] = [b, a];
      }
    }
    return undefined;
  }

  #probeName(name: NodeId, reason: ProbeReason): void {
    const entry = this.#context.table.get(name);
    if (entry !== undefined) this.probe(entry, reason);
  }

  #nextSeq(): number {
    this.#seq = (this.#seq + 1) % 2 ** 32;
    return this.#seq;
  }

  #open(target: NodeId, epoch: BootEpoch, reason: ProbeReason): number | undefined {
    if (this.#probes.size >= OPEN_PROBES_MAX) return undefined;
    const { now, timing, agenda } = this.#context;
    const seq = this.#nextSeq();
    const stage = 'direct';
    this.#probes.set(seq, {
      seq,
      target,
      epoch,
      startedMs: now,
      reason,
      stage,
      helpers: [],
      nacks: 0,
    });
    agenda.push(now + timing.ackTimeoutMs, { kind: 'probe', seq });
    return seq;
  }

  #ping(
    to: { host: string; port: number },
    target: NodeId,
    targetEpoch: BootEpoch,
    seq: number,
    claims: MemberRecord[],
    introduce = false,
  ): void {
    this.#context.sendTo(to, { type: 'ping', seq, target, targetEpoch, introduce }, claims);
  }

  /** SWIM §3.1, and Lifeguard's probe over the reliable transport beside it. */
  #askHelpers(probe: Probe): void {
    const { table, now } = this.#context;
    const entry = table.get(probe.target);
    if (entry === undefined || entry.epoch !== probe.epoch || !isLive(entry)) return;
    const { name: target, epoch: targetEpoch, host, port, streamPort } = entry;
    probe.helpers = this.#context.sample(table.active, INDIRECT_COUNT, (name) => name !== target);
    for (const helper of probe.helpers) {
      const to = table.get(helper);
      assert(to !== undefined, 'an Active member is in the table');
      const { seq } = probe;
      this.#context.sendTo(to, { type: 'ping-req', seq, target, targetEpoch, host, port });
    }
    if (streamPort === 0) return;
    const claims = entry.state === 'active' ? [] : [recordOf(entry, now)];
    const { seq } = probe;
    const message = { type: 'ping', seq, target, targetEpoch, introduce: false } as const;
    this.#context.emit({
      kind: 'stream',
      to: { name: target, epoch: targetEpoch, host, streamPort },
      dial: false,
      packet: this.#context.packet(message, claims),
    });
  }

  /** The probe that this answer belongs to, if the right one answers. */
  #answered(seq: number, target: Sender): Probe | undefined {
    const probe = this.#probes.get(seq);
    if (probe === undefined || probe.target !== target.name) return undefined;
    if (probe.epoch !== 0 && probe.epoch !== target.epoch) return undefined;
    this.#actions.onHeard();
    this.#probes.delete(seq);
    this.#decide(probe);
    return probe;
  }

  #decide(probe: Probe): void {
    if (this.#undecided.get(probe.target) === probe.seq) this.#undecided.delete(probe.target);
  }

  #credit(probe: Probe, target: Sender, how: string): MemberEntry | undefined {
    const entry = this.#context.table.get(probe.target);
    if (entry === undefined || entry.epoch !== target.epoch || target.isObserver) return undefined;
    const after = Math.round(this.#context.now - probe.startedMs);
    this.#ladder.acquit(entry, target.incarnation, `${how} after ${after} ms`);
    return entry;
  }

  /** No answer by any way. `proof` is given when the silence need not be waited for. */
  #fail(probe: Probe, proof: string | undefined): void {
    const { table, health, heardMs, now } = this.#context;
    probe.stage = 'late';
    this.#decide(probe);
    if (probe.reason === 'greeting') return;
    const wasInSilence = probe.helpers.length > 0 && heardMs < probe.startedMs;
    if (wasInSilence) health.worsen();
    const entry = table.get(probe.target);
    if (entry === undefined || entry.epoch !== probe.epoch || entry.state !== 'active') return;
    // It answered another probe meanwhile: this one was lost, not the member.
    if (proof === undefined && entry.evidenceMs >= probe.startedMs) return;
    const waited = Math.round(now - probe.startedMs);
    this.#ladder.accuse(entry, proof ?? describeSilence(probe, entry, waited, now));
  }
}

function describeSilence(probe: Probe, entry: MemberEntry, waitedMs: Ms, now: Ms): string {
  const helpers =
    probe.helpers.length === 0
      ? 'no helper to ask'
      : `nor to ${probe.helpers.join(', ')} (${probe.nacks} of ${probe.helpers.length} said so)`;
  const last = Number.isFinite(entry.evidenceMs)
    ? `last proof of life ${Math.round(now - entry.evidenceMs)} ms ago`
    : 'no proof of life so far';
  return `no answer to this node (${probe.reason}) in ${waitedMs} ms, ${helpers}; ${last}`;
}
