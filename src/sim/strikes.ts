/**
 * The single faults that the nemesis deals out: what each does to the cluster and how it ends.
 * Each draws from a stream of its own, so that leaving one out does not change what others do.
 */
import type { Ms, Rng } from '../base/index.js';
import type { Cluster } from './cluster.js';
import type { SimNode } from './node.js';
import { chooseTarget, settleWiped } from './members.js';
import { exponential, pick, type Strike } from './plan.js';

/** One strike: whom it hits, its chance, its end. */
export interface Blow {
  readonly cluster: Cluster;
  readonly node: SimNode;
  readonly rng: Rng;
  /** Runs unless all has been healed meanwhile. */
  later(delayMs: Ms, work: () => void): void;
  /** Runs `work` only if faults are still on. */
  ifActive(work: () => void): void;
}

export const DEAL: Readonly<Record<Strike, (blow: Blow) => void>> = {
  partition: (blow) => cutOff(blow, 'partition', 'both'),
  'one-way-partition': (blow) =>
    cutOff(blow, 'one-way-partition', blow.rng.float() < 0.5 ? 'out' : 'in'),
  clog,
  reset: ({ cluster, node, rng }) => {
    cluster.resetConnection(node, otherThan(cluster, node, rng), span(cluster, rng, 5, 100));
  },
  crash,
  restart,
  'slow-disk': slowDisk,
  'disk-hang': ({ cluster, node, rng }) => {
    cluster.faults['disk-hang'] += 1;
    node.disk.hang(span(cluster, rng, 500, 2_000));
  },
  'disk-error': ({ cluster, node }) => {
    node.disk.failNextSync();
    cluster.faults['disk-error'] += 1;
  },
  'disk-full': fillDisk,
  'bit-rot': rot,
  pause,
  'clock-jump': jumpClock,
  transfer: ({ cluster, node, rng }) => {
    cluster.faults.transfer += 1;
    const to = rng.float() < 0.5 ? {} : { to: otherThan(cluster, node, rng).id };
    node.feed({ kind: 'transfer', ...to });
  },
  members: changeMembers,
  wipe: loseDisk,
};

/** The operator asks whoever leads for other members; often a crash of the leader follows. */
function changeMembers({ cluster, rng, later, ifActive }: Blow): void {
  const { leader, clock } = cluster;
  if (leader === undefined) return;
  settleWiped(cluster, leader);
  const target = chooseTarget(cluster, leader, rng);
  if (target === undefined) return;
  leader.feed({ kind: 'reconfigure', id: 0, ...target });
  if (rng.float() >= 0.3) return;
  const backMs = downMs(cluster, rng);
  clock.setTimer(span(cluster, rng, 0, 20), () =>
    ifActive(() => {
      cluster.crash(leader);
      later(backMs, () => cluster.boot(leader));
    }),
  );
}

/** One at a time, and never what a quorum would then lack. */
function loseDisk({ cluster, node }: Blow): void {
  const { leader, wiped } = cluster;
  const status = leader?.core?.status();
  if (wiped !== undefined || status === undefined || !node.isUp) return;
  const isSettled =
    status.isConfCommitted && status.outgoing.length === 0 && status.next === undefined;
  if (isSettled && cluster.mayDamage(node)) cluster.wipe(node);
}

/** Down for a while after a crash. */
export function downMs(cluster: Cluster, rng: Rng): Ms {
  return span(cluster, rng, 20, 1_500);
}

/** At once, or while its next write is on the way to the disk. */
function crash({ cluster, node, rng, later, ifActive }: Blow): void {
  const backMs = downMs(cluster, rng);
  const fall = (): void =>
    ifActive(() => {
      cluster.crash(node);
      later(backMs, () => cluster.boot(node));
    });
  if (rng.float() < 0.3) fall();
  else {
    const delayMs = rng.float() * cluster.plan.disk.syncMs;
    node.disk.atNextWrite(() => cluster.clock.setTimer(delayMs, fall));
  }
}

/** In good order: hands over, writes everything, ends, starts again. */
function restart({ cluster, node, rng, later }: Blow): void {
  if (!node.isUp) return;
  cluster.faults.restart += 1;
  node.feed({ kind: 'transfer' });
  const backMs = span(cluster, rng, 20, 300);
  later(span(cluster, rng, 5, 40), () => {
    cluster.stop(node);
    later(backMs, () => cluster.boot(node));
  });
}

/** Something on its disk cannot be read any more; the next start finds it. */
function rot({ cluster, node, rng, later }: Blow): void {
  if (!cluster.mayDamage(node)) return;
  cluster.faults['bit-rot'] += 1;
  cluster.crash(node);
  node.disk.rot(node.durableImage);
  later(downMs(cluster, rng), () => cluster.boot(node));
}

function slowDisk({ cluster, node, rng, later }: Blow): void {
  cluster.faults['slow-disk'] += 1;
  node.disk.slowMs = span(cluster, rng, 5, 100);
  later(span(cluster, rng, 100, 2_000), () => {
    node.disk.slowMs = 0;
  });
}

function fillDisk({ cluster, node, rng, later }: Blow): void {
  cluster.faults['disk-full'] += 1;
  node.disk.isFull = true;
  later(span(cluster, rng, 100, 1_500), () => {
    node.disk.isFull = false;
    cluster.boot(node);
  });
}

/** At once, or right after its next timer: what it then asked for is answered by the past. */
function pause({ cluster, node, rng, later, ifActive }: Blow): void {
  const forMs = span(cluster, rng, 20, 400);
  const freeze = (): void =>
    ifActive(() => {
      if (!node.isUp) return;
      cluster.faults.pause += 1;
      node.pause();
      later(forMs, () => node.resume());
    });
  if (rng.float() < 0.3) freeze();
  else node.atNextTick(() => cluster.clock.setTimer(cluster.network.delay() / 2, freeze));
}

/** The node's own clock leaps, mostly ahead, as after a sleep; its wall clock either way, far. */
function jumpClock({ cluster, node, rng }: Blow): void {
  cluster.faults['clock-jump'] += 1;
  const isBack = rng.float() < 0.25;
  const leapMs = isBack ? -exponential(rng, 200) : exponential(rng, 1_500);
  node.jumpClock(leapMs, (rng.float() - 0.5) * 7_200_000);
}

/** Cuts a random group around `node` off from the rest; or only what it sends, or receives. */
function cutOff(
  { cluster, node, rng, later }: Blow,
  kind: 'partition' | 'one-way-partition',
  way: 'both' | 'out' | 'in',
): void {
  const { network, nodes, faults } = cluster;
  faults[kind] += 1;
  const size = rng.int(nodes.length - 1);
  const others = shuffled(cluster, rng).filter((other) => other !== node);
  const inside = [node, ...others.slice(0, size)];
  const outside = others.slice(size);
  const pairs = inside.flatMap((a) => outside.map((b) => [a.id, b.id] as const));
  for (const [a, b] of pairs) {
    if (way !== 'in') network.cut(a, b);
    if (way !== 'out') network.cut(b, a);
  }
  later(span(cluster, rng, 50, 1_500), () => {
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
function clog({ cluster, node: victim, rng, ifActive }: Blow): void {
  const { faults, network, nodes, plan } = cluster;
  const node = cluster.leader ?? victim;
  node.atNextTick(() =>
    ifActive(() => {
      faults.clog += 1;
      const isTakenForDead = plan.hasEvidence && rng.float() < 0.8;
      for (const other of nodes) {
        if (other === node) continue;
        const outMs = 20 + exponential(rng, 250);
        network.clog(node.id, other.id, outMs);
        network.clog(other.id, node.id, 20 + exponential(rng, 120));
        if (isTakenForDead) cluster.pretendDown(other, node, outMs);
      }
    }),
  );
}

export function shuffled(cluster: Cluster, rng: Rng): SimNode[] {
  const nodes = [...cluster.nodes];
  for (let at = nodes.length - 1; at > 0; at -= 1) {
    const from = rng.int(at + 1);
    const [moved] = nodes.splice(from, 1);
    if (moved !== undefined) nodes.push(moved);
  }
  return nodes;
}

function otherThan(cluster: Cluster, node: SimNode, rng: Rng): SimNode {
  return pick(
    rng,
    cluster.nodes.filter((other) => other !== node),
  );
}

function span(cluster: Cluster, rng: Rng, fromMs: Ms, meanMs: Ms): Ms {
  return fromMs + exponential(rng, meanMs * cluster.plan.strikeScale);
}
