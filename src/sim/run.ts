/**
 * One seed, one run: a cluster under faults for at least 60 virtual seconds while clients work
 * (safety phase), then everything is healed and it must come back to work (liveness phase). The
 * seed decides everything; two runs of one seed give the same trace, byte for byte.
 */
import { AssertionError, createSeededRng, type Ms } from '../base/index.js';
import { describeConf, isJoint, membersOf } from '../raft/index.js';
import { Client, type ClientCounts, Numbers } from './client.js';
import { Cluster } from './cluster.js';
import { withoutMachine } from './guard.js';
import type { Operation } from './history.js';
import { Nemesis } from './nemesis.js';
import { createPlan, type FaultCounts, type FaultKind, type Plan, withoutFaults } from './plan.js';
import { Trace } from './trace.js';
import { Violation } from './violation.js';

/** Completed operations of a run; see the safety phase. */
export const OPERATIONS_MIN = 200;

/** Hundred times what a run needs: more means that something spins without time passing. */
const EVENTS_MAX = 4_000_000;

export interface FoundViolation {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
  readonly atMs: number;
}

export interface RunResult {
  readonly seed: number;
  readonly plan: Plan;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  /** How often a node became leader, the first time included. */
  readonly elections: number;
  readonly operations: ClientCounts;
  readonly faults: FaultCounts;
  /** Strikes of the nemesis, those left out included. */
  readonly strikes: number;
  /** What the clients saw, in the order of their calls. */
  readonly history: readonly Operation[];
  readonly violation: FoundViolation | undefined;
}

/** What is left out of a seed's run: a smaller run that may still fail. */
export interface Reduction {
  readonly without: ReadonlySet<FaultKind>;
  /** Numbers of strikes, counted from 1. */
  readonly skip: ReadonlySet<number>;
  /** Clients make no more operations than these in the safety phase. */
  readonly operationsMax: number;
  readonly safetyMs: Ms | undefined;
  /** Other than 0: another fate for each message, since leaving things out changes that anyway. */
  readonly salt: number;
}

export const WHOLE: Reduction = {
  without: new Set(),
  skip: new Set(),
  operationsMax: Number.POSITIVE_INFINITY,
  safetyMs: undefined,
  salt: 0,
};

export interface RunOptions {
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void;
  readonly reduction?: Reduction;
}

export function runSeed(seed: number, options: RunOptions = {}): RunResult {
  return withoutMachine(() => {
    const rng = createSeededRng(`raft-${seed}`);
    const reduction = options.reduction ?? WHOLE;
    const full = withoutFaults(createPlan(rng.fork('plan')), reduction.without);
    const plan = { ...full, safetyMs: reduction.safetyMs ?? full.safetyMs };
    const trace = new Trace(options.print);
    const run = new Run(new Cluster(plan, { rng, trace, salt: reduction.salt }), reduction);
    const violation = run.toEnd(seed);
    const { cluster } = run;
    return {
      seed,
      plan,
      traceHash: trace.hash,
      events: run.events,
      virtualMs: cluster.clock.now(),
      elections: cluster.monitor.elections,
      operations: run.operations,
      faults: cluster.faults,
      strikes: run.strikes,
      history: run.history,
      violation,
    };
  });
}

class Run {
  readonly cluster: Cluster;
  events = 0;
  readonly #clients: readonly Client[];
  readonly #nemesis: Nemesis;
  readonly #numbers: Numbers;
  readonly #isReduced: boolean;

  constructor(cluster: Cluster, reduction: Reduction) {
    this.cluster = cluster;
    this.#isReduced = reduction !== WHOLE;
    this.#numbers = new Numbers(reduction.operationsMax);
    this.#nemesis = new Nemesis(cluster, reduction.skip);
    this.#clients = Array.from(
      { length: cluster.plan.clientCount },
      // Some stay with a leader that may be none any more, some look everywhere.
      (_, at) => new Client(`client-${at}`, at % 2 === 0 ? 0.1 : 0.5, cluster, this.#numbers),
    );
  }

  get strikes(): number {
    return this.#nemesis.count;
  }

  get history(): readonly Operation[] {
    return this.#numbers.history;
  }

  get operations(): ClientCounts {
    const sum: ClientCounts = { called: 0, done: 0, refused: 0, unknown: 0 };
    for (const { counts } of this.#clients) {
      sum.called += counts.called;
      sum.done += counts.done;
      sum.refused += counts.refused;
      sum.unknown += counts.unknown;
    }
    return sum;
  }

  toEnd(seed: number): FoundViolation | undefined {
    try {
      this.#safetyPhase();
      this.#livenessPhase();
      return undefined;
    } catch (error) {
      const atMs = this.cluster.clock.now();
      if (error instanceof Violation) {
        return { seed, invariant: error.invariant, message: error.message, atMs };
      }
      if (error instanceof AssertionError) {
        return { seed, invariant: 'assertion', message: error.message, atMs };
      }
      throw error;
    }
  }

  #safetyPhase(): void {
    for (const node of this.cluster.nodes) this.cluster.boot(node);
    for (const client of this.#clients) client.start();
    this.#nemesis.start();
    const { safetyMs } = this.cluster.plan;
    this.#advanceTo(safetyMs, () => false);
    // A run that was mostly without a leader has tested little: it goes on for a while.
    if (this.#isReduced) return;
    this.#advanceTo(10 * safetyMs, () => this.operations.done >= OPERATIONS_MIN);
  }

  /**
   * Quiet first: liveness bugs hide behind ongoing writes, which repair by accident what should
   * have been repaired by itself.
   */
  #livenessPhase(): void {
    const { cluster } = this;
    for (const client of this.#clients) client.stop();
    this.#nemesis.heal();
    const { clock, plan } = cluster;
    this.#advanceTo(clock.now() + plan.livenessMs / 2, () => false);
    let isWritten = false;
    const prober = new Client('prober', 0.1, cluster, this.#numbers);
    prober.writeUntilDone(() => {
      isWritten = true;
    });
    this.#advanceTo(clock.now() + plan.livenessMs, () => isWritten);
    if (!isWritten) {
      throw new Violation('liveness', `no write was acknowledged in ${plan.livenessMs} ms`);
    }
    const isEven = (): boolean => {
      const leader = cluster.leader?.core;
      if (leader === undefined || isJoint(leader.conf)) return false;
      const members = membersOf(leader.conf);
      return cluster.nodes.every(
        ({ id, isUp, machine }) =>
          !isUp || !members.includes(id) || machine.index === leader.commit,
      );
    };
    this.#advanceTo(clock.now() + plan.livenessMs, isEven);
    if (!isEven()) {
      const conf = cluster.leader?.core?.conf;
      const members = conf === undefined ? 'nobody leads' : describeConf(conf);
      throw new Violation('liveness', `the nodes do not catch up with the leader: ${members}`);
    }
    cluster.monitor.atEnd();
  }

  #advanceTo(untilMs: number, isDone: () => boolean): void {
    const { clock } = this.cluster;
    for (;;) {
      const due = clock.nextDueMs;
      if (due === undefined || due > untilMs || isDone()) return;
      clock.runNext();
      this.events += 1;
      if (this.events > EVENTS_MAX) throw new Violation('liveness', 'time does not go on');
    }
  }
}
