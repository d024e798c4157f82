/**
 * A coordinator's part in consensus: starts and stops the loop around the core (core-loop.ts) and
 * offers what the state machine's services need: propose, read, wait, know the leader. It decides
 * nothing about consensus.
 *
 *     rpc notices, peer events, timer, proposals, reads
 *            │                                       ┌──▶ rpc.notify (sends)
 *            ▼                                       ├──▶ DiskPipeline ──▶ persisted, `then`
 *         inputs ──▶ core.step ──▶ effects, in order ┼──▶ ApplyLoop ──▶ results, applied
 *            ▲                                       ├──▶ SnapshotTransfer
 *            └───────────────────────────────────────┴──▶ roles, proposals, reads
 *
 *     new ──▶ waiting (empty folder: first-boot.ts) ──▶ running ──▶ stopped
 *       └──────────────────────────────────────────────▶ │  ▲ └───▶ failed (onFatal)
 *                                                        └──┘ resync: damage was found
 *
 * Proposals are batched naturally: what comes while the disk is busy goes into the next write.
 * A failed log write, a failed machine and a broken invariant are fatal: `onFatal`, then silence.
 */
import {
  asIdunnoError,
  assert,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type NodeId,
  type Term,
} from '../base/index.js';
import { Beginnings, STRANGER } from './beginnings.js';
import { type ConfTarget, confOf } from './conf.js';
import { type ConfEffect, CoreLoop } from './core-loop.js';
import { DoubtWatch } from './doubt-watch.js';
import type {
  DriverPhase,
  DriverStatus,
  MembersEvent,
  RaftDriverOptions,
  RaftDriverParts,
  RoleEvent,
} from './driver-types.js';
import { FirstBoot, type PeerState } from './first-boot.js';
import { hearPeers } from './hear-peers.js';
import { PendingChanges } from './pending-changes.js';
import { PendingTransfers } from './pending-transfers.js';
import {
  AppliedBarriers,
  notLeader,
  Proposals,
  type Proposed,
  Reads,
  type WaitOptions,
} from './pending.js';
import { membersOf } from './quorum.js';
import { ReadService } from './read-service.js';
import { type Reconciled, reconcile } from './reconcile.js';
import { SnapshotTransfer } from './snapshot-transfer.js';
import { Standing } from './standing.js';
import type { StoredState } from './types.js';

export class RaftDriver {
  readonly #options: RaftDriverOptions;
  readonly #parts: RaftDriverParts;
  readonly #firstBoot: FirstBoot;
  readonly #snapshots: SnapshotTransfer;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #barriers: AppliedBarriers;
  readonly #readService: ReadService;
  readonly #beginnings: Beginnings;
  readonly #standing: Standing;
  readonly #transfers: PendingTransfers;
  /** Ends the wait to found the cluster: by stopping, or because this node joins one. */
  readonly #founding = new AbortController();
  readonly #stop = new AbortController();
  readonly #changes = new PendingChanges();
  readonly #doubts: DoubtWatch;
  #resyncing: Promise<void> | undefined;
  #phase: DriverPhase = 'new';
  #loop: CoreLoop | undefined;

  constructor(options: RaftDriverOptions, parts: RaftDriverParts) {
    this.#options = options;
    this.#parts = parts;
    const { self, coordinators, bootFile, forceBootstrap = false } = options;
    this.#firstBoot = new FirstBoot(
      { self, coordinators, bootFile, forceBootstrap },
      { ...parts, onJoin: (term) => this.#join(term) },
    );
    this.#beginnings = new Beginnings(coordinators, { ...parts, firstBoot: this.#firstBoot });
    this.#standing = new Standing(self, parts.log);
    this.#transfers = new PendingTransfers(parts.clock);
    this.#proposals = new Proposals(parts.clock);
    this.#reads = new Reads(parts.clock);
    this.#readService = new ReadService({
      ...parts,
      self,
      reads: this.#reads,
      leader: () => (this.#phase === 'running' ? this.leader : undefined),
      isLeading: () => this.#standing.isLeading,
      notLeader: () => this.#notLeader(),
      feed: (id) => this.#loop?.feed({ kind: 'read-index', id }),
    });
    this.#barriers = new AppliedBarriers(parts.clock);
    this.#doubts = new DoubtWatch({
      ...parts,
      self,
      voters: () => this.#loop?.status().voters ?? coordinators,
      hasLeader: () => this.leader !== undefined,
    });
    this.#snapshots = new SnapshotTransfer({
      ...parts,
      spoolPath: `${bootFile}.snapshot`,
      term: () => this.role.term,
      confAt: (index) => this.#loop?.confAt(index),
      onSent: (to, index, ok) => this.#loop?.feed({ kind: 'snapshot-sent', to, index, ok }),
      onStaged: (from, term, meta) =>
        this.#loop?.feed({ kind: 'snapshot-received', from, term, meta }),
    });
  }

  /**
   * Reads the log back and takes part. With an empty folder it first waits, in the background,
   * until the cluster may be founded. Where the log or the state is damaged it takes part as a
   * suspect node, until it has caught up.
   */
  async start(): Promise<void> {
    assert(this.#phase === 'new', 'a driver starts once');
    const { logStore, machine } = this.#parts;
    const { origin } = this.#beginnings;
    const found = await reconcile(await logStore.load(), logStore, machine, origin);
    await this.#firstBoot.open(found.stored === undefined, found.wiped !== undefined);
    this.#readService.serve();
    hearPeers(this.#parts, (input) => this.#loop?.feed(input));
    if (found.stored !== undefined) {
      this.#begin(found.stored, found.doubt);
      return;
    }
    if (found.wiped !== undefined) this.#parts.log.error('raft.wiped', { reason: found.wiped });
    this.#phase = 'waiting';
    if (!this.#firstBoot.isFounder) return;
    this.#keepConnected(this.#options.coordinators);
    this.#found().catch((error: unknown) => {
      if (!this.#founding.signal.aborted) this.#fail(error);
    });
  }

  /** Resolves when the entry is applied here. Throws NOT_LEADER, BUSY, UNKNOWN_OUTCOME. */
  propose(data: Uint8Array, options: WaitOptions): Promise<Proposed> {
    if (!this.#standing.isLeading) return Promise.reject(this.#notLeader());
    const promise = this.#proposals.add(data, options);
    this.#loop?.planFlush();
    return promise;
  }

  /**
   * The index that a linearizable read must see applied; asks the leader where this node is not
   * it. Throws NOT_LEADER, NO_LEADER, UNAVAILABLE.
   */
  readIndex(options: WaitOptions): Promise<LogIndex> {
    return this.#readService.readIndex(options);
  }

  /** Resolves when this node has applied everything up to the index. */
  waitApplied(index: LogIndex, options: WaitOptions): Promise<void> {
    if (this.applied >= index) return Promise.resolve();
    return this.#barriers.add(index, options);
  }

  get applied(): LogIndex {
    return this.#loop?.applied ?? 0;
  }

  /** The leader as far as this node knows. */
  get leader(): NodeId | undefined {
    return this.#standing.role.leader;
  }

  get role(): RoleEvent {
    return this.#standing.role;
  }

  /** Called at each change of role, term, leader or readiness. Must not throw. */
  onRole(listener: (event: RoleEvent) => void): void {
    this.#standing.onRole(listener);
  }

  get self(): NodeId {
    return this.#options.self;
  }

  /** Who is a member, as far as this node knows; nobody where it has no log. */
  get members(): MembersEvent {
    return this.#standing.members;
  }

  /** Called whenever the configuration in force here, or what is known about it, changes. */
  onMembers(listener: (event: MembersEvent) => void): void {
    this.#standing.onMembers(listener);
  }

  /** How a member stands that does not answer. */
  inspect(name: NodeId, signal: AbortSignal): Promise<PeerState> {
    return this.#firstBoot.inspect(name, signal);
  }

  /** See FirstBoot.invite. */
  invite(name: NodeId, incarnation: string, term: Term, signal: AbortSignal): Promise<boolean> {
    return this.#firstBoot.invite(name, incarnation, term, signal);
  }

  /** Resolves with the new leader, or undefined where nobody took over. */
  async transferLeadership(to?: NodeId): Promise<NodeId | undefined> {
    if (!this.#standing.isLeading) return undefined;
    const target = to === undefined ? {} : { to };
    return this.#transfers.begin(() => this.#loop?.feed({ kind: 'transfer', ...target }));
  }

  /**
   * Begins a change of the members; resolves with the entry that begins it, or undefined where
   * everything is as asked for. Throws NOT_LEADER, NO_LEADER, BUSY, CHANGE_PENDING, BAD_ARGUMENT.
   */
  reconfigure(target: ConfTarget): Promise<LogIndex | undefined> {
    const loop = this.#loop;
    if (loop === undefined || !this.#standing.isLeading) return Promise.reject(this.#notLeader());
    return this.#changes.begin((id) => loop.feed({ kind: 'reconfigure', id, ...target }));
  }

  status(): DriverStatus {
    return {
      phase: this.#phase,
      isReady: this.role.isReady,
      applied: this.applied,
      durable: this.#loop?.durable ?? 0,
      lastWriteMs: this.#loop?.lastWriteMs ?? 0,
      queuedProposals: this.#proposals.queued,
      doubt: this.#doubts.reason,
      stuck: this.#doubts.stuck,
      raft: this.#loop?.status(),
    };
  }

  /**
   * Damage was found while running: what this node holds is thrown away, except its promises, and
   * sent by the leader again. A leader hands over first. Idempotent while it goes on.
   */
  resync(reason: string): Promise<void> {
    if (this.#phase !== 'running') return Promise.resolve();
    this.#resyncing ??= this.#startAgain(reason)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#resyncing = undefined;
      });
    return this.#resyncing;
  }

  /** Everybody who waits is told; then the log is closed. */
  async stop(): Promise<void> {
    if (this.#phase === 'stopped') return;
    this.#end('stopped', 'this node stops');
    await this.#resyncing;
    await this.#loop?.stop();
    await this.#parts.logStore.close();
  }

  // ---- starting ----

  async #found(): Promise<void> {
    const { signal } = this.#founding;
    await this.#firstBoot.waitUntilFounder(signal);
    signal.throwIfAborted();
    const stored = await this.#beginnings.found();
    if (this.#stop.signal.aborted) return;
    const { voters } = stored.snapshot.conf;
    this.#parts.log.info('raft.founded', { voters: voters.join(',') });
    this.#run(stored);
  }

  /** In the term of the leader that invites. */
  async #join(term: Term): Promise<boolean> {
    if (this.#phase !== 'waiting' || this.#founding.signal.aborted) return false;
    this.#founding.abort(new IdunnoError('ABORTED', 'this node joins a cluster that is there'));
    let stored: StoredState;
    try {
      stored = await this.#beginnings.join(term);
    } catch (error) {
      this.#fail(error);
      return false;
    }
    if (this.#stop.signal.aborted) return false;
    this.#parts.log.info('raft.joined', { term });
    this.#begin(stored, STRANGER);
    return true;
  }

  async #startAgain(reason: string): Promise<void> {
    this.#parts.log.error('raft.resync', { reason });
    if (this.#standing.isLeading) await this.transferLeadership();
    const loop = this.#loop;
    if (loop === undefined || this.#phase !== 'running') return;
    await loop.stop();
    this.#transfers.onDone(undefined);
    this.#proposals.onDeposed(undefined);
    this.#reads.rejectAll('this node starts over');
    this.#standing.stepDown();
    const stored = await this.#beginnings.startOver(reason, loop.hardState);
    if (!this.#stop.signal.aborted) this.#begin(stored, reason);
  }

  #begin(stored: StoredState, doubt: Reconciled['doubt']): void {
    if (doubt !== undefined) {
      this.#doubts.suspect(doubt, this.#stop.signal).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#fail(error);
      });
    }
    this.#run(stored, doubt !== undefined);
  }

  #run(stored: StoredState, isSuspect = false): void {
    const { self, timing, limits } = this.#options;
    const { rng } = this.#parts;
    this.#standing.startAt(stored.hardState.term);
    this.#phase = 'running';
    this.#loop = new CoreLoop({
      ...this.#parts,
      core: { self, timing, rng, isSuspect, ...(limits === undefined ? {} : { limits }) },
      stored,
      proposals: this.#proposals,
      reads: this.#reads,
      barriers: this.#barriers,
      onRole: (role, term, leader) => {
        const isDeposed = this.#standing.isLeading && role !== 'leader';
        this.#standing.setRole({ role, term, leader, isReady: false });
        if (isDeposed) this.#proposals.onDeposed(leader);
      },
      onNoop: (term) => {
        const now = this.role;
        if (now.role !== 'leader' || now.term !== term) return;
        this.#standing.setRole({ ...now, isReady: true });
      },
      onTransferDone: (to) => this.#transfers.onDone(to),
      onReconfigured: (answer) => this.#changes.onAnswer(answer),
      onConf: (effect) => this.#onConf(effect),
      sendSnapshot: (to) => {
        this.#snapshots.send(to).catch((error: unknown) => this.#fail(error));
      },
      onTrusted: () => this.#doubts.trust(this.applied),
      onFailure: (error) => {
        if (isIdunnoError(error, 'CORRUPT')) void this.resync(error.message);
        else this.#fail(error);
      },
    });
    const status = this.#loop.status();
    const { confIndex: index, isConfCommitted: isCommitted } = status;
    this.#onConf({ conf: confOf(status), index, isCommitted, isRemoved: false });
  }

  #notLeader(): IdunnoError {
    const { self } = this.#options;
    if (this.#phase === 'running') return notLeader(this.leader, `${self} does not lead`);
    return new IdunnoError('NO_LEADER', `${self} is ${this.#phase}: it is not part of a cluster`, {
      leader: null,
    });
  }

  // ---- changes and endings ----

  #onConf(effect: Omit<ConfEffect, 'kind'>): void {
    this.#keepConnected(membersOf(effect.conf));
    this.#standing.setMembers(effect);
  }

  #keepConnected(names: readonly NodeId[]): void {
    this.#parts.rpc.keepConnected(names.filter((name) => name !== this.#options.self));
  }

  #fail(error: unknown): void {
    if (this.#phase === 'failed' || this.#phase === 'stopped') return;
    this.#parts.log.error('raft.fatal', { error });
    this.#end('failed', 'this node has failed');
    this.#loop?.stop().catch(() => undefined);
    this.#parts.onFatal(error instanceof Error ? error : asIdunnoError(error));
  }

  #end(phase: 'failed' | 'stopped', why: string): void {
    this.#phase = phase;
    this.#stop.abort(new IdunnoError('ABORTED', why));
    this.#founding.abort(this.#stop.signal.reason);
    this.#snapshots.stop();
    this.#transfers.onDone(undefined);
    this.#changes.rejectAll(why);
    this.#proposals.rejectAll(why);
    this.#reads.rejectAll(why);
    this.#barriers.rejectAll(why);
    if (this.#standing.isLeading) this.#standing.stepDown();
  }
}
