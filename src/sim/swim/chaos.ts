/**
 * Everything at once, then quiet: nodes crash, restart, leave, return, freeze and are cut off while
 * packets are lost and doubled; when the faults end, all lists must be equal again soon. The
 * invariants of cluster.ts hold throughout.
 */
import { createSeededRng, type Ms, type NodeId, type Rng } from '../../base/index.js';
import { SwimCluster } from './cluster.js';

export const CHAOS_FAULTS = ['crash', 'restart', 'leave', 'join', 'partition', 'freeze'] as const;

export type ChaosFault = (typeof CHAOS_FAULTS)[number];

export interface ChaosOptions {
  readonly size: number;
  readonly seed: number;
  /** Faults drawn; at 1.25 s on average between two, 120 make more than two virtual minutes. */
  readonly steps: number;
}

export interface ChaosResult {
  /** From the end of the faults until all lists were equal; fails the run after a minute. */
  readonly convergedMs: Ms;
  readonly virtualMs: Ms;
  /** How often each fault struck, with the network's. */
  readonly struck: Readonly<Record<ChaosFault | 'lost' | 'duplicated', number>>;
}

const STEP_MS_MAX = 2_500;
const CUT_MS_MAX = 9_000;
const FREEZE_MS_MAX = 4_000;
const CONVERGE_LIMIT_MS = 60_000;

export function runChaos(options: ChaosOptions): ChaosResult {
  const chaos = new Chaos(options);
  for (let step = 0; step < options.steps; step++) chaos.step();
  return chaos.end();
}

class Chaos {
  readonly #rng: Rng;
  readonly #cluster: SwimCluster;
  readonly #down = new Set<NodeId>();
  readonly #left = new Set<NodeId>();
  readonly #struck: Record<ChaosFault, number> = {
    crash: 0,
    restart: 0,
    leave: 0,
    join: 0,
    partition: 0,
    freeze: 0,
  };

  constructor({ size, seed }: ChaosOptions) {
    this.#rng = createSeededRng(`chaos/${seed}`);
    this.#cluster = new SwimCluster({
      size,
      seed,
      lossRate: 0.03,
      duplicateRate: 0.02,
      isWarm: true,
    });
  }

  step(): void {
    this.#cluster.run(this.#rng.int(STEP_MS_MAX));
    const fault = CHAOS_FAULTS[this.#rng.int(CHAOS_FAULTS.length)] ?? 'crash';
    if (this.#inflict(fault)) this.#struck[fault]++;
  }

  /** Ends all faults, and waits until the lists are equal. */
  end(): ChaosResult {
    const cluster = this.#cluster;
    for (const name of this.#down) cluster.restart(name);
    for (const name of this.#left) cluster.join(name);
    cluster.lossRate = 0;
    const convergedMs = cluster.runUntil(() => cluster.isConverged(), CONVERGE_LIMIT_MS);
    const { lost, duplicated } = cluster.counts;
    return {
      convergedMs,
      virtualMs: cluster.clock.now(),
      struck: { ...this.#struck, lost, duplicated },
    };
  }

  /** False where the fault does not apply to the node drawn. */
  #inflict(fault: ChaosFault): boolean {
    const cluster = this.#cluster;
    const { names } = cluster;
    const name = names[this.#rng.int(names.length)];
    if (name === undefined) return false;
    switch (fault) {
      case 'crash':
        return this.#crash(name);
      case 'restart':
        cluster.restart(name);
        this.#down.delete(name);
        this.#left.delete(name);
        return true;
      case 'leave':
        if (this.#down.has(name) || this.#left.has(name)) return false;
        cluster.leave(name);
        this.#left.add(name);
        return true;
      case 'join':
        return this.#join();
      case 'partition':
        this.#cut();
        return true;
      case 'freeze':
        if (this.#down.has(name)) return false;
        cluster.freeze(name, this.#rng.int(FREEZE_MS_MAX));
        return true;
    }
  }

  /** At most half of the nodes are down at a time. */
  #crash(name: NodeId): boolean {
    const isEnough = this.#down.size >= this.#cluster.names.length / 2;
    if (isEnough || this.#down.has(name) || this.#left.has(name)) return false;
    this.#cluster.crash(name);
    this.#down.add(name);
    return true;
  }

  /** Whoever left first returns. */
  #join(): boolean {
    const [name] = this.#left;
    if (name === undefined) return false;
    this.#left.delete(name);
    this.#cluster.join(name);
    return true;
  }

  #cut(): void {
    const { names } = this.#cluster;
    const at = 1 + this.#rng.int(names.length - 1);
    this.#cluster.partition(names.slice(0, at), names.slice(at));
    this.#cluster.run(this.#rng.int(CUT_MS_MAX));
    this.#cluster.partition();
  }
}
