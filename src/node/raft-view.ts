/**
 * Who leads, as this node knows it. A coordinator asks its own driver; another node asks the leader
 * through the store's client and remembers the answer for a moment, so that a page that polls does
 * not become a load.
 */
import { z } from 'zod';
import {
  type Clock,
  type ClusterConfig,
  IdunnoError,
  isIdunnoError,
  type Ms,
  type NodeConfig,
  nodeId,
} from '../base/index.js';
import type { RaftStatus } from '../cli/index.js';
import type { Wire } from '../net/index.js';
import { isJoint, type RaftDriver } from '../raft/index.js';
import type { StoreClient, StoreService } from '../store/index.js';
import type { RaftView } from './api-parts.js';
import type { Wish } from './coordinator-rules.js';
import type { CoordinatorsDuty } from './coordinators-duty.js';

export const LEADER_METHODS = {
  who: 'node.who-leads',
  transfer: 'node.transfer',
  members: 'node.members',
  change: 'node.change-coordinators',
} as const;

/** How old an answer may be. */
const FRESH_MS: Ms = 200;
const ASK_TIMEOUT_MS: Ms = 300;
const NOBODY: Pick<RaftStatus, 'term' | 'leader'> = { term: 0, leader: undefined };

/** What the leader answers about itself and the group; registered on every node. */
export function registerLeaderMethods(
  service: StoreService,
  driver: RaftDriver,
  duty: CoordinatorsDuty,
): void {
  service.registerLeaderMethod(LEADER_METHODS.members, () => {
    const { conf, isCommitted } = driver.members;
    const isSettled = isCommitted && !isJoint(conf) && conf.next === undefined;
    return { voters: [...conf.voters], isSettled };
  });
  service.registerLeaderMethod(LEADER_METHODS.change, async (args) => {
    const [kind, name, by, expected] = changeArgs.parse(args);
    return [...(await duty.change(wishOf(kind, name, by), expected))];
  });
  service.registerLeaderMethod(LEADER_METHODS.who, () => [driver.leader ?? '', driver.role.term]);
  service.registerLeaderMethod(LEADER_METHODS.transfer, (args) => transfer(driver, args));
}

const changeArgs = z.tuple([
  z.enum(['add', 'remove', 'replace']),
  z.string(),
  z.string().nullable(),
  z.array(z.string()),
]);

/** Throws BAD_NAME, BAD_ARGUMENT. */
function wishOf(kind: Wish['kind'], name: string, by: string | null): Wish {
  const node = nodeId(name);
  if (kind !== 'replace') return { kind, node };
  if (by === null) throw new IdunnoError('BAD_ARGUMENT', `by whom is ${name} to be replaced?`);
  return { kind, node, by: nodeId(by) };
}

async function transfer(driver: RaftDriver, [to]: readonly Wire[]): Promise<Wire> {
  const from = driver.leader ?? null;
  const target = typeof to === 'string' ? nodeId(to) : undefined;
  const voters = driver.status().raft?.voters ?? [];
  if (target !== undefined && !voters.includes(target)) {
    throw new IdunnoError('NODE_NOT_FOUND', `${target} is no coordinator and cannot lead`);
  }
  if (target !== undefined && target === from) return from;
  const next = await driver.transferLeadership(target);
  if (next !== undefined) return from;
  throw new IdunnoError('UNAVAILABLE', `${target ?? 'no follower'} could take over from ${from}`);
}

/** Members speak of themselves; so do founders that have not founded yet. */
export function raftView(
  node: NodeConfig,
  config: ClusterConfig,
  { driver, store, clock }: { driver: RaftDriver; store: StoreClient; clock: Clock },
): RaftView {
  const member = memberView(node, driver);
  const observer = observerView(node, store, clock);
  const isFounder = config.coordinators.includes(node.name);
  return {
    status: () => {
      const isFounding = isFounder && driver.members.conf.voters.length === 0;
      return (driver.members.isMember || isFounding ? member : observer).status();
    },
  };
}

function memberView(node: NodeConfig, driver: RaftDriver): RaftView {
  return {
    status: async () => {
      const { raft, applied, phase } = driver.status();
      return {
        node: node.name,
        isCoordinator: true,
        role: raft?.role ?? phase,
        term: raft?.term ?? 0,
        leader: driver.leader,
        commitIndex: raft?.commit ?? 0,
        appliedIndex: applied,
        lastIndex: raft?.last ?? 0,
        voters: raft?.voters ?? [],
        outgoing: raft?.outgoing ?? [],
        learners: raft?.learners ?? [],
        next: raft?.next ?? [],
      };
    },
  };
}

function observerView(
  node: NodeConfig,
  store: Pick<StoreClient, 'callLeader'>,
  clock: Clock,
): RaftView {
  let known = NOBODY;
  let askedAt = Number.NEGATIVE_INFINITY;
  const ask = async (): Promise<void> => {
    if (clock.now() - askedAt < FRESH_MS) return;
    try {
      known = readWho(
        await store.callLeader(LEADER_METHODS.who, [], { timeoutMs: ASK_TIMEOUT_MS }),
      );
    } catch (error) {
      if (!isIdunnoError(error)) throw error;
      known = NOBODY;
    }
    askedAt = clock.now();
  };
  return {
    status: async () => {
      await ask();
      return {
        node: node.name,
        isCoordinator: false,
        role: 'observer',
        ...known,
        commitIndex: 0,
        appliedIndex: 0,
        lastIndex: 0,
        voters: [],
        outgoing: [],
        learners: [],
        next: [],
      };
    },
  };
}

function readWho(answer: Wire): Pick<RaftStatus, 'term' | 'leader'> {
  const [leader, term] = Array.isArray(answer) ? (answer as readonly Wire[]) : [];
  if (typeof leader !== 'string' || typeof term !== 'number') return NOBODY;
  return { leader: leader === '' ? undefined : leader, term };
}
