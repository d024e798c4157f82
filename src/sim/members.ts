/**
 * The operator of a simulated cluster: asks for other members, takes a wiped node out so that it can
 * come back as a new one, and knows what must not be lost at the end.
 */
import { must, type NodeId, type Rng } from '../base/index.js';
import { type ConfState, type ConfTarget, hasQuorum, membersOf } from '../raft/index.js';
import type { Cluster } from './cluster.js';
import type { SimNode } from './node.js';
import { pick } from './plan.js';

/** Below it nothing could fall without stopping the group. */
const VOTERS_MIN = 2;
const VOTERS_MAX = 7;

/** Add, remove or replace a voter, or only add a learner; undefined where nothing is possible. */
export function chooseTarget(cluster: Cluster, leader: SimNode, rng: Rng): ConfTarget | undefined {
  const target = drawTarget(cluster, leader, rng);
  // Those with damaged disks must stay few: they get their votes back from a leader only.
  const whole = target?.voters.filter((name) => !cluster.node(name).disk.isSuspect) ?? [];
  return target !== undefined && 2 * whole.length > target.voters.length ? target : undefined;
}

function drawTarget(cluster: Cluster, leader: SimNode, rng: Rng): ConfTarget | undefined {
  const conf = must(leader.core, 'the core of the leader').conf;
  const { voters } = conf;
  const wiped = cluster.wiped?.id;
  // First of all: without it the group has no reserve.
  if (wiped !== undefined && voters.includes(wiped)) {
    return rng.float() < 0.5
      ? { voters, learners: [], renew: [wiped] }
      : { voters: voters.filter((name) => name !== wiped), learners: [] };
  }
  const strangers = cluster.nodes.map(({ id }) => id).filter((id) => !voters.includes(id));
  const canAdd = strangers.length > 0 && voters.length < VOTERS_MAX;
  const canRemove = voters.length > VOTERS_MIN;
  const draw = rng.float();
  if (canAdd && (draw < 0.4 || !canRemove)) {
    const added = pick(rng, strangers);
    // Half of the time another one waits as a learner, or is let go.
    return draw < 0.1
      ? { voters, learners: [added] }
      : { voters: [...voters, added], learners: [] };
  }
  if (!canRemove) return undefined;
  const removed = rng.float() < 0.4 && voters.includes(leader.id) ? leader.id : pick(rng, voters);
  const kept = voters.filter((name) => name !== removed);
  if (!canAdd || draw < 0.7) return { voters: kept, learners: [] };
  return { voters: [...kept, pick(rng, strangers)], learners: [] };
}

/** A wiped node may run again when it has no vote in a committed configuration. */
export function settleWiped(cluster: Cluster, leader: SimNode): void {
  const { wiped } = cluster;
  const status = leader.core?.status();
  if (wiped === undefined || status === undefined || !status.isConfCommitted) return;
  // A deposed leader that has not noticed must not let it in.
  const isCurrent = cluster.nodes.every((node) => node.disk.hardState.term <= status.term);
  const isVoter = [...status.voters, ...status.outgoing].includes(wiped.id);
  if (isVoter || !isCurrent) return;
  cluster.wiped = undefined;
  // It must not listen to leaders of before.
  wiped.disk.hardState = { term: status.term, vote: undefined };
  cluster.boot(wiped);
}

/** Would a quorum remain without these, whatever any node takes for the members? */
export function mayLose(cluster: Cluster, lost: readonly SimNode[]): boolean {
  const isThere = (name: NodeId): boolean => {
    const node = cluster.node(name);
    return !lost.includes(node);
  };
  return cluster.nodes.every((node) => {
    const confs = [node.disk.conf, ...(node.core === undefined ? [] : [node.core.conf])];
    return confs.every((conf) => isEnough(conf, isThere));
  });
}

function isEnough(conf: ConfState, isThere: (name: NodeId) => boolean): boolean {
  if (membersOf(conf).length === 0) return true;
  const then: ConfState = { voters: conf.next ?? conf.voters, outgoing: [], learners: [] };
  return hasQuorum(conf, isThere) && hasQuorum(then, isThere);
}
