/**
 * Is the peer node there? Judged by its control connection alone, fast enough to replace a dead
 * Raft leader within tens of milliseconds, and kept up for the peers that are named to be kept.
 *
 *                 connected               last control connection closed
 *     unknown ──────────────────▶ up ─────────────────────────────────────▶ checking
 *                                 ▲ ▲                                          │
 *                                 │ └──── the same boot epoch answers ─────────┤
 *                     connected   │ └──── another boot epoch: down, then up ───┤
 *                 down ───────────┘                                            │
 *                  ▲                refused, or nothing within 30 ms           │
 *                  └───────────────────────────────────────────────────────────┘
 *
 * A closed connection alone proves nothing (a cable, a restart of one side's link); a refused
 * reconnection proves that the process is gone; silence is taken for it, at the cost of a needless
 * election when it is wrong, never of safety.
 */
import { type BootEpoch, type Clock, isIdunnoError, type Ms, type Timer } from '../base/index.js';
import type { Peer, PeerEvents } from './types.js';

/** How long reconnecting may stay unanswered before the peer counts as down. */
const SILENCE_MS = 30;

/** A timer later than this was held up by our own process. */
const OVERSLEPT_MS = 15;

/** Between two attempts while a dying process's backlog still accepts and then resets. */
const RETRY_MS = 2;

const BACK_OFF_MIN_MS = 20;
const BACK_OFF_MAX_MS = 250;

/** The node whose name comes later lets the other dial first: mostly one connection is made. */
const YIELD_MS = 100;

export type DownReason = Parameters<PeerEvents['down']>[1];

export interface WatchHost {
  readonly clock: Clock;
  /** Opens a control connection; resolves when there is one. Throws why not. */
  connect(): Promise<void>;
  /** Is there a control connection now? */
  isConnected(): boolean;
  readonly events: PeerEvents;
}

export class PeerWatch {
  readonly #host: WatchHost;
  readonly #dialsFirst: boolean;
  #state: 'unknown' | 'up' | 'checking' | 'down' = 'unknown';
  #peer: Peer | undefined;
  #isKept = false;
  readonly #stopping = new AbortController();
  #backOffMs: Ms = BACK_OFF_MIN_MS;
  #redial: Timer | undefined;
  #silence: Timer | undefined;

  constructor(host: WatchHost, dialsFirst: boolean) {
    this.#host = host;
    this.#dialsFirst = dialsFirst;
  }

  /** Stay connected from now on, or no longer. */
  keep(isKept: boolean): void {
    if (this.#isKept === isKept) return;
    this.#isKept = isKept;
    if (!isKept) this.#redial?.cancel();
    else if (!this.#host.isConnected()) this.#redialAfter(this.#dialsFirst ? 0 : YIELD_MS);
  }

  /** The peer may be back at once, e.g. at another address: do not wait for the back-off. */
  hurry(): void {
    if (this.#isKept && !this.#host.isConnected()) this.#redialAfter(0);
  }

  stop(): void {
    this.#stopping.abort();
    this.#redial?.cancel();
    this.#silence?.cancel();
  }

  onConnected(peer: Peer): void {
    const before = this.#state;
    const isNewEpoch = this.#peer !== undefined && this.#peer.bootEpoch !== peer.bootEpoch;
    const wasThere = before === 'up' || before === 'checking';
    this.#silence?.cancel();
    this.#redial?.cancel();
    this.#backOffMs = BACK_OFF_MIN_MS;
    const old = this.#peer;
    this.#peer = peer;
    this.#state = 'up';
    if (wasThere && !isNewEpoch) return;
    if (wasThere && old !== undefined) this.#host.events.down(old, 'new-epoch');
    this.#host.events.up(peer);
  }

  /** The last control connection closed. */
  onDisconnected(): void {
    if (this.#isStopped || this.#state !== 'up') return;
    this.#state = 'checking';
    this.#awaitSilence();
    void this.#check();
  }

  /** A tick that comes late says that we slept, not that the peer is silent: wait anew. */
  #awaitSilence(): void {
    const armedAt = this.#host.clock.now();
    this.#silence = this.#host.clock.setTimer(SILENCE_MS, () => {
      if (this.#host.clock.now() - armedAt > SILENCE_MS + OVERSLEPT_MS) this.#awaitSilence();
      else this.#becomeDown('silent');
    });
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  get epoch(): BootEpoch | undefined {
    return this.#peer?.bootEpoch;
  }

  async #check(): Promise<void> {
    while (this.#state === 'checking' && !this.#isStopped) {
      try {
        await this.#host.connect();
        return;
      } catch (error) {
        const reason = isIdunnoError(error) ? error.data['reason'] : undefined;
        if (reason === 'refused') return this.#becomeDown('refused');
        // Taken in by the machine and dropped: its process is just going. Ask again.
        if (reason !== 'closed' && reason !== 'reset') return this.#becomeDown('silent');
        await this.#host.clock.sleep(RETRY_MS, this.#stopping.signal).catch(() => undefined);
      }
    }
  }

  #becomeDown(reason: DownReason): void {
    if (this.#state !== 'checking' || this.#peer === undefined || this.#isStopped) return;
    this.#silence?.cancel();
    this.#state = 'down';
    this.#host.events.down(this.#peer, reason);
    if (this.#isKept) this.#redialAfter(this.#backOffMs);
  }

  #redialAfter(delayMs: Ms): void {
    this.#redial?.cancel();
    if (this.#isStopped) return;
    this.#redial = this.#host.clock.setTimer(delayMs, () => {
      this.#redial = undefined;
      this.#dialKept();
    });
  }

  #dialKept(): void {
    if (!this.#isKept || this.#isStopped || this.#host.isConnected()) return;
    this.#host.connect().catch(() => {
      if (!this.#isKept || this.#host.isConnected() || this.#redial !== undefined) return;
      this.#redialAfter(this.#backOffMs);
      this.#backOffMs = Math.min(BACK_OFF_MAX_MS, this.#backOffMs * 2);
    });
  }
}
