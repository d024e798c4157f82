/**
 * The network between simulated membership nodes: packets take time, and are lost, doubled,
 * reordered by their different times, and cut. TCP is modelled as a link that survives loss by
 * retransmission and carries nothing across a cut. Knows bytes only, no messages.
 */
import { assert, type Clock, type Ms, type NodeId, type Rng } from '../../base/index.js';
import { PACKET_BYTES_MAX, SEAL_BYTES_MAX } from '../../swim/index.js';

export interface LossyNetworkOptions {
  /** Part of the UDP packets that are lost, in [0, 1]. */
  readonly lossRate?: number;
  readonly duplicateRate?: number;
  /** One way, uniform between the two. Default 0.2 to 1 ms: a LAN. */
  readonly latencyMs?: readonly [Ms, Ms];
}

/** Retransmission timeout of TCP on a LAN. */
const TCP_RETRANSMIT_MS = 200;

export class LossyNetwork {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #latencyMs: readonly [Ms, Ms];
  readonly #duplicateRate: number;
  #group: ReadonlyMap<NodeId, number> | undefined;
  lossRate: number;
  /** What was carried, and the faults that struck. */
  readonly counts = { packets: 0, bytes: 0, packetBytesMax: 0, lost: 0, duplicated: 0, cut: 0 };

  constructor(clock: Clock, rng: Rng, options: LossyNetworkOptions) {
    this.#clock = clock;
    this.#rng = rng;
    this.#latencyMs = options.latencyMs ?? [0.2, 1];
    this.#duplicateRate = options.duplicateRate ?? 0;
    this.lossRate = options.lossRate ?? 0;
  }

  /** Only nodes of the same group reach each other; without groups the network is whole. */
  partition(groups: readonly (readonly NodeId[])[]): void {
    const pairs = groups.flatMap((names, group) => names.map((name) => [name, group] as const));
    this.#group = groups.length === 0 ? undefined : new Map(pairs);
  }

  isConnected(a: NodeId, b: NodeId): boolean {
    return this.#group === undefined || this.#group.get(a) === this.#group.get(b);
  }

  /** Sends one UDP packet; says whether at least one copy is on its way. */
  datagram(from: NodeId, to: NodeId, bytes: Uint8Array, arrive: () => void): boolean {
    assert(bytes.length + SEAL_BYTES_MAX <= PACKET_BYTES_MAX, `a packet of ${bytes.length} B`);
    this.counts.packets++;
    this.counts.bytes += bytes.length;
    this.counts.packetBytesMax = Math.max(this.counts.packetBytesMax, bytes.length);
    const copies = this.#rng.float() < this.#duplicateRate ? 2 : 1;
    this.counts.duplicated += copies - 1;
    let isSent = false;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#rng.float() < this.lossRate) this.counts.lost++;
      else {
        isSent = this.isConnected(from, to);
        this.#carry(from, to, this.#latency(), arrive);
      }
    }
    return isSent;
  }

  /** Sends a frame over TCP. */
  stream(from: NodeId, to: NodeId, arrive: () => void): void {
    let delayMs = this.#latency();
    while (this.#rng.float() < this.lossRate) delayMs += TCP_RETRANSMIT_MS;
    this.#carry(from, to, delayMs, arrive);
  }

  /** A cut loses what is under way. */
  #carry(from: NodeId, to: NodeId, delayMs: Ms, arrive: () => void): void {
    this.#clock.setTimer(delayMs, () => {
      if (this.isConnected(from, to)) arrive();
      else this.counts.cut++;
    });
  }

  #latency(): Ms {
    const [min, max] = this.#latencyMs;
    return min + this.#rng.float() * (max - min);
  }
}
