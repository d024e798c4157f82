/**
 * Which coordinators there should be. Pure: what an operator's wish comes to, and what the leader
 * does by itself about coordinators that were wiped or stay away.
 */
import { IdunnoError, type Ms, type NodeId } from '../base/index.js';
import { type ConfState, type ConfTarget, hasQuorum, isJoint } from '../raft/index.js';

export type Wish =
  | { readonly kind: 'add'; readonly node: NodeId }
  | { readonly kind: 'remove'; readonly node: NodeId }
  | { readonly kind: 'replace'; readonly node: NodeId; readonly by: NodeId };

export interface Situation {
  readonly conf: ConfState;
  readonly isCommitted: boolean;
  /** All nodes of the config file. */
  readonly nodes: readonly NodeId[];
  /** Nodes that run, by what is committed about them. */
  readonly isUp: (name: NodeId) => boolean;
  /** Members that answer the leader; itself included. */
  readonly isActive: (name: NodeId) => boolean;
}

/**
 * The voters that a wish leads to. Throws NODE_NOT_FOUND, CONFLICT, CHANGE_PENDING,
 * WOULD_LOSE_QUORUM.
 */
export function planWish(wish: Wish, situation: Situation): ConfTarget {
  const { conf, isCommitted } = situation;
  assertKnown(wish.node, situation);
  if (!isCommitted || isJoint(conf)) throw pending(conf);
  if (conf.next !== undefined) return planWhileComing(wish, situation, conf.next);
  const { voters } = conf;
  switch (wish.kind) {
    case 'add':
      assertCanCome(wish.node, situation);
      return { voters: [...voters, wish.node], learners: [] };
    case 'remove':
      assertVoter(wish.node, situation);
      return leaving(
        voters.filter((name) => name !== wish.node),
        wish.node,
        situation,
      );
    case 'replace': {
      assertVoter(wish.node, situation);
      assertKnown(wish.by, situation);
      assertCanCome(wish.by, situation);
      const kept = voters.filter((name) => name !== wish.node);
      return { voters: [...kept, wish.by], learners: [] };
    }
  }
}

/** While a new one catches up, it may be called off, and nothing else. */
function planWhileComing(wish: Wish, { conf }: Situation, next: readonly NodeId[]): ConfTarget {
  const isComing = next.includes(wish.node) && !conf.voters.includes(wish.node);
  if (wish.kind !== 'remove' || !isComing) throw pending(conf);
  return { voters: conf.voters, learners: [] };
}

function leaving(voters: readonly NodeId[], node: NodeId, situation: Situation): ConfTarget {
  const then: ConfState = { voters, outgoing: [], learners: [] };
  if (voters.length === 0) {
    throw new IdunnoError('WOULD_LOSE_QUORUM', `${node} is the only coordinator`, { node });
  }
  if (!hasQuorum(then, situation.isActive)) {
    const silent = voters.filter((name) => !situation.isActive(name));
    const text = `without ${node} the coordinators ${voters.join(', ')} would have no majority: ${silent.join(', ')} do not answer`;
    throw new IdunnoError('WOULD_LOSE_QUORUM', text, { node });
  }
  return { voters, learners: [] };
}

function assertKnown(node: NodeId, { nodes }: Situation): void {
  if (nodes.includes(node)) return;
  throw new IdunnoError('NODE_NOT_FOUND', `no node "${node}" is in the config file`, { node });
}

function assertVoter(node: NodeId, { conf }: Situation): void {
  if (conf.voters.includes(node)) return;
  const text = `${node} is no coordinator; ${conf.voters.join(', ')} are`;
  throw new IdunnoError('CONFLICT', text, { node });
}

function assertCanCome(node: NodeId, { conf, isUp }: Situation): void {
  if (conf.voters.includes(node)) {
    throw new IdunnoError('CONFLICT', `${node} is a coordinator already`, { node });
  }
  if (!isUp(node)) {
    const text = `${node} does not run: a new coordinator has to be sent the state first`;
    throw new IdunnoError('CONFLICT', text, { node });
  }
}

function pending(conf: ConfState): IdunnoError {
  const coming = conf.next?.filter((name) => !conf.voters.includes(name)) ?? [];
  const what =
    coming.length > 0
      ? `${coming.join(', ')} is catching up before it gets a vote`
      : 'another change of the coordinators is on its way';
  return new IdunnoError('CHANGE_PENDING', what);
}

export interface Watched extends Situation {
  readonly nowMs: Ms;
  /** Since when a member has not answered; undefined: it does. */
  readonly silentSinceMs: (name: NodeId) => Ms | undefined;
  /** It runs, has no log, and is nobody's former self. */
  readonly isEmpty: (name: NodeId) => boolean;
  /** 0: never. */
  readonly replaceAfterMs: Ms;
}

export type Repair =
  /** A voter lost its disk: it starts over as a learner. */
  | { readonly kind: 'renew'; readonly node: NodeId; readonly target: ConfTarget }
  | {
      readonly kind: 'replace';
      readonly node: NodeId;
      readonly by: NodeId;
      readonly target: ConfTarget;
    };

/** At most one at a time. */
export function planRepair(watched: Watched): Repair | undefined {
  const { conf, isCommitted } = watched;
  if (!isCommitted || isJoint(conf)) return undefined;
  const wanted = conf.next ?? conf.voters;
  const wiped = conf.voters.find((name) => watched.isEmpty(name));
  if (wiped !== undefined) {
    const renew = { voters: wanted, learners: [], renew: [wiped] };
    return wanted.includes(wiped) ? { kind: 'renew', node: wiped, target: renew } : undefined;
  }
  const node = wanted.find((name) => isAwayForGood(name, watched));
  const by = watched.nodes.find((name) => isFree(name, watched));
  if (node === undefined || by === undefined) return undefined;
  const voters = [...wanted.filter((name) => name !== node), by];
  return { kind: 'replace', node, by, target: { voters, learners: [] } };
}

function isAwayForGood(name: NodeId, { silentSinceMs, nowMs, replaceAfterMs }: Watched): boolean {
  const since = silentSinceMs(name);
  return replaceAfterMs > 0 && since !== undefined && nowMs - since >= replaceAfterMs;
}

function isFree(name: NodeId, { conf, isUp }: Watched): boolean {
  return isUp(name) && ![...conf.voters, ...conf.learners].includes(name);
}
