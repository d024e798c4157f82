/**
 * What goes wrong, and when: faults of the kinds that the plan allows, one after another, often
 * aimed at the leader, each undone after a while. `heal` undoes them all.
 */
import type { Ms, Rng } from '../base/index.js';
import type { Cluster } from './cluster.js';
import type { SimNode } from './node.js';
import { mayLose } from './members.js';
import { exponential, pick, type Strike } from './plan.js';
import { type Blow, DEAL, downMs, shuffled } from './strikes.js';

export class Nemesis {
  readonly #cluster: Cluster;
  readonly #rng: Rng;
  /** Strikes with these numbers are left out, for shrinking. */
  readonly #skip: ReadonlySet<number>;
  #count = 0;
  #isActive = true;

  constructor(cluster: Cluster, skip: ReadonlySet<number>) {
    this.#cluster = cluster;
    this.#rng = cluster.rng.fork('nemesis');
    this.#skip = skip;
  }

  /** How many strikes there were, those left out included. */
  get count(): number {
    return this.#count;
  }

  start(): void {
    const cluster = this.#cluster;
    cluster.onDiskFailure = (node) => this.#onDiskFailure(node);
    if (cluster.plan.strikes.length > 0) this.#schedule();
  }

  /** Ends all faults; fewer than half of the nodes stay dead, as the plan says. */
  heal(): void {
    this.#isActive = false;
    const { network, nodes, plan } = this.#cluster;
    network.mendAll();
    network.isFaulty = false;
    for (const node of nodes) node.disk.heal();
    const lost: SimNode[] = [...this.#cluster.damaged];
    const dead: SimNode[] = [];
    for (const node of shuffled(this.#cluster, this.#rng.fork('dead'))) {
      if (dead.length === plan.deadAtEnd || node.disk.isSuspect) continue;
      if (!mayLose(this.#cluster, [...lost, node])) continue;
      lost.push(node);
      dead.push(node);
    }
    for (const node of nodes) {
      node.resume();
      if (dead.includes(node)) this.#cluster.crash(node);
      else this.#cluster.boot(node);
    }
  }

  #schedule(): void {
    const { clock, plan } = this.#cluster;
    clock.setTimer(exponential(this.#rng, plan.strikeEveryMs), () => {
      if (!this.#isActive) return;
      this.#count += 1;
      const rng = this.#rng.fork(`strike ${this.#count}`);
      if (!this.#skip.has(this.#count)) this.#strike(pick(rng, plan.strikes), rng);
      this.#schedule();
    });
  }

  #strike(strike: Strike, rng: Rng): void {
    const node = this.#victim(rng);
    this.#note(`${this.#count} ${strike} ${node.id}`);
    DEAL[strike](this.#blow(node, rng));
  }

  #blow(node: SimNode, rng: Rng): Blow {
    return {
      cluster: this.#cluster,
      node,
      rng,
      later: (delayMs, work) => this.#later(delayMs, work),
      ifActive: (work) => {
        if (this.#isActive) work();
      },
    };
  }

  /** A failed write ends the process; somebody starts it again. */
  #onDiskFailure(node: SimNode): void {
    this.#note(`${node.id} ends: its disk failed`);
    this.#cluster.crash(node);
    this.#later(downMs(this.#cluster, this.#rng), () => this.#cluster.boot(node));
  }

  /** Half of the time the leader: that is where it hurts. */
  #victim(rng: Rng): SimNode {
    const { leader, nodes } = this.#cluster;
    return leader !== undefined && rng.float() < 0.5 ? leader : pick(rng, nodes);
  }

  #later(delayMs: Ms, undo: () => void): void {
    this.#cluster.clock.setTimer(delayMs, () => {
      if (!this.#isActive) return;
      this.#note('undo');
      undo();
    });
  }

  #note(text: string): void {
    this.#cluster.trace.note(this.#cluster.clock.now(), 'nemesis', text);
  }
}
