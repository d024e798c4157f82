/**
 * Messages between simulated nodes: delayed, held up, lost, doubled, overtaken, cut off in one or
 * both directions, and connections that close. Whether a message arrives is decided when it is sent
 * and again when it arrives, so a partition also swallows what is on its way.
 */
import type { Ms, NodeId, Rng, VirtualClock } from '../base/index.js';
import type { Message } from '../raft/index.js';
import { exponential, type FaultCounts, type Plan } from './plan.js';

export type Deliver = (to: NodeId, from: NodeId, message: Message) => void;

interface Link {
  isCut: boolean;
  /** Until then nothing gets through; it arrives afterwards, like a stalled connection's data. */
  cloggedUntil: Ms;
  /** A closed connection takes what is on its way with it: older messages are void. */
  connection: number;
  /** When the last message sent will arrive. */
  lastArrival: Ms;
}

export class SimNetwork {
  /** Off in the liveness phase. */
  isFaulty = true;
  readonly #plan: Plan['network'];
  readonly #clock: VirtualClock;
  readonly #rng: Rng;
  readonly #faults: FaultCounts;
  readonly #deliver: Deliver;
  readonly #links = new Map<NodeId, Map<NodeId, Link>>();

  constructor(
    plan: Plan['network'],
    dependencies: { clock: VirtualClock; rng: Rng; faults: FaultCounts; deliver: Deliver },
  ) {
    this.#plan = plan;
    this.#clock = dependencies.clock;
    this.#rng = dependencies.rng;
    this.#faults = dependencies.faults;
    this.#deliver = dependencies.deliver;
  }

  send(from: NodeId, to: NodeId, message: Message): void {
    const link = this.#link(from, to);
    if (link.isCut) return;
    if (this.#strikes(this.#plan.lossRate)) {
      this.#faults.loss += 1;
      return;
    }
    this.#carry(link, from, to, message);
    if (this.#strikes(this.#plan.duplicateRate)) {
      this.#faults.duplicate += 1;
      this.#carry(link, from, to, message);
    }
  }

  /** Time for something else to get across: snapshots, forwarded reads. */
  delay(): Ms {
    return this.#plan.delayMs * 0.5 + exponential(this.#rng, this.#plan.delayMs * 0.5);
  }

  isOpen(from: NodeId, to: NodeId): boolean {
    return !this.#link(from, to).isCut;
  }

  cut(from: NodeId, to: NodeId): void {
    this.#link(from, to).isCut = true;
  }

  mend(from: NodeId, to: NodeId): void {
    this.#link(from, to).isCut = false;
  }

  clog(from: NodeId, to: NodeId, forMs: Ms): void {
    this.#link(from, to).cloggedUntil = this.#clock.now() + forMs;
  }

  mendAll(): void {
    for (const links of this.#links.values()) {
      for (const link of links.values()) {
        link.isCut = false;
        link.cloggedUntil = 0;
      }
    }
  }

  /** Closes the connection between two nodes: what is on its way, either way, is gone. */
  reset(a: NodeId, b: NodeId): void {
    this.#link(a, b).connection += 1;
    this.#link(b, a).connection += 1;
  }

  #carry(link: Link, from: NodeId, to: NodeId, message: Message): void {
    let delay = this.delay();
    if (this.#strikes(this.#plan.spikeRate)) {
      this.#faults.delay += 1;
      delay += 10 + exponential(this.#rng, 100);
    }
    const now = this.#clock.now();
    let arrival = Math.max(now, link.cloggedUntil) + delay;
    if (arrival < link.lastArrival) {
      if (this.#plan.isFifo || !this.isFaulty) arrival = link.lastArrival;
      else this.#faults.reorder += 1;
    }
    link.lastArrival = Math.max(link.lastArrival, arrival);
    const { connection } = link;
    this.#clock.setTimer(arrival - now, () => {
      if (!link.isCut && link.connection === connection) this.#deliver(to, from, message);
    });
  }

  #strikes(rate: number): boolean {
    return this.isFaulty && rate > 0 && this.#rng.float() < rate;
  }

  #link(from: NodeId, to: NodeId): Link {
    let links = this.#links.get(from);
    if (links === undefined) {
      links = new Map();
      this.#links.set(from, links);
    }
    let link = links.get(to);
    if (link === undefined) {
      link = { isCut: false, cloggedUntil: 0, connection: 0, lastArrival: 0 };
      links.set(to, link);
    }
    return link;
  }
}
