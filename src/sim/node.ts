/**
 * One simulated node: the real consensus core, a disk, a state machine, and a driver that carries
 * out effects and decides nothing. It crashes, restarts, and is paused by the nemesis.
 *
 * A paused node is a process that gets no time: what comes in waits, its timers ring late. Its
 * disk goes on working. When it wakes it takes in what waited first, as the real driver does.
 */
import {
  assert,
  assertNever,
  type LogIndex,
  type Ms,
  type NodeId,
  type Rng,
  type VirtualClock,
} from '../base/index.js';
import {
  type Effect,
  type Input,
  type Message,
  RaftCore,
  type SnapshotMeta,
  type StoredState,
} from '../raft/index.js';
import { type DiskWrite, SimDisk } from './disk.js';
import type { Monitor } from './monitor.js';
import {
  EMPTY_IMAGE,
  encodeWrite,
  type MachineImage,
  RegisterMachine,
  type Write,
} from './machine.js';
import type { SimNetwork } from './network.js';
import { NodeClock } from './node-clock.js';
import { exponential, type FaultCounts, type Plan } from './plan.js';
import { Requests, type Settle } from './requests.js';

/** Inputs without the time, which the node's own clock adds. */
type WithoutNow<I> = I extends Input ? Omit<I, 'now'> : never;
export type TimelessInput = WithoutNow<Input>;

export interface NodeDependencies {
  readonly clock: VirtualClock;
  readonly network: SimNetwork;
  readonly rng: Rng;
  readonly faults: FaultCounts;
  readonly monitor: Monitor;
  /** Hands a snapshot to another node; false when that cannot take it. */
  readonly sendSnapshot: (to: NodeId, delivery: SnapshotDelivery) => boolean;
  readonly onDiskFailure: (node: SimNode) => void;
  readonly mayDamage: (node: SimNode) => boolean;
}

export interface SnapshotDelivery {
  readonly from: NodeId;
  readonly term: number;
  readonly meta: SnapshotMeta;
  readonly image: MachineImage;
}

/** Waiting work of a paused node beyond this is dropped, as full connections would. */
const INBOX_MAX = 5_000;

export class SimNode {
  readonly id: NodeId;
  readonly disk: SimDisk;
  /** The node's durable state machine; lags behind what is applied. */
  durableImage: MachineImage = EMPTY_IMAGE;
  core: RaftCore | undefined;
  machine = new RegisterMachine(EMPTY_IMAGE);
  isPaused = false;
  /** Counts the disks that it has lost. */
  incarnation = 0;
  /** Counts the node's lives; call-backs of an earlier one are void. */
  life = 0;
  readonly #plan: Plan;
  readonly #d: NodeDependencies;
  readonly #clock: NodeClock;
  #inbox: (() => void)[] = [];
  #queue: TimelessInput[] = [];
  #isStepping = false;
  #timerAt: Ms = Number.POSITIVE_INFINITY;
  #isStateSyncing = false;
  #requests = new Requests();
  #onTick: (() => void) | undefined;
  #staged: SnapshotDelivery | undefined;

  constructor(
    id: NodeId,
    plan: Plan,
    stored: Omit<StoredState, 'applied'>,
    dependencies: NodeDependencies,
  ) {
    this.id = id;
    this.#plan = plan;
    this.#d = dependencies;
    this.#clock = new NodeClock(dependencies.clock, dependencies.rng);
    this.disk = new SimDisk(plan.disk, stored, {
      clock: dependencies.clock,
      rng: dependencies.rng.fork('disk'),
      faults: dependencies.faults,
      onDurable: (writes) => this.#whenAwake(() => this.#onDurable(writes)),
      onFailure: () => dependencies.onDiskFailure(this),
      mayTear: () => dependencies.mayDamage(this),
    });
  }

  get isUp(): boolean {
    return this.core !== undefined;
  }

  /** Reads the disk back and starts over. */
  boot(): void {
    assert(this.core === undefined, 'a running node cannot boot');
    this.life += 1;
    this.machine = new RegisterMachine(this.durableImage);
    const stored = { ...this.disk.load(), applied: this.durableImage.index };
    this.core = new RaftCore(
      {
        self: this.id,
        timing: this.#plan.timing,
        limits: this.#plan.limits,
        rng: this.#d.rng.fork(`life-${this.life}`),
        isSuspect: this.disk.isSuspect,
      },
      stored,
      this.#clock.now(),
    );
    this.#d.monitor.onBoot(this, stored);
    this.#arm();
  }

  /** Power off: memory is gone, and the disk keeps only what it had synced. */
  crash(): void {
    this.life += 1;
    this.core = undefined;
    this.isPaused = false;
    this.#inbox = [];
    this.#queue = [];
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#isStateSyncing = false;
    this.#requests = new Requests();
    this.#staged = undefined;
    this.#onTick = undefined;
    this.disk.crash();
    this.#d.monitor.onCrash(this);
  }

  /** The clock that timers go by, and the one that entries are stamped with. */
  jumpClock(localMs: Ms, wallMs: Ms): void {
    this.#clock.jump(localMs, wallMs);
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#arm();
  }

  /** Everything on its disks is gone; it does not come back by itself. */
  wipe(): void {
    this.crash();
    this.disk.wipe();
    this.durableImage = EMPTY_IMAGE;
    this.incarnation += 1;
  }

  /** Calls once, after the next timer has rung. */
  atNextTick(listener: () => void): void {
    this.#onTick = listener;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    const inbox = this.#inbox;
    this.#inbox = [];
    for (const work of inbox) work();
    this.#tick();
  }

  /** Something for the core, as soon as the process gets time. Lost if the node is down. */
  feed(input: TimelessInput): void {
    this.#whenAwake(() => this.#step(input));
  }

  /** False: connection refused, nothing happened. */
  propose(write: Write, settle: Settle): boolean {
    if (this.core === undefined) return false;
    this.#whenAwake(() => {
      const id = this.#requests.addProposal(settle);
      const data = encodeWrite(write);
      const timeMs = Math.floor(this.#clock.wall());
      this.#step({ kind: 'propose', proposals: [{ id, timeMs, data }] });
    });
    return true;
  }

  readIndex(settle: Settle): boolean {
    if (this.core === undefined) return false;
    this.#whenAwake(() => {
      this.#step({ kind: 'read-index', id: this.#requests.addRead(settle) });
    });
    return true;
  }

  /** Runs when the state machine has applied `index`. */
  whenApplied(index: LogIndex, resume: () => void): void {
    this.#whenAwake(() => {
      if (this.machine.index >= index) resume();
      else this.#requests.whenApplied(index, resume);
    });
  }

  /** A whole snapshot arrived; it is staged. False when nobody is there. */
  receiveSnapshot(delivery: SnapshotDelivery): boolean {
    if (this.core === undefined || this.isPaused) return false;
    this.#staged = delivery;
    const { from, term, meta } = delivery;
    this.#step({ kind: 'snapshot-received', from, term, meta });
    return true;
  }

  #whenAwake(work: () => void): void {
    if (this.core === undefined) return;
    if (!this.isPaused) work();
    else if (this.#inbox.length < INBOX_MAX) this.#inbox.push(work);
  }

  /** Effects may lead to further inputs; they wait until all effects are carried out. */
  #step(first: TimelessInput): void {
    this.#queue.push(first);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let input = this.#queue.shift(); input !== undefined; input = this.#queue.shift()) {
        const { core } = this;
        if (core === undefined) return;
        const effects = core.step({ ...input, now: this.#clock.now() } as Input);
        this.#d.monitor.onStep(this, effects);
        for (const effect of effects) this.#perform(effect);
        // Asked for only where it can be the case: a status is a copy of much.
        if (this.disk.isSuspect && !core.status().isSuspect) this.disk.trust();
      }
    } finally {
      this.#isStepping = false;
    }
    this.#arm();
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        this.#send(effect.to, effect.message);
        break;
      case 'persist':
        this.disk.write({ kind: 'persist', effect });
        break;
      case 'apply':
        this.#apply(effect);
        break;
      case 'proposed':
      case 'proposal-rejected':
      case 'read-ready':
      case 'read-rejected':
        this.#requests.onEffect(effect);
        break;
      case 'send-snapshot':
        this.#sendSnapshot(effect.to);
        break;
      case 'install-snapshot':
        this.#install(effect.meta);
        break;
      case 'compact':
        this.disk.write({ kind: 'compact', meta: effect.meta });
        break;
      case 'reconfigure-accepted':
        if (effect.index !== undefined) this.#d.faults.members += 1;
        break;
      case 'role':
      case 'transfer-done':
      case 'reconfigure-rejected':
      case 'conf':
        break;
      default:
        assertNever(effect, 'effect');
    }
  }

  #send(to: NodeId, message: Message): void {
    this.#d.monitor.onSend(this, to, message);
    this.#d.network.send(this.id, to, message);
  }

  #onDurable(writes: readonly DiskWrite[]): void {
    const marks: TimelessInput[] = [];
    for (const write of writes) {
      if (write.kind === 'install') write.onInstalled();
      if (write.kind !== 'persist') continue;
      for (const { to, message } of write.effect.then) this.#send(to, message);
      const { index, term, hardTerm } = write.effect;
      marks.push({ kind: 'persisted', index, term, hardTerm });
    }
    const fed = this.#plan.disk.isCoalescing ? marks.slice(-1) : marks;
    for (const mark of fed) this.#step(mark);
  }

  #apply({ entries }: Extract<Effect, { kind: 'apply' }>): void {
    for (const entry of entries) {
      this.machine.apply(entry);
      this.#requests.onApplied(entry);
    }
    const { index } = this.machine;
    this.#queue.push({ kind: 'applied', index, durable: this.durableImage.index });
    this.#requests.wakeReaders(index);
    this.#syncState();
  }

  /** The state machine's own database: one sync at a time, lagging behind. */
  #syncState(): void {
    if (this.#isStateSyncing || this.machine.index === this.durableImage.index) return;
    this.#isStateSyncing = true;
    const { life } = this;
    const image = this.machine.image();
    const delay = exponential(this.#d.rng, 2 * this.#plan.disk.syncMs) + this.disk.slowMs;
    this.#d.clock.setTimer(delay, () => {
      if (life !== this.life) return;
      this.#isStateSyncing = false;
      // An installed snapshot may have overtaken it.
      if (image.index > this.durableImage.index) this.durableImage = image;
      this.#whenAwake(() => {
        const durable = Math.min(this.durableImage.index, this.machine.index);
        this.#step({ kind: 'applied', index: this.machine.index, durable });
      });
      this.#syncState();
    });
  }

  #sendSnapshot(to: NodeId): void {
    const { core, life } = this;
    if (core === undefined) return;
    const image = this.machine.image();
    const conf = core.confAt(image.index);
    assert(conf !== undefined, `the log is past the state at ${image.index}`);
    const meta = { index: image.index, term: image.term, conf };
    const delivery: SnapshotDelivery = { from: this.id, term: core.term, meta, image };
    const delay = 5 + exponential(this.#d.rng, 50);
    this.#d.clock.setTimer(delay, () => {
      const ok = this.#d.network.isOpen(this.id, to) && this.#d.sendSnapshot(to, delivery);
      if (life === this.life) this.feed({ kind: 'snapshot-sent', to, index: meta.index, ok });
    });
  }

  #install(meta: SnapshotMeta): void {
    const staged = this.#staged;
    assert(staged?.meta.index === meta.index, 'the staged snapshot is another one');
    this.#d.faults.snapshot += 1;
    const onInstalled = (): void => {
      this.durableImage = staged.image;
      this.machine = new RegisterMachine(staged.image);
      this.#d.monitor.onInstalled(this, meta);
      this.#step({ kind: 'snapshot-installed', meta });
      this.#requests.wakeReaders(meta.index);
      this.#requests.forgetUpTo(meta.index);
    };
    this.disk.write({ kind: 'install', meta, onInstalled });
  }

  #tick(): void {
    if (this.core === undefined || this.isPaused) return;
    if (this.#clock.now() < this.core.nextDeadline()) {
      this.#arm();
      return;
    }
    this.#step({ kind: 'tick' });
    const listener = this.#onTick;
    this.#onTick = undefined;
    listener?.();
  }

  /** One timer at the earliest moment that was ever wanted; it looks again when it rings. */
  #arm(): void {
    const { core, life } = this;
    if (core === undefined) return;
    const wanted = this.#clock.whenItReads(core.nextDeadline());
    if (!Number.isFinite(wanted) || wanted >= this.#timerAt) return;
    const now = this.#d.clock.now();
    const at = Math.max(wanted, now);
    this.#timerAt = at;
    this.#d.clock.setTimer(at - now, () => {
      if (life !== this.life || this.#timerAt !== at) return;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#tick();
    });
  }
}
