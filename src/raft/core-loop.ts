/**
 * The loop around a running core: inputs in, effects out, in order; one timer for the core's next
 * deadline.
 *
 * Effects may lead to inputs at once (an applied entry, a write that failed): those queue up and
 * are taken after the effects of the present step, so a step never starts inside another.
 * A late timer first lets the inbox be read: what looks like silence may be waiting there.
 */
import {
  assertNever,
  type Clock,
  IdunnoError,
  type LogIndex,
  type Ms,
  type NodeId,
  type Rng,
  type Term,
  type Timer,
} from '../base/index.js';
import type { Rpc } from '../net/index.js';
import { ApplyLoop } from './apply-loop.js';
import { CommitNotices } from './commit-notices.js';
import type { RaftOptions } from './config.js';
import { DiskPipeline } from './disk-pipeline.js';
import { type AppliedBarriers, notLeader, type Proposals, type Reads } from './pending.js';
import { RaftCore } from './raft.js';
import type { RaftStatus } from './status.js';
import type {
  ConfState,
  Effect,
  Entry,
  HardState,
  Input,
  LogStore,
  Message,
  RejectReason,
  ReplicatedMachine,
  Role,
  StoredState,
} from './types.js';
import { encodeMessage, laneOf, RAFT_NOTICE } from './wire.js';

/** Distributes over a union, as the built-in Omit does not. */
type WithoutNow<T> = T extends unknown ? Omit<T, 'now'> : never;

/** The loop adds the time. */
export type TimelessInput = WithoutNow<Input>;

export interface CoreLoopParts {
  readonly core: RaftOptions;
  readonly stored: StoredState;
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logStore: LogStore;
  readonly machine: ReplicatedMachine;
  readonly proposals: Proposals;
  readonly reads: Reads;
  readonly barriers: AppliedBarriers;
  readonly onRole: (role: Role, term: Term, leader: NodeId | undefined) => void;
  /** The no-op of `term` has been applied: the leader of that term is ready. */
  readonly onNoop: (term: Term) => void;
  readonly onTransferDone: (to: NodeId | undefined) => void;
  readonly onReconfigured: (answer: ReconfigureAnswer) => void;
  readonly onConf: (effect: ConfEffect) => void;
  readonly sendSnapshot: (to: NodeId) => void;
  /** A suspect node has everything again. */
  readonly onTrusted: () => void;
  readonly onFailure: (error: unknown) => void;
}

export type ReconfigureAnswer = Extract<
  Effect,
  { kind: 'reconfigure-accepted' | 'reconfigure-rejected' }
>;
export type ConfEffect = Extract<Effect, { kind: 'conf' }>;

/** A timer this late says that the process was held up. */
const LATE_MS: Ms = 5;

export class CoreLoop {
  readonly #parts: CoreLoopParts;
  readonly #core: RaftCore;
  readonly #disk: DiskPipeline;
  readonly #applies: ApplyLoop;
  readonly #outbound: CommitNotices;
  readonly #inputs: Input[] = [];
  #isFeeding = false;
  #isStopped = false;
  #isFlushPlanned = false;
  #timer: Timer | undefined;
  #timerAt: Ms = 0;
  #isInboxDrained = false;
  #isSuspect: boolean;

  constructor(parts: CoreLoopParts) {
    const { stored, clock, machine, logStore, onFailure } = parts;
    this.#parts = parts;
    this.#core = new RaftCore(parts.core, stored, clock.now());
    this.#isSuspect = this.#core.isSuspect;
    this.#outbound = new CommitNotices(clock, (to, message) => this.#send(to, message));
    this.#applies = new ApplyLoop(stored.applied, {
      machine,
      clock,
      onApplied: (entries, results) => this.#onApplied(entries, results),
      onFailure,
    });
    this.#disk = new DiskPipeline(stored.hardState, {
      logStore,
      clock,
      onPersisted: ({ index, term, hardTerm, then }) => {
        if (this.#isStopped) return;
        for (const { to, message } of then) this.#outbound.send(to, message);
        this.feed({ kind: 'persisted', index, term, hardTerm });
      },
      installStaged: (meta) => machine.installStaged(meta),
      onInstalled: (meta) => {
        this.#applies.resumeAt(meta.index);
        parts.barriers.onApplied(meta.index);
        this.feed({ kind: 'snapshot-installed', meta });
      },
      onFailure,
    });
    machine.onDurable((index) => {
      this.#applies.onDurable(index);
      this.#feedApplied();
    });
    this.#arm();
  }

  get applied(): LogIndex {
    return this.#applies.applied;
  }

  get durable(): LogIndex {
    return this.#applies.durable;
  }

  get lastWriteMs(): Ms {
    return this.#disk.lastWriteMs;
  }

  status(): RaftStatus {
    return this.#core.status();
  }

  /** See RaftCore.confAt. */
  confAt(index: LogIndex): ConfState | undefined {
    return this.#core.confAt(index);
  }

  feed(input: TimelessInput): void {
    if (this.#isStopped) return;
    this.#inputs.push({ ...input, now: this.#parts.clock.now() } as Input);
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        const effects = this.#core.step(next);
        const isWriting = effects.some((effect) => effect.kind === 'persist');
        for (const effect of effects) this.#perform(effect, isWriting);
      }
    } catch (error) {
      this.#parts.onFailure(error);
    } finally {
      this.#isFeeding = false;
    }
    this.#arm();
    if (this.#isSuspect && !this.#core.isSuspect) {
      this.#isSuspect = false;
      this.#parts.onTrusted();
    }
  }

  /**
   * Proposals of one turn go together. They do not wait for the own disk: the followers' disks work
   * meanwhile, and whoever proposes bounds how much is under way.
   */
  planFlush(): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  get hardState(): HardState {
    return this.#disk.hardState;
  }

  /** From now on nothing is done. Resolves when the disk has ended what it was given. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#outbound.stop();
    this.#applies.stop();
    await this.#disk.drained();
  }

  #flush(): void {
    const { proposals, clock } = this.#parts;
    if (proposals.queued === 0) return;
    const timeMs = Math.floor(clock.wall());
    this.feed({ kind: 'propose', proposals: proposals.takeQueued(timeMs) });
  }

  // ---- time ----

  /** A deadline that moved back is noticed when the timer fires: cheaper than setting it anew. */
  #arm(): void {
    const at = this.#core.nextDeadline();
    if (this.#isStopped || at === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined) {
      if (this.#timerAt <= at) return;
      this.#timer.cancel();
    }
    this.#timerAt = at;
    this.#setTimer(Math.max(0, at - this.#parts.clock.now()));
  }

  #setTimer(delayMs: Ms): void {
    this.#timer = this.#parts.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      this.#onTimer();
    });
  }

  #onTimer(): void {
    const lateMs = this.#parts.clock.now() - this.#core.nextDeadline();
    if (lateMs < 0) {
      this.#arm();
    } else if (lateMs > LATE_MS && !this.#isInboxDrained) {
      this.#isInboxDrained = true;
      this.#setTimer(0);
    } else {
      this.#isInboxDrained = false;
      this.feed({ kind: 'tick' });
    }
  }

  // ---- effects ----

  #perform(effect: Effect, isWriting: boolean): void {
    const { proposals, reads, onRole, onTransferDone, sendSnapshot } = this.#parts;
    switch (effect.kind) {
      case 'send':
        this.#outbound.send(effect.to, effect.message);
        break;
      case 'persist':
        this.#disk.persist(effect);
        break;
      case 'apply':
        this.#applies.push(effect.entries, !isWriting);
        break;
      case 'proposed':
        proposals.onProposed(effect.id, effect.index, effect.term);
        break;
      case 'proposal-rejected':
        proposals.onRejected(effect.id, whyRejected(effect.reason, effect.leader));
        break;
      case 'read-ready':
        reads.onReady(effect.id, effect.index);
        break;
      case 'read-rejected':
        reads.onRejected(effect.id, effect.leader);
        break;
      case 'role':
        onRole(effect.role, effect.term, effect.leader);
        break;
      case 'send-snapshot':
        sendSnapshot(effect.to);
        break;
      case 'install-snapshot':
        this.#applies.pause();
        this.#disk.install(effect.meta);
        break;
      case 'compact':
        this.#disk.compact(effect.meta);
        break;
      case 'transfer-done':
        onTransferDone(effect.to);
        break;
      case 'reconfigure-accepted':
      case 'reconfigure-rejected':
        this.#parts.onReconfigured(effect);
        break;
      case 'conf':
        this.#parts.onConf(effect);
        break;
      default:
        assertNever(effect, 'effect');
    }
  }

  #send(to: NodeId, message: Message): void {
    const { args, body } = encodeMessage(message);
    this.#parts.rpc.notify(to, RAFT_NOTICE, args, body, laneOf(message.type));
  }

  #onApplied(entries: readonly Entry[], results: readonly unknown[]): void {
    const { proposals, barriers, onNoop } = this.#parts;
    for (const [at, { index, term }] of entries.entries()) {
      proposals.onApplied(index, term, results[at]);
    }
    barriers.onApplied(this.applied);
    this.#feedApplied();
    for (const entry of entries) if (entry.kind === 'noop') onNoop(entry.term);
  }

  #feedApplied(): void {
    this.feed({ kind: 'applied', index: this.applied, durable: this.durable });
  }
}

function whyRejected(reason: RejectReason, leader: NodeId | undefined): IdunnoError {
  switch (reason) {
    case 'not-leader':
      return notLeader(leader, 'a command came to a node that does not lead');
    case 'busy':
      return new IdunnoError('BUSY', 'too many commands wait for a quorum', { retryAfterMs: 50 });
    case 'transferring':
      return notLeader(undefined, 'the leader is handing over');
    default:
      return assertNever(reason, 'reason');
  }
}
