/**
 * Who leads, as this node knows it. A coordinator asks its own driver; another node asks the leader
 * through the store's client and remembers the answer for a moment, so that a page that polls does
 * not become a load.
 */
import {
  type Clock,
  IdunnoError,
  isIdunnoError,
  type Ms,
  type NodeConfig,
  nodeId,
} from '../base/index.js';
import type { RaftStatus } from '../cli/index.js';
import type { Wire } from '../net/index.js';
import type { RaftDriver } from '../raft/index.js';
import type { StoreClient, StoreService } from '../store/index.js';
import type { RaftView } from './api-parts.js';

export const LEADER_METHODS = { who: 'node.who-leads', transfer: 'node.transfer' } as const;

/** How old an answer may be. */
const FRESH_MS: Ms = 200;
const ASK_TIMEOUT_MS: Ms = 300;
const NOBODY: Pick<RaftStatus, 'term' | 'leader'> = { term: 0, leader: undefined };

/** What the leader answers about itself; registered on every coordinator. */
export function registerLeaderMethods(service: StoreService, driver: RaftDriver): void {
  service.registerLeaderMethod(LEADER_METHODS.who, () => [driver.leader ?? '', driver.role.term]);
  service.registerLeaderMethod(LEADER_METHODS.transfer, (args) => transfer(driver, args));
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

export function coordinatorView(node: NodeConfig, driver: RaftDriver): RaftView {
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
        learners: raft?.learners ?? [],
      };
    },
  };
}

export function observerView(
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
        learners: [],
      };
    },
  };
}

function readWho(answer: Wire): Pick<RaftStatus, 'term' | 'leader'> {
  const [leader, term] = Array.isArray(answer) ? (answer as readonly Wire[]) : [];
  if (typeof leader !== 'string' || typeof term !== 'number') return NOBODY;
  return { leader: leader === '' ? undefined : leader, term };
}
