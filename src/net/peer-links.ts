/**
 * The connections to one peer node, on all lanes, whoever dialled them, and the wait for one
 * where there is none.
 *
 * When both sides dial at once there are two. Both work; new calls take the one that the node
 * whose name comes first dialled, and the other side retires its own. So both choose alike, and no
 * call is lost.
 */
import { type Clock, IdunnoError, type Ms, type NodeId, type Timer } from '../base/index.js';
import { LaneKeeper } from './lane-keeper.js';
import type { Link } from './link.js';
import { PeerWatch } from './peer-watch.js';
import type { Address, Lane, PeerEvents } from './types.js';

/** One attempt: connecting and greeting. Those who wait for it have deadlines of their own. */
const DIAL_TIMEOUT_MS = 1000;

/** A failed attempt answers for this long: many callers must not mean many attempts. */
const FAILURE_FRESH_MS = 20;

export interface PeerLinksHost {
  readonly clock: Clock;
  readonly self: string;
  dial(address: Address, expects: string, lane: Lane, timeoutMs: Ms): Promise<Link>;
  readonly events: PeerEvents;
}

interface Waiter {
  readonly resolve: (link: Link) => void;
  readonly reject: (error: IdunnoError) => void;
}

class LaneState {
  links: Link[] = [];
  isDialing = false;
  readonly waiters = new Set<Waiter>();
  failure: { readonly atMs: Ms; readonly error: IdunnoError } | undefined;
}

export class PeerLinks {
  readonly name: NodeId;
  readonly watch: PeerWatch;
  readonly #heartbeats: LaneKeeper;
  readonly #host: PeerLinksHost;
  readonly #lanes: Readonly<Record<Lane, LaneState>> = {
    control: new LaneState(),
    bulk: new LaneState(),
    heartbeat: new LaneState(),
  };
  /** Is the connection that we dial the one that stays? */
  readonly #isOursPreferred: boolean;
  #address: Address | undefined;
  #isKept = false;
  #isClosed = false;

  constructor(name: NodeId, host: PeerLinksHost) {
    this.name = name;
    this.#host = host;
    this.#isOursPreferred = host.self < name;
    const watched = {
      clock: host.clock,
      connect: async () => {
        await this.open('control', DIAL_TIMEOUT_MS, true);
      },
      isConnected: () => this.pick('control') !== undefined,
      events: host.events,
    };
    this.watch = new PeerWatch(watched, this.#isOursPreferred);
    const kept = {
      clock: host.clock,
      open: () => this.open('heartbeat', DIAL_TIMEOUT_MS, true),
      isOpen: () => this.pick('heartbeat') !== undefined,
      isWanted: () => this.#isKept && !this.#isClosed && this.pick('control') !== undefined,
      doubt: () => this.pick('heartbeat')?.doubt(),
      onRefused: () => this.#endRefused(),
    };
    this.#heartbeats = new LaneKeeper(kept, this.#isOursPreferred);
  }

  /** Stay connected from now on, or no longer. */
  keep(isKept: boolean): void {
    if (this.#isKept === isKept) return;
    this.#isKept = isKept;
    this.watch.keep(isKept);
    this.#heartbeats.want();
  }

  setAddress(address: Address): void {
    const before = this.#address;
    this.#address = address;
    if (before?.host === address.host && before.port === address.port) return;
    this.watch.hurry();
  }

  /** The open link to use now. */
  pick(lane: Lane): Link | undefined {
    let best: Link | undefined;
    for (const link of this.#lanes[lane].links) {
      if (!link.isOpen) continue;
      const isPreferred = link.isDialed === this.#isOursPreferred;
      // The newer of two alike: the peer dialled again because the older is broken.
      if (best === undefined || isPreferred || best.isDialed !== this.#isOursPreferred) best = link;
    }
    return best;
  }

  /** The open link, or the next one. Throws UNAVAILABLE: nothing was sent. */
  async open(lane: Lane, timeoutMs: Ms, isForced = false, signal?: AbortSignal): Promise<Link> {
    const open = this.pick(lane);
    if (open !== undefined) return open;
    const state = this.#lanes[lane];
    const failure = state.failure;
    const isFresh = failure !== undefined && this.#nowMs - failure.atMs < FAILURE_FRESH_MS;
    if (isFresh && !isForced && !state.isDialing) throw failure.error;
    const link = this.#wait(state, timeoutMs, signal);
    if (!state.isDialing) void this.#dial(lane, state);
    return link;
  }

  /** A link is there, whoever dialled. */
  add(link: Link): void {
    const state = this.#lanes[link.lane];
    if (this.#isClosed) {
      link.close('closed');
      return;
    }
    const olds = state.links.filter((old) => old.isOpen);
    state.links.push(link);
    link.onClose(() => this.#remove(link));
    state.failure = undefined;
    for (const waiter of [...state.waiters]) waiter.resolve(link);
    this.#endRestarted(link);
    // A second link may mean that the first is dead and only the peer knows.
    for (const old of olds) old.doubt();
    this.#retireDoubles(state);
    if (link.lane === 'heartbeat') this.#heartbeats.onOpen();
    if (link.lane !== 'control') return;
    this.watch.onConnected(link.peer);
    this.#heartbeats.want();
  }

  close(): void {
    this.#isClosed = true;
    this.watch.stop();
    this.#heartbeats.stop();
    const error = new IdunnoError('UNAVAILABLE', 'this node is stopping');
    for (const state of Object.values(this.#lanes)) {
      for (const waiter of [...state.waiters]) waiter.reject(error);
    }
  }

  get #nowMs(): Ms {
    return this.#host.clock.now();
  }

  #wait(state: LaneState, timeoutMs: Ms, signal: AbortSignal | undefined): Promise<Link> {
    return new Promise((resolve, reject) => {
      const end = () => {
        timer.cancel();
        state.waiters.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        resolve: (link) => {
          end();
          resolve(link);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      const onAbort = () => waiter.reject(new IdunnoError('ABORTED', 'the call was cancelled'));
      const timer: Timer = this.#host.clock.setTimer(timeoutMs, () => {
        const text = `${this.name} cannot be reached within ${Math.round(timeoutMs)} ms`;
        waiter.reject(new IdunnoError('UNAVAILABLE', text, { peer: this.name, reason: 'timeout' }));
      });
      state.waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  async #dial(lane: Lane, state: LaneState): Promise<void> {
    const address = this.#address;
    state.isDialing = true;
    try {
      if (address === undefined) throw this.#unavailable('its address is not known', 'unknown');
      const link = await this.#host.dial(address, this.name, lane, DIAL_TIMEOUT_MS);
      state.isDialing = false;
      this.add(link);
    } catch (cause) {
      state.isDialing = false;
      const error = this.#dialError(cause);
      state.failure = { atMs: this.#nowMs, error };
      for (const waiter of [...state.waiters]) waiter.reject(error);
    }
  }

  /** Refusals keep their code; what could not be reached is UNAVAILABLE with the same reason. */
  #dialError(cause: unknown): IdunnoError {
    if (!(cause instanceof IdunnoError)) return this.#unavailable(String(cause), 'unknown');
    if (cause.code !== 'CONNECTION_LOST') return cause;
    const at = `${this.#address?.host}:${this.#address?.port}`;
    const reason = String(cause.data['reason'] ?? 'unknown');
    return this.#unavailable(`connecting to ${at} failed: ${reason}`, reason);
  }

  #unavailable(why: string, reason: string): IdunnoError {
    const text = `${this.name} cannot be reached: ${why}`;
    return new IdunnoError('UNAVAILABLE', text, { peer: this.name, reason });
  }

  #remove(link: Link): void {
    const state = this.#lanes[link.lane];
    state.links = state.links.filter((other) => other !== link);
    if (state.links.length > 0 || this.#isClosed) return;
    if (link.lane === 'control') this.watch.onDisconnected();
    if (link.lane === 'heartbeat') this.#heartbeats.onLost();
  }

  /** Nobody listens where the peer did: what is open to its process is dead, and nobody said so. */
  #endRefused(): void {
    for (const { links } of Object.values(this.#lanes)) {
      for (const link of [...links]) link.close('refused');
    }
  }

  /** What is still open to the peer's former process will never be answered. */
  #endRestarted(link: Link): void {
    for (const { links } of Object.values(this.#lanes)) {
      for (const other of [...links]) {
        if (other.peer.bootEpoch !== link.peer.bootEpoch) other.close('new-epoch');
      }
    }
  }

  /** Ends what we dialled beside the connection that stays. */
  #retireDoubles(state: LaneState): void {
    if (this.#isOursPreferred) return;
    if (!state.links.some((link) => link.isOpen && !link.isDialed)) return;
    for (const link of state.links) if (link.isDialed && link.isOpen) link.retire();
  }
}
