/**
 * The membership core: SWIM (Das, Gupta, Motivala 2002) with the classic ring inside it, and
 * Lifeguard's local health (Dadgar, Phillips, Currey 2017). A value machine: `step(input)` returns
 * the effects, `nextDeadline` says when the next tick is wanted; no clock, chance of its own,
 * socket, or promise.
 *
 * It composes the parts and decides only what concerns more than one of them:
 *
 *     packet ─▶ claims ─▶ ladder ─▶ member events, news        tick ─▶ agenda ─▶ probe, ladder,
 *            └▶ probe, sync                                                      gossip, heal
 *
 * Time goes by its inputs. A tick that comes too late means that this node slept: what was due
 * meanwhile says nothing about the others, so all deadlines move by as much as it slept.
 */
import { assertNever, type Ms, type NodeId, type Rng } from '../base/index.js';
import { Claims, type ClaimSource } from './claims.js';
import { FAREWELL_DIRECT_MAX, GOSSIP_FANOUT } from './config.js';
import { SwimContext } from './context.js';
import type { EvidenceLine } from './evidence.js';
import { Healer } from './heal.js';
import { type MemberEntry, memberOf } from './members.js';
import type { MemberRecord, Message, Origin, Packet } from './messages.js';
import { Neighbourhood } from './neighbourhood.js';
import { Prober } from './probe.js';
import type { Effect, Input, SwimOptions, Task } from './protocol.js';
import { Relayer } from './relay.js';
import { ringNeighbours } from './ring.js';
import { Ladder } from './suspicion.js';
import { Syncer } from './sync.js';
import type { Member } from './types.js';

/** What a newcomer hears in its first sync, everybody else knows already. */
const NEWCOMER_MS = 3_000;

export class SwimCore {
  readonly #context: SwimContext;
  readonly #ladder: Ladder;
  readonly #claims: Claims;
  readonly #prober: Prober;
  readonly #relayer: Relayer;
  readonly #syncer: Syncer;
  readonly #healer: Healer;
  readonly #neighbourhood: Neighbourhood;
  #startedMs: Ms = 0;
  #hasSynced = false;
  #isLookingForContact = true;
  #shownScore = 0;

  constructor(options: SwimOptions, rng: Rng) {
    this.#context = new SwimContext(options, rng);
    const tell = (entry: MemberEntry, claim: MemberRecord) => this.#prober.tell(entry, claim);
    this.#ladder = new Ladder(this.#context, {
      tell,
      onSuspected: (entry) => this.#onSuspected(entry),
      onDeleted: (entry) => this.#healer.add(entry),
    });
    this.#claims = new Claims(this.#context, this.#ladder, {
      tell,
      onClaimedAlive: (entry) => this.#healer.onClaimedAlive(entry),
      onMet: (entry) => this.#prober.onNewMember(entry.name),
    });
    this.#syncer = new Syncer(this.#context);
    this.#relayer = new Relayer(this.#context);
    this.#prober = new Prober(this.#context, this.#ladder, {
      onDigest: (entry, digest) => this.#syncer.onDigest(entry, digest),
      onHeard: () => this.#onHeard(),
      onContact: () => this.#onContact(),
    });
    this.#healer = new Healer(this.#context, options.introducers, (introducer) =>
      this.#prober.greet(introducer),
    );
    this.#neighbourhood = new Neighbourhood(this.#context, (entry) =>
      this.#prober.probe(entry, 'new neighbour'),
    );
  }

  /** This node itself. */
  get self(): Member {
    return this.#context.selfMember();
  }

  /** All known members but Deleted ones, with this node itself, by name. */
  members(): readonly Member[] {
    const members = [this.self];
    for (const entry of this.#context.table.all()) {
      if (entry.state !== 'deleted') members.push(memberOf(entry, this.#context.now));
    }
    return members.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** One member, also while it is a tombstone. */
  get(name: NodeId): Member | undefined {
    if (name === this.#context.self.name) return this.self;
    const entry = this.#context.table.get(name);
    return entry && memberOf(entry, this.#context.now);
  }

  /** The evidence trail of a member, oldest first. */
  why(name: NodeId): readonly EvidenceLine[] {
    return this.#context.trail.of(name);
  }

  get healthScore(): number {
    return this.#context.health.score;
  }

  /** When the next tick is wanted, at the latest. */
  nextDeadline(): Ms {
    return this.#context.agenda.nextMs;
  }

  step(input: Input): readonly Effect[] {
    this.#context.advanceTo(input.now);
    switch (input.kind) {
      case 'start':
        this.#onStart();
        break;
      case 'tick':
        this.#onTick();
        break;
      case 'packet':
        this.#onPacket(input.from, input.packet);
        break;
      case 'stalled':
        this.#onStalled(input.stalledMs);
        break;
      case 'leave':
        this.#onLeave();
        break;
      case 'join':
        this.#onJoin();
        break;
      default:
        assertNever(input, 'input');
    }
    this.#followChanges();
    return this.#context.takeEffects();
  }

  #onStart(): void {
    const { self, agenda, rng, timing, now } = this.#context;
    this.#startedMs = now;
    self.sinceMs = now;
    // A random phase, so that nodes that start together do not probe together.
    agenda.push(now + timing.slotMs * rng.float(), { kind: 'slot' });
    this.#context.announceSelf(undefined, true);
    this.#context.spread(self.name);
    this.#healer.begin();
  }

  #onTick(): void {
    const { agenda, now, timing, health } = this.#context;
    const lateMs = now - agenda.nextMs;
    if (lateMs > timing.oversleepMs) {
      agenda.delay(lateMs);
      health.worsen();
      this.#context.log('warn', 'swim.overslept', { lateMs: Math.round(lateMs) });
    }
    for (let task = agenda.popDue(now); task !== undefined; task = agenda.popDue(now)) {
      this.#run(task);
      // Each task sees the ring as the task before it left it.
      this.#followChanges();
    }
  }

  #run(task: Task): void {
    const { agenda, now, timing } = this.#context;
    switch (task.kind) {
      case 'slot':
        agenda.push(now + timing.slotMs, { kind: 'slot' });
        this.#prober.onSlot();
        break;
      case 'gossip':
        this.#onGossip();
        break;
      case 'heal':
        this.#healer.onDue();
        break;
      case 'remember':
        this.#neighbourhood.remember();
        break;
      case 'farewell':
        this.#context.emit({ kind: 'left' });
        break;
      case 'probe':
        this.#prober.onProbeDue(task.seq);
        break;
      case 'relay':
        this.#relayer.onDue(task.seq);
        break;
      case 'expire':
      case 'delete':
      case 'forget':
        this.#onLadderDue(task);
        break;
      default:
        assertNever(task, 'task');
    }
  }

  #onLadderDue(task: Task & { kind: 'expire' | 'delete' | 'forget' }): void {
    const entry = this.#context.table.get(task.name);
    if (entry === undefined || entry.epoch !== task.epoch) return;
    if (task.kind === 'expire') this.#ladder.onExpire(entry);
    else if (task.kind === 'delete') this.#ladder.onDelete(entry);
    else this.#ladder.onForget(entry);
  }

  /** A round of gossip; the next one follows while there is news. */
  #onGossip(): void {
    const { table, rumours } = this.#context;
    this.#context.beginGossip();
    for (const name of this.#context.sample(table.live, GOSSIP_FANOUT)) {
      const entry = table.get(name);
      if (rumours.size === 0 || entry === undefined) break;
      this.#context.sendTo(entry, { type: 'gossip' });
    }
    if (rumours.size > 0) this.#context.armGossip();
  }

  #onPacket(from: Origin, packet: Packet): void {
    const { sender, message } = packet;
    const { self } = this.#context;
    if (sender.name === self.name) return;
    const source = this.#sourceOf(message);
    for (const record of packet.rumours) this.#claims.hear(record, source);
    switch (message.type) {
      case 'ping':
        this.#prober.onPing(from, sender, message);
        break;
      case 'ack': {
        if (this.#relayer.maybePassOn(sender, message.seq)) break;
        const how = from.via === 'udp' ? 'UDP' : 'TCP';
        this.#prober.onAck(sender, message.seq, message.digest, how);
        break;
      }
      case 'ping-req':
        this.#relayer.onPingRequest(from, message);
        break;
      case 'indirect-ack':
        this.#prober.onIndirectAck(sender, message.seq, message.target);
        break;
      case 'nack':
        this.#prober.onNack(message.seq);
        break;
      case 'misdirected':
        this.#prober.onMisdirected(sender, message.seq);
        break;
      case 'sync':
        this.#syncer.onSync(from, message.hashes);
        break;
      case 'sync-reply':
        this.#syncer.onReply(from, message.bucketCount, message.buckets);
        break;
      case 'gossip':
      case 'sync-push':
        break;
      default:
        assertNever(message, 'message');
    }
  }

  #sourceOf(message: Message): ClaimSource {
    if (message.type !== 'sync-reply' && message.type !== 'sync-push') return 'gossip';
    const isNewcomer = !this.#hasSynced && this.#context.now < this.#startedMs + NEWCOMER_MS;
    this.#hasSynced = true;
    return isNewcomer ? 'first-sync' : 'sync';
  }

  /** Process alive, main thread not: gossiped as a detail of this node, never as a death. */
  #onStalled(stalledMs: Ms): void {
    const { self, timing, now } = this.#context;
    const was = self.stalledSinceMs !== undefined;
    const is = stalledMs >= timing.stallMs;
    if (was === is) return;
    self.stalledSinceMs = is ? now - stalledMs : undefined;
    self.incarnation++;
    this.#context.note(
      self.name,
      is ? 'its main thread stands still' : 'its main thread moves again',
    );
    this.#context.spread(self.name);
    this.#context.announceSelf(self.state, true);
  }

  /** Self-signed: under a new incarnation that only this node can give. */
  #onLeave(): void {
    const { self, table, timing, now, agenda } = this.#context;
    if (self.state === 'left') {
      this.#context.emit({ kind: 'left' });
      return;
    }
    self.state = 'left';
    self.incarnation++;
    self.sinceMs = now;
    this.#context.note(self.name, 'Left: it was told to leave');
    this.#context.spread(self.name);
    const record = this.#context.selfRecord();
    for (const name of this.#context.sample(table.live, FAREWELL_DIRECT_MAX)) {
      const entry = table.get(name);
      if (entry !== undefined) this.#context.sendTo(entry, { type: 'gossip' }, [record]);
    }
    for (const to of this.#neighbourhood.links()) {
      const packet = this.#context.packet({ type: 'gossip' }, [record]);
      this.#context.emit({ kind: 'stream', to, dial: false, packet });
    }
    agenda.push(now + timing.farewellMs, { kind: 'farewell' });
    this.#context.announceSelf('active', true);
  }

  #onJoin(): void {
    const { self, now } = this.#context;
    if (self.state === 'active') {
      if (!this.#isLookingForContact) this.#context.emit({ kind: 'joined' });
      return;
    }
    self.state = 'active';
    self.incarnation++;
    self.sinceMs = now;
    this.#isLookingForContact = true;
    this.#context.note(self.name, 'Active: it was told to join');
    this.#context.spread(self.name);
    this.#context.announceSelf('left', true);
    this.#healer.begin();
  }

  #onHeard(): void {
    const wasDeaf = this.#context.isDeaf;
    this.#context.markHeard();
    if (wasDeaf) this.#ladder.reconsider();
  }

  #onContact(): void {
    if (!this.#isLookingForContact) return;
    this.#isLookingForContact = false;
    this.#context.emit({ kind: 'joined' });
  }

  /** Somebody else suspects a ring neighbour of ours: look for ourselves, at once. */
  #onSuspected(entry: MemberEntry): void {
    const { table, self } = this.#context;
    if (!ringNeighbours(table.live, self.name).includes(entry.name)) return;
    this.#prober.probe(entry, 'second opinion');
  }

  /** After every input and task: tell of the health, and follow the list. */
  #followChanges(): void {
    const { health } = this.#context;
    if (health.score !== this.#shownScore) {
      this.#shownScore = health.score;
      this.#context.emit({ kind: 'health', score: health.score });
    }
    this.#neighbourhood.follow();
  }
}
