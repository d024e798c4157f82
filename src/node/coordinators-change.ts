/**
 * A change of the coordinators from whichever node is asked: begun at the leader, then watched until
 * it is done, also under later leaders. What is begun goes on by itself when the caller gives up.
 */
import { z } from 'zod';
import { type Clock, IdunnoError, type Ms } from '../base/index.js';
import type { CoordinatorChange } from '../cli/index.js';
import type { HandlerContext } from '../net/index.js';
import { sameNames } from '../raft/index.js';
import type { StoreClient } from '../store/index.js';
import { LEADER_METHODS } from './raft-view.js';

export interface ChangeRequest {
  readonly kind: 'add' | 'remove' | 'replace';
  readonly name: string;
  readonly by: string | null;
}

interface ChangeParts {
  readonly store: Pick<StoreClient, 'callLeader'>;
  readonly clock: Clock;
}

const LOOK_EVERY_MS: Ms = 100;
/** What is left for the answer's way back. */
const RESERVE_MS: Ms = 500;

const members = z.object({ voters: z.array(z.string()), isSettled: z.boolean() });
const names = z.array(z.string());

/** Throws what coordinator-rules.ts refuses, and TIMEOUT while it still goes on. */
export async function changeCoordinators(
  { store, clock }: ChangeParts,
  { kind, name, by }: ChangeRequest,
  { signal, deadlineMs }: Pick<HandlerContext, 'signal' | 'deadlineMs'>,
): Promise<CoordinatorChange> {
  const look = async () =>
    members.parse(await store.callLeader(LEADER_METHODS.members, [], { signal }));
  const before = await look();
  const args = [kind, name, by, before.voters];
  const wanted = names.parse(await store.callLeader(LEADER_METHODS.change, args, { signal }));
  for (;;) {
    const { voters, isSettled } = await look();
    if (isSettled && sameNames(voters, wanted)) return { before: before.voters, voters };
    if (clock.now() + LOOK_EVERY_MS + RESERVE_MS > deadlineMs) {
      const text = `the change to ${wanted.join(', ')} is on its way and goes on by itself`;
      throw new IdunnoError('TIMEOUT', text, { wanted: wanted.join(',') });
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}
