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
  type Clock,
  type Disk,
  IdunnoError,
  isIdunnoError,
  type LogIndex,
  type Logger,
  type Ms,
  type NodeId,
  nodeId,
  type Rng,
  type Term,
} from '../base/index.js';
import type { HandlerContext, Peer, Rpc, Wire } from '../net/index.js';
import type { RaftLimits } from './config.js';
import { type ConfTarget, confOf, NO_CONF } from './conf.js';
import { type ConfEffect, CoreLoop } from './core-loop.js';
import { describeConf } from './describe.js';
import { DoubtWatch } from './doubt-watch.js';
import { FirstBoot, foundingOf, type PeerState } from './first-boot.js';
import { PendingChanges } from './pending-changes.js';
import {
  AppliedBarriers,
  notLeader,
  Proposals,
  type Proposed,
  Reads,
  type WaitOptions,
} from './pending.js';
import { type Reconciled, reconcile } from './reconcile.js';
import { membersOf } from './quorum.js';
import { SnapshotTransfer } from './snapshot-transfer.js';
import type { RaftStatus } from './status.js';
import type {
  ConfState,
  LogStore,
  RaftTiming,
  ReplicatedMachine,
  Role,
  StoredState,
} from './types.js';
import { decodeMessage, RAFT_NOTICE } from './wire.js';

export interface RaftDriverOptions {
  readonly self: NodeId;
  /** Voters of a cluster that does not exist yet. */
  readonly coordinators: readonly NodeId[];
  readonly timing: RaftTiming;
  readonly limits?: Partial<RaftLimits>;
  /** Keeps this node's incarnation and whom it founded the cluster with. */
  readonly bootFile: string;
  /** Found the cluster without asking the others: an operator's decision. */
  readonly forceBootstrap?: boolean;
}

export interface RaftDriverParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly log: Logger;
  readonly logStore: LogStore;
  readonly machine: ReplicatedMachine;
  /** A receiver found a snapshot of this node damaged: its rows should be looked at. */
  readonly onSnapshotRefused?: () => void;
  /** The process must end: what it would do from now on could not be trusted. */
  readonly onFatal: (error: Error) => void;
}

export interface RoleEvent {
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  /** Leads and has applied its own no-op: everything committed before is applied here. */
  readonly isReady: boolean;
}

export interface MembersEvent {
  readonly conf: ConfState;
  /** The entry since which it is in force. */
  readonly index: LogIndex;
  readonly isCommitted: boolean;
  /** This node is one of them. */
  readonly isMember: boolean;
}

export type DriverPhase = 'new' | 'waiting' | 'running' | 'failed' | 'stopped';

export interface DriverStatus {
  readonly phase: DriverPhase;
  readonly isReady: boolean;
  readonly applied: LogIndex;
  readonly durable: LogIndex;
  readonly lastWriteMs: Ms;
  readonly queuedProposals: number;
  /** Why this node is suspect: it follows and catches up, but neither votes nor leads. */
  readonly doubt: string | undefined;
  /** Why there can be no leader without a person's help. */
  readonly stuck: string | undefined;
  /** Undefined until the node is part of a cluster. */
  readonly raft: RaftStatus | undefined;
}

const READ_INDEX = 'raft.read-index';
const TRANSFER_TIMEOUT_MS: Ms = 5_000;
/** Why a new member is suspect: whoever had its name before may have promised anything. */
const STRANGER = 'it has just become a member, and has not caught up yet';

export class RaftDriver {
  readonly #options: RaftDriverOptions;
  readonly #parts: RaftDriverParts;
  readonly #firstBoot: FirstBoot;
  readonly #snapshots: SnapshotTransfer;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #barriers: AppliedBarriers;
  readonly #roleListeners: ((event: RoleEvent) => void)[] = [];
  readonly #memberListeners: ((event: MembersEvent) => void)[] = [];
  /** Ends the wait to found the cluster: by stopping, or because this node joins one. */
  readonly #founding = new AbortController();
  #members: MembersEvent = { conf: NO_CONF, index: 0, isCommitted: false, isMember: false };
  readonly #stop = new AbortController();
  readonly #changes = new PendingChanges();
  readonly #doubts: DoubtWatch;
  #resyncing: Promise<void> | undefined;
  #transfers: ((to: NodeId | undefined) => void)[] = [];
  #phase: DriverPhase = 'new';
  #loop: CoreLoop | undefined;
  #role: RoleEvent = { role: 'follower', term: 0, leader: undefined, isReady: false };

  constructor(options: RaftDriverOptions, parts: RaftDriverParts) {
    this.#options = options;
    this.#parts = parts;
    const { self, coordinators, bootFile, forceBootstrap = false } = options;
    this.#firstBoot = new FirstBoot(
      { self, coordinators, bootFile, forceBootstrap },
      { ...parts, onJoin: (term) => this.#join(term) },
    );
    this.#proposals = new Proposals(parts.clock);
    this.#reads = new Reads(parts.clock);
    this.#barriers = new AppliedBarriers(parts.clock);
    this.#doubts = new DoubtWatch({
      ...parts,
      self,
      voters: () => this.#loop?.status().voters ?? coordinators,
      hasLeader: () => this.#role.leader !== undefined,
    });
    this.#snapshots = new SnapshotTransfer({
      ...parts,
      spoolPath: `${bootFile}.snapshot`,
      term: () => this.#role.term,
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
    const { logStore, machine, rpc } = this.#parts;
    const { snapshot: origin } = foundingOf(this.#options.coordinators);
    const found = await reconcile(await logStore.load(), logStore, machine, origin);
    await this.#firstBoot.open(found.stored === undefined, found.wiped !== undefined);
    rpc.handle(READ_INDEX, (_args, _body, context) => this.#onReadIndex(context));
    rpc.handleNotice(RAFT_NOTICE, (args, body, peer) => this.#onNotice(args, body, peer));
    rpc.onPeer({
      up: (peer) => this.#onPeer('peer-up', peer),
      down: (peer, reason) => {
        // A closed connection alone proves nothing: it may be reopened at once.
        if (reason !== 'closed') this.#onPeer('peer-down', peer);
      },
    });
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
    if (this.#role.role !== 'leader') return Promise.reject(this.#notLeader());
    const promise = this.#proposals.add(data, options);
    this.#loop?.planFlush();
    return promise;
  }

  /**
   * The index that a linearizable read must see applied; asks the leader where this node is not
   * it. Throws NOT_LEADER, NO_LEADER, UNAVAILABLE.
   */
  async readIndex(options: WaitOptions): Promise<LogIndex> {
    const { leader } = this.#role;
    if (leader === this.#options.self) return this.#readIndexHere(options);
    if (leader === undefined || this.#phase !== 'running') throw this.#notLeader();
    const { value } = await this.#parts.rpc.call(leader, READ_INDEX, [], options);
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw new IdunnoError('PROTOCOL', `${leader} answered a read without an index`);
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
    return this.#role.leader;
  }

  get role(): RoleEvent {
    return this.#role;
  }

  /** Called at each change of role, term, leader or readiness. Must not throw. */
  onRole(listener: (event: RoleEvent) => void): void {
    this.#roleListeners.push(listener);
  }

  get self(): NodeId {
    return this.#options.self;
  }

  /** Who is a member, as far as this node knows; nobody where it has no log. */
  get members(): MembersEvent {
    return this.#members;
  }

  /** Called whenever the configuration in force here, or what is known about it, changes. */
  onMembers(listener: (event: MembersEvent) => void): void {
    this.#memberListeners.push(listener);
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
    if (this.#role.role !== 'leader') return undefined;
    return new Promise((resolve) => {
      const timer = this.#parts.clock.setTimer(TRANSFER_TIMEOUT_MS, () => resolve(undefined));
      this.#transfers.push((leader) => {
        timer.cancel();
        resolve(leader);
      });
      this.#loop?.feed({ kind: 'transfer', ...(to === undefined ? {} : { to }) });
    });
  }

  /**
   * Begins a change of the members; resolves with the entry that begins it, or undefined where
   * everything is as asked for. Throws NOT_LEADER, NO_LEADER, BUSY, CHANGE_PENDING, BAD_ARGUMENT.
   */
  reconfigure(target: ConfTarget): Promise<LogIndex | undefined> {
    const loop = this.#loop;
    if (loop === undefined || this.#role.role !== 'leader')
      return Promise.reject(this.#notLeader());
    return this.#changes.begin((id) => loop.feed({ kind: 'reconfigure', id, ...target }));
  }

  status(): DriverStatus {
    return {
      phase: this.#phase,
      isReady: this.#role.isReady,
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
    const { logStore, machine, log } = this.#parts;
    const { signal } = this.#founding;
    await this.#firstBoot.waitUntilFounder(signal);
    signal.throwIfAborted();
    const { snapshot, hardState, entry } = foundingOf(this.#options.coordinators);
    await Promise.all([logStore.reset(snapshot, hardState), logStore.write({ append: [entry] })]);
    await this.#firstBoot.markMember();
    if (this.#stop.signal.aborted) return;
    log.info('raft.founded', { voters: snapshot.conf.voters.join(',') });
    const stored = { hardState, snapshot, entries: [entry], applied: machine.appliedIndex };
    assert(stored.applied === 0, 'a state machine without a log');
    this.#run(stored);
  }

  async #startAgain(reason: string): Promise<void> {
    const { log, logStore, machine } = this.#parts;
    log.error('raft.resync', { reason });
    if (this.#role.role === 'leader') await this.transferLeadership();
    const loop = this.#loop;
    if (loop === undefined || this.#phase !== 'running') return;
    await loop.stop();
    this.#onTransferDone(undefined);
    this.#proposals.onDeposed(undefined);
    this.#reads.rejectAll('this node starts over');
    this.#setRole({ role: 'follower', term: this.#role.term, leader: undefined, isReady: false });
    const { hardState } = loop;
    await logStore.doubt(reason);
    await machine.startOver();
    const { snapshot } = foundingOf(this.#options.coordinators);
    await logStore.startOver(snapshot, hardState);
    if (this.#stop.signal.aborted) return;
    this.#begin({ hardState, snapshot, entries: [], applied: 0 }, reason);
  }

  #begin(stored: StoredState, doubt: Reconciled['doubt']): void {
    if (doubt !== undefined) {
      this.#parts.log.warn('raft.suspect', { reason: doubt });
      this.#doubts.suspect(doubt, this.#stop.signal).catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#fail(error);
      });
    }
    this.#run(stored, doubt !== undefined);
  }

  #onTrusted(): void {
    const { logStore, log } = this.#parts;
    this.#doubts.trust();
    logStore.trust().then(
      () => log.info('raft.trusted', { applied: this.applied }),
      // It stays noted: the next boot asks a leader once more, which costs nothing but that.
      (error: unknown) => log.warn('raft.note-not-removed', { error }),
    );
  }

  /** In the term of the leader that invites: older ones must not be listened to. */
  async #join(term: Term): Promise<boolean> {
    if (this.#phase !== 'waiting' || this.#founding.signal.aborted) return false;
    this.#founding.abort(new IdunnoError('ABORTED', 'this node joins a cluster that is there'));
    const { logStore, log, machine } = this.#parts;
    const { snapshot } = foundingOf(this.#options.coordinators);
    const hardState = { term, vote: undefined };
    try {
      // First of all, or a crash could leave a log that looks like a founder's.
      await logStore.doubt(STRANGER);
      await logStore.reset(snapshot, hardState);
      await this.#firstBoot.markMember();
    } catch (error) {
      this.#fail(error);
      return false;
    }
    if (this.#stop.signal.aborted) return false;
    log.info('raft.joined', { term });
    assert(machine.appliedIndex === 0, 'a state machine without a log');
    this.#begin({ hardState, snapshot, entries: [], applied: 0 }, STRANGER);
    return true;
  }

  #run(stored: StoredState, isSuspect = false): void {
    const { self, timing, limits } = this.#options;
    const { rng } = this.#parts;
    this.#role = { ...this.#role, term: stored.hardState.term };
    this.#phase = 'running';
    this.#loop = new CoreLoop({
      ...this.#parts,
      core: { self, timing, rng, isSuspect, ...(limits === undefined ? {} : { limits }) },
      stored,
      proposals: this.#proposals,
      reads: this.#reads,
      barriers: this.#barriers,
      onRole: (role, term, leader) => {
        const isDeposed = this.#role.role === 'leader' && role !== 'leader';
        this.#setRole({ role, term, leader, isReady: false });
        if (isDeposed) this.#proposals.onDeposed(leader);
      },
      onNoop: (term) => {
        const { role, term: ownTerm } = this.#role;
        if (role === 'leader' && ownTerm === term) this.#setRole({ ...this.#role, isReady: true });
      },
      onTransferDone: (to) => this.#onTransferDone(to),
      onReconfigured: (answer) => this.#changes.onAnswer(answer),
      onConf: (effect) => this.#onConf(effect),
      sendSnapshot: (to) => {
        this.#snapshots.send(to).catch((error: unknown) => this.#fail(error));
      },
      onTrusted: () => this.#onTrusted(),
      onFailure: (error) => {
        if (isIdunnoError(error, 'CORRUPT')) void this.resync(error.message);
        else this.#fail(error);
      },
    });
    const status = this.#loop.status();
    const { confIndex: index, isConfCommitted: isCommitted } = status;
    this.#onConf({ conf: confOf(status), index, isCommitted, isRemoved: false });
  }

  // ---- from outside ----

  #onNotice(args: readonly Wire[], body: Uint8Array, peer: Peer): void {
    if (peer.kind !== 'node') return;
    try {
      const message = decodeMessage(args, body);
      this.#loop?.feed({ kind: 'message', from: nodeId(peer.name), message });
    } catch (error) {
      if (!isIdunnoError(error)) throw error;
      this.#parts.log.warn('raft.bad-message', { from: peer.name, error });
    }
  }

  #onPeer(kind: 'peer-up' | 'peer-down', peer: Peer): void {
    if (peer.kind === 'node') this.#loop?.feed({ kind, peer: nodeId(peer.name) });
  }

  async #onReadIndex({ signal, deadlineMs }: HandlerContext): Promise<{ value: Wire }> {
    const timeoutMs = Math.max(1, deadlineMs - this.#parts.clock.now());
    return { value: await this.#readIndexHere({ signal, timeoutMs }) };
  }

  async #readIndexHere(options: WaitOptions): Promise<LogIndex> {
    if (this.#role.role !== 'leader') throw this.#notLeader();
    const { id, promise } = this.#reads.add(options);
    this.#loop?.feed({ kind: 'read-index', id });
    return promise;
  }

  #notLeader(): IdunnoError {
    const { self } = this.#options;
    if (this.#phase === 'running') return notLeader(this.#role.leader, `${self} does not lead`);
    return new IdunnoError('NO_LEADER', `${self} is ${this.#phase}: it is not part of a cluster`, {
      leader: null,
    });
  }

  // ---- changes and endings ----

  #setRole(event: RoleEvent): void {
    const { role, term, leader, isReady } = event;
    this.#role = event;
    this.#parts.log.info('raft.role', { role, term, leader: leader ?? '', isReady });
    for (const listener of this.#roleListeners) listener(event);
  }

  #onConf({ conf, index, isCommitted, isRemoved }: Omit<ConfEffect, 'kind'>): void {
    const { log } = this.#parts;
    const members = membersOf(conf);
    const isMember = !isRemoved && members.includes(this.#options.self);
    this.#members = { conf, index, isCommitted, isMember };
    log.info('raft.members', { members: describeConf(conf), index, isCommitted, isMember });
    this.#keepConnected(members);
    for (const listener of this.#memberListeners) listener(this.#members);
  }

  #keepConnected(names: readonly NodeId[]): void {
    this.#parts.rpc.keepConnected(names.filter((name) => name !== this.#options.self));
  }

  #onTransferDone(to: NodeId | undefined): void {
    const transfers = this.#transfers;
    this.#transfers = [];
    for (const resolve of transfers) resolve(to);
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
    this.#onTransferDone(undefined);
    this.#changes.rejectAll(why);
    this.#proposals.rejectAll(why);
    this.#reads.rejectAll(why);
    this.#barriers.rejectAll(why);
    if (this.#role.role !== 'leader') return;
    this.#setRole({ role: 'follower', term: this.#role.term, leader: undefined, isReady: false });
  }
}
