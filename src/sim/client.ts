/**
 * A client of the simulated cluster: one operation at a time, writes of unique values and
 * linearizable reads, any node, following hints about the leader. After a timeout it goes on
 * without knowing what became of the operation.
 */
import type { Ms, NodeId, Rng } from '../base/index.js';
import type { Cluster } from './cluster.js';
import type { Operation } from './history.js';
import type { SimNode } from './node.js';
import { exponential, pick } from './plan.js';
import type { Outcome } from './requests.js';

const REGISTERS = 2;
const TIMEOUT_MS = 600;
/** Share of the reads that a node other than the leader answers. */
const FOLLOWER_READS = 0.3;

/** Gives every write of a run its own value, every operation its own number; keeps them all. */
export class Numbers {
  value = 0;
  readonly history: Operation[] = [];
  readonly #operationsMax: number;

  constructor(operationsMax: number) {
    this.#operationsMax = operationsMax;
  }

  get isExhausted(): boolean {
    return this.history.length >= this.#operationsMax;
  }
}

export interface ClientCounts {
  called: number;
  done: number;
  refused: number;
  unknown: number;
}

export class Client {
  readonly counts: ClientCounts = { called: 0, done: 0, refused: 0, unknown: 0 };
  readonly #name: string;
  readonly #cluster: Cluster;
  readonly #rng: Rng;
  readonly #numbers: Numbers;
  readonly #thinkMs: Ms;
  readonly #wander: number;
  #target: NodeId | undefined;
  #isActive = true;

  /** `wander`: how often it tries any node instead of the one that it takes for the leader. */
  constructor(name: string, wander: number, cluster: Cluster, numbers: Numbers) {
    this.#name = name;
    this.#cluster = cluster;
    this.#rng = cluster.rng.fork(name);
    this.#numbers = numbers;
    this.#wander = wander;
    this.#thinkMs = cluster.plan.thinkMs;
  }

  start(): void {
    this.#next();
  }

  stop(): void {
    this.#isActive = false;
  }

  /** Writes until one write is acknowledged; for the liveness phase. */
  writeUntilDone(onDone: () => void): void {
    this.#call('write', (operation) => {
      if (operation.outcome === 'done') onDone();
      else this.#later(5, () => this.writeUntilDone(onDone));
    });
  }

  #next(): void {
    this.#later(exponential(this.#rng, this.#thinkMs), () => {
      if (!this.#isActive || this.#numbers.isExhausted) return;
      this.#call(this.#rng.float() < 0.5 ? 'write' : 'read', () => this.#next());
    });
  }

  #call(kind: Operation['kind'], onEnd: (operation: Operation) => void): void {
    const node = this.#choose();
    const operation: Operation = {
      id: this.#numbers.history.length + 1,
      client: this.#name,
      kind,
      register: this.#rng.int(REGISTERS),
      value: kind === 'write' ? ++this.#numbers.value : 0,
      calledAt: this.#cluster.clock.now(),
      returnedAt: undefined,
      outcome: undefined,
      index: 0,
      at: node.id,
    };
    this.#numbers.history.push(operation);
    this.counts.called += 1;
    this.#cluster.monitor.onOperation(operation);
    let isOver = false;
    const end = (outcome: Operation['outcome']): void => {
      if (isOver) return;
      isOver = true;
      operation.outcome = outcome;
      operation.returnedAt = this.#cluster.clock.now();
      this.counts[outcome ?? 'unknown'] += 1;
      if (outcome !== undefined) this.#cluster.monitor.onOperation(operation);
      onEnd(operation);
    };
    this.#later(TIMEOUT_MS, () => {
      this.#target = undefined;
      end(undefined);
    });
    // The request takes its time to the node, the answer its time back.
    this.#later(this.#cluster.network.delay(), () => {
      const isTaken = this.#ask(node, operation, (outcome) =>
        this.#later(this.#cluster.network.delay(), () => end(outcome)),
      );
      if (isTaken) return;
      this.#target = undefined;
      this.#later(1, () => end('refused'));
    });
  }

  #ask(
    node: SimNode,
    operation: Operation,
    answer: (outcome: 'done' | 'refused') => void,
  ): boolean {
    const settle = (outcome: Outcome): void => {
      if (outcome.kind === 'refused') {
        this.#target = outcome.leader;
        answer('refused');
      } else if (outcome.kind === 'written') {
        operation.index = outcome.index;
        answer('done');
      } else {
        this.#read(node, operation, outcome.index, () => answer('done'));
      }
    };
    if (operation.kind === 'read') return node.readIndex(settle);
    return node.propose({ register: operation.register, value: operation.value }, settle);
  }

  /** The leader has confirmed the read index; any node that has applied it may answer. */
  #read(leader: SimNode, operation: Operation, index: number, onRead: () => void): void {
    const isFollowers = this.#rng.float() < FOLLOWER_READS;
    const server = isFollowers ? pick(this.#rng, this.#cluster.nodes) : leader;
    const read = (): void =>
      server.whenApplied(index, () => {
        const found = server.machine.read(operation.register);
        operation.value = found.value;
        operation.index = found.index;
        onRead();
      });
    if (server === leader) read();
    else this.#later(this.#cluster.network.delay(), read);
  }

  #choose(): SimNode {
    const { nodes } = this.#cluster;
    if (this.#target !== undefined && this.#rng.float() >= this.#wander) {
      return this.#cluster.node(this.#target);
    }
    const node = pick(this.#rng, nodes);
    this.#target = node.id;
    return node;
  }

  #later(delayMs: Ms, work: () => void): void {
    this.#cluster.clock.setTimer(delayMs, work);
  }
}
