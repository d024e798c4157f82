/** The simulated nodes of one run, wired together, with what the nemesis and the clients need. */
import { must, nodeId, type NodeId, type Rng, VirtualClock } from '../base/index.js';
import { type ConfState, NO_CONF, type StoredState } from '../raft/index.js';
import { mayLose } from './members.js';
import { Monitor } from './monitor.js';
import { SimNetwork } from './network.js';
import { SimNode } from './node.js';
import { type FaultCounts, noFaults, type Plan } from './plan.js';
import type { Trace } from './trace.js';

export class Cluster {
  readonly clock = new VirtualClock();
  readonly plan: Plan;
  readonly rng: Rng;
  readonly trace: Trace;
  readonly faults: FaultCounts = noFaults();
  readonly monitor: Monitor;
  readonly network: SimNetwork;
  readonly nodes: readonly SimNode[];
  /** What ends a process whose disk failed, and starts it again: the nemesis. */
  onDiskFailure: (node: SimNode) => void = (node) => this.crash(node);
  /** Waits to be taken out of the members, so that it can come back as a new one. */
  wiped: SimNode | undefined;

  constructor(plan: Plan, dependencies: { rng: Rng; trace: Trace; salt: number }) {
    const { rng, trace, salt } = dependencies;
    this.plan = plan;
    this.rng = rng;
    this.trace = trace;
    this.monitor = new Monitor(trace, () => this.clock.now());
    this.network = new SimNetwork(plan.network, {
      clock: this.clock,
      rng: rng.fork(salt === 0 ? 'network' : `network ${salt}`),
      faults: this.faults,
      deliver: (to, from, message) => this.node(to).feed({ kind: 'message', from, message }),
    });
    const ids = Array.from({ length: plan.nodeCount }, (_, at) => nodeId(`n${at + 1}`));
    const spares = Array.from({ length: plan.spareCount }, (_, at) => nodeId(`s${at + 1}`));
    this.nodes = [
      ...ids.map((id) => this.#createNode(id, firstBoot(ids))),
      ...spares.map((id) => this.#createNode(id, NOTHING)),
    ];
  }

  node(id: NodeId): SimNode {
    return must(
      this.nodes.find((node) => node.id === id),
      `node ${id}`,
    );
  }

  /** The node that leads in the highest term, by its own account. */
  get leader(): SimNode | undefined {
    let leader: SimNode | undefined;
    for (const node of this.nodes) {
      if (node.core?.role !== 'leader') continue;
      if (leader === undefined || node.core.term > (leader.core?.term ?? 0)) leader = node;
    }
    return leader;
  }

  /** Process death; with evidence the others see their connections to it close. */
  crash(node: SimNode): void {
    if (!node.isUp) return;
    this.faults.crash += 1;
    node.crash();
    this.#tellGone(node);
  }

  /**
   * May this node's disk be damaged, with the others as they are? Without a whole quorum no protocol
   * could tell what was acknowledged.
   */
  mayDamage(node: SimNode): boolean {
    return mayLose(this, [...this.damaged, node]);
  }

  get damaged(): readonly SimNode[] {
    return this.nodes.filter(({ disk }) => disk.isSuspect);
  }

  /** In good order: nothing that was written is lost. */
  stop(node: SimNode): void {
    if (!node.isUp) return;
    node.resume();
    node.disk.flush();
    node.crash();
    this.#tellGone(node);
  }

  /** Its disks are lost: it is down until it is no member any more, and may come as a new one. */
  wipe(node: SimNode): void {
    this.crash(node);
    this.faults.wipe += 1;
    node.wipe();
    this.wiped = node;
  }

  /** A node without space on its disk does not start. */
  boot(node: SimNode): void {
    if (node.isUp || node.disk.isFull || node === this.wiped) return;
    node.boot();
    for (const other of this.nodes) {
      if (other !== node && this.plan.hasEvidence) this.#tell(other, 'peer-up', node.id);
    }
  }

  /** A connection closes although both ends live, and comes back. */
  resetConnection(a: SimNode, b: SimNode, backMs: number): void {
    this.faults.reset += 1;
    this.network.reset(a.id, b.id);
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#tell(one, 'peer-down', other.id);
      this.clock.setTimer(backMs, () => {
        if (other.isUp) one.feed({ kind: 'peer-up', peer: other.id });
      });
    }
  }

  /** `node` believes for a while that `peer` is gone. */
  pretendDown(node: SimNode, peer: SimNode, forMs: number): void {
    this.#tell(node, 'peer-down', peer.id);
    this.clock.setTimer(forMs + 5, () => {
      if (peer.isUp) node.feed({ kind: 'peer-up', peer: peer.id });
    });
  }

  #tellGone(node: SimNode): void {
    for (const other of this.nodes) {
      if (other === node) continue;
      this.network.reset(node.id, other.id);
      if (this.plan.hasEvidence) this.#tell(other, 'peer-down', node.id);
    }
  }

  #tell(node: SimNode, kind: 'peer-down' | 'peer-up', peer: NodeId): void {
    const delay = 1 + this.rng.float() * 4;
    this.clock.setTimer(delay, () => node.feed({ kind, peer }));
  }

  #createNode(id: NodeId, stored: Omit<StoredState, 'applied'>): SimNode {
    return new SimNode(id, this.plan, stored, {
      clock: this.clock,
      network: this.network,
      rng: this.rng.fork(id),
      faults: this.faults,
      monitor: this.monitor,
      sendSnapshot: (to, delivery) => this.node(to).receiveSnapshot(delivery),
      onDiskFailure: (node) => this.onDiskFailure(node),
      mayDamage: (node) => this.mayDamage(node),
    });
  }
}

/** Every node begins with the same deterministic first entry. */
function firstBoot(voters: readonly NodeId[]): Omit<StoredState, 'applied'> {
  const conf: ConfState = { voters, outgoing: [], learners: [] };
  return {
    hardState: { term: 1, vote: undefined },
    snapshot: { index: 0, term: 0, conf },
    entries: [{ index: 1, term: 1, kind: 'bootstrap', timeMs: 0, data: new Uint8Array(0) }],
  };
}

/** A node that nobody has heard of. */
const NOTHING: Omit<StoredState, 'applied'> = {
  hardState: { term: 0, vote: undefined },
  snapshot: { index: 0, term: 0, conf: NO_CONF },
  entries: [],
};
