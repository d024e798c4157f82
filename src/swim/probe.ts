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
import { claimsAgainst, isLive, type MemberEntry } from './members.js';
import type { Digest, Introducer, MemberRecord, Origin, Sender } from './messages.js';
import { RING_SLOTS, ringNeighbour } from './ring.js';
import { RoundRobin } from './round-robin.js';
import type { Ladder } from './suspicion.js';

/** Why a probe was begun; the slots are named after the neighbour they probe. */
export type ProbeReason =
  | (typeof RING_SLOTS)[number]
  | 'random member'
  | 'new neighbour'
  | 'second opinion'
  | 'told of a claim'
  | 'greeting';

/** Answers over TCP alone after which a member's UDP is called blocked. */
const TCP_ONLY_WARNING = 5;

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
  /** Members with a probe that is not yet decided: no second one is begun meanwhile. */
  readonly #undecided = new Map<NodeId, number>();
  /** Answers in a row that came over TCP only; bounded by the ring's few links. */
  readonly #tcpOnly = new Map<NodeId, number>();
  #slot = 0;
  readonly #robin: RoundRobin;

  constructor(context: SwimContext, ladder: Ladder, actions: ProbeActions) {
    this.#context = context;
    this.#ladder = ladder;
    this.#actions = actions;
    this.#robin = new RoundRobin(context.rng);
  }

  /** One of the four slots of the period. */
  onSlot(): void {
    const ringSlot = RING_SLOTS[this.#slot];
    this.#slot = (this.#slot + 1) % (RING_SLOTS.length + 1);
    const { table, self } = this.#context;
    if (ringSlot === undefined) {
      const isActive = (name: NodeId) => table.get(name)?.state === 'active';
      const name = this.#robin.next(table.active, isActive);
      if (name !== undefined) this.#probeName(name, 'random member');
      return;
    }
    const neighbour = ringNeighbour(table.active, self.name, ringSlot);
    const suspect = ringNeighbour(table.live, self.name, ringSlot);
    if (neighbour !== undefined) this.#probeName(neighbour, ringSlot);
    if (suspect !== undefined && suspect !== neighbour) this.#probeName(suspect, ringSlot);
  }

  /** Begins a probe unless one of the same member is undecided. */
  probe(entry: MemberEntry, reason: ProbeReason): void {
    if (this.#undecided.has(entry.name) || entry.name === this.#context.self.name) return;
    const claims = claimsAgainst(entry, entry.epoch, this.#context.now);
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
    const claims = claimsAgainst(entry, entry?.epoch ?? 0, now);
    const first = [this.#context.selfRecord(), ...claims];
    this.#ping(introducer, introducer.name, 0, seq, first, true);
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
    if (!sender.isObserver) first.push(...claimsAgainst(table.get(sender.name), sender.epoch, now));
    this.#context.send(from, { type: 'ack', seq: ping.seq, digest: this.#context.digest() }, first);
  }

  /** A member answers this node's own probe. */
  onAck(sender: Sender, seq: number, digest: Digest, how: 'UDP' | 'TCP'): void {
    const probe = this.#answered(seq, sender);
    if (probe === undefined) return;
    if (probe.stage !== 'late') this.#context.health.improve();
    const entry = this.#credit(probe, sender, `it answered over ${how}`);
    this.#actions.onContact();
    this.#countPlanes(sender.name, how);
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
    this.#robin.insert(name);
  }

  #probeName(name: NodeId, reason: ProbeReason): void {
    const entry = this.#context.table.get(name);
    if (entry !== undefined) this.probe(entry, reason);
  }

  #open(target: NodeId, epoch: BootEpoch, reason: ProbeReason): number | undefined {
    if (this.#probes.size >= OPEN_PROBES_MAX) return undefined;
    const { now, timing, agenda } = this.#context;
    const seq = this.#context.nextSeq();
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
    const claims = claimsAgainst(entry, entry.epoch, now);
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

  /** A blocked UDP port must not hide behind TCP: it costs every probe its whole time. */
  #countPlanes(name: NodeId, how: 'UDP' | 'TCP'): void {
    if (how === 'UDP') {
      this.#tcpOnly.delete(name);
      return;
    }
    const count = (this.#tcpOnly.get(name) ?? 0) + 1;
    this.#tcpOnly.set(name, count);
    if (count !== TCP_ONLY_WARNING) return;
    const next = 'UDP between the two is blocked or lost: open the port in the firewall';
    this.#context.log('warn', 'swim.udp-blocked', { member: name, answers: count, next });
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
