/**
 * What goes wrong, and when: faults of the kinds that the plan allows, one after another, often
 * aimed at the leader, each undone after a while. `heal` undoes them all.
 */
import type { Ms, Rng } from '../base/index.js';
import type { Cluster } from './cluster.js';
import type { SimNode } from './node.js';
import { exponential, pick, type Strike } from './plan.js';

export class Nemesis {
  readonly #cluster: Cluster;
  readonly #rng: Rng;
  #isActive = true;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#rng = cluster.rng.fork('nemesis');
  }

  start(): void {
    this.#schedule();
  }

  /** Ends all faults; fewer than half of the nodes stay dead, as the plan says. */
  heal(): void {
    this.#isActive = false;
    const { network, nodes, plan } = this.#cluster;
    network.mendAll();
    network.isFaulty = false;
    const dead = this.#shuffled().slice(0, plan.deadAtEnd);
    for (const node of nodes) {
      node.disk.isFaulty = false;
      node.disk.slowMs = 0;
      node.resume();
      if (dead.includes(node)) this.#cluster.crash(node);
      else this.#cluster.boot(node);
    }
  }

  #schedule(): void {
    const { clock, plan } = this.#cluster;
    clock.setTimer(exponential(this.#rng, plan.strikeEveryMs), () => {
      if (!this.#isActive) return;
      this.#strike(pick(this.#rng, plan.strikes));
      this.#schedule();
    });
  }

  #strike(strike: Strike): void {
    const { faults } = this.#cluster;
    const node = this.#victim();
    this.#note(`${strike} ${node.id}`);
    switch (strike) {
      case 'crash':
        this.#crash(node);
        break;
      case 'pause':
        this.#pause(node);
        break;
      case 'slow-disk':
        faults['slow-disk'] += 1;
        node.disk.slowMs = this.#span(5, 100);
        this.#later(this.#span(100, 2_000), () => {
          node.disk.slowMs = 0;
        });
        break;
      case 'reset': {
        const other = this.#other(node);
        this.#cluster.resetConnection(node, other, this.#span(5, 100));
        break;
      }
      case 'clog':
        this.#clog(this.#cluster.leader ?? node);
        break;
      case 'transfer':
        faults.transfer += 1;
        node.feed(
          this.#rng.float() < 0.5
            ? { kind: 'transfer' }
            : { kind: 'transfer', to: this.#other(node).id },
        );
        break;
      case 'partition':
        faults.partition += 1;
        this.#partition(node, true);
        break;
      case 'one-way-partition':
        faults['one-way-partition'] += 1;
        this.#partition(node, this.#rng.float() < 0.5 ? 'out' : 'in');
        break;
    }
  }

  /** At once, or while its next write is on the way to the disk. */
  #crash(node: SimNode): void {
    const { clock, plan } = this.#cluster;
    const crash = (): void => {
      if (!this.#isActive) return;
      this.#cluster.crash(node);
      this.#later(this.#span(20, 1_500), () => this.#cluster.boot(node));
    };
    if (this.#rng.float() < 0.3) crash();
    else {
      const delayMs = this.#rng.float() * plan.disk.syncMs;
      node.disk.atNextWrite(() => clock.setTimer(delayMs, crash));
    }
  }

  /** At once, or right after its next timer: what it then asked for is answered by the past. */
  #pause(node: SimNode): void {
    const { clock, faults, network } = this.#cluster;
    const pause = (): void => {
      if (!this.#isActive || !node.isUp) return;
      faults.pause += 1;
      node.pause();
      this.#later(this.#span(20, 400), () => node.resume());
    };
    if (this.#rng.float() < 0.3) pause();
    else node.atNextTick(() => clock.setTimer(network.delay() / 2, pause));
  }

  /** Cuts a random group around `node` off from the rest; or only what it sends, or receives. */
  #partition(node: SimNode, way: true | 'out' | 'in'): void {
    const { network, nodes } = this.#cluster;
    const size = this.#rng.int(nodes.length - 1);
    const others = this.#shuffled().filter((other) => other !== node);
    const inside = [node, ...others.slice(0, size)];
    const outside = others.slice(size);
    const pairs = inside.flatMap((a) => outside.map((b) => [a.id, b.id] as const));
    for (const [a, b] of pairs) {
      if (way !== 'in') network.cut(a, b);
      if (way !== 'out') network.cut(b, a);
    }
    this.#later(this.#span(50, 1_500), () => {
      for (const [a, b] of pairs) {
        network.mend(a, b);
        network.mend(b, a);
      }
    });
  }

  /**
   * Holds up the links of a leader right after its heartbeats have left, each for its own time; and
   * maybe the others take it for dead, and elect a new leader while their answers to the old one
   * are still on their way.
   */
  #clog(node: SimNode): void {
    const { faults, network, nodes, plan } = this.#cluster;
    node.atNextTick(() => {
      if (!this.#isActive) return;
      faults.clog += 1;
      const isTakenForDead = plan.hasEvidence && this.#rng.float() < 0.8;
      for (const other of nodes) {
        if (other === node) continue;
        const outMs = 20 + exponential(this.#rng, 250);
        network.clog(node.id, other.id, outMs);
        network.clog(other.id, node.id, 20 + exponential(this.#rng, 120));
        if (isTakenForDead) this.#cluster.pretendDown(other, node, outMs);
      }
    });
  }

  /** Half of the time the leader: that is where it hurts. */
  #victim(): SimNode {
    const { leader, nodes } = this.#cluster;
    return leader !== undefined && this.#rng.float() < 0.5 ? leader : pick(this.#rng, nodes);
  }

  #other(node: SimNode): SimNode {
    return pick(
      this.#rng,
      this.#cluster.nodes.filter((other) => other !== node),
    );
  }

  #shuffled(): SimNode[] {
    const nodes = [...this.#cluster.nodes];
    for (let at = nodes.length - 1; at > 0; at -= 1) {
      const from = this.#rng.int(at + 1);
      const [moved] = nodes.splice(from, 1);
      if (moved !== undefined) nodes.push(moved);
    }
    return nodes;
  }

  #span(fromMs: Ms, meanMs: Ms): Ms {
    return fromMs + exponential(this.#rng, meanMs * this.#cluster.plan.strikeScale);
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
