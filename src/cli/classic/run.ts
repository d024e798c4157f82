/**
 * Runs one classic command: the words must fit it, and what it needs must be there before anything
 * is begun, so that what is refused has changed nothing.
 */
import { IdunnoError, isIdunnoError } from '../../base/index.js';
import { requireCluster } from '../readiness.js';
import { nodeLeft } from './members.js';
import { type ClassicCommand, type ClassicNeed, type ClassicState, usageOf } from './types.js';

/** Throws USAGE, NODE_LEFT, NO_LEADER, and what the command throws. */
export async function runClassic(
  command: ClassicCommand,
  state: ClassicState,
  args: readonly string[],
): Promise<void> {
  checkArguments(command, args);
  await requireNeeds(command.needs ?? 'leader', state);
  await command.run(state, args);
}

/**
 * What is about the node itself asks that node; the rest is served by another one, too, while the
 * prompt's own cannot be reached.
 */
async function requireNeeds(needs: ClassicNeed, state: ClassicState): Promise<void> {
  const { client, node, timeoutMs, signal } = state;
  if (needs === 'nothing') return;
  if (needs === 'member') {
    const self = await client.memberSelf({ node, signal });
    if (self.state === 'left') throw nodeLeft(node);
    return;
  }
  await requireCluster(client, { timeoutMs, signal, node }).catch((error: unknown) => {
    throw isIdunnoError(error, 'NODE_LEFT') ? nodeLeft(node) : error;
  });
}

function checkArguments(command: ClassicCommand, args: readonly string[]): void {
  const most = command.args.length;
  const required = command.required ?? most;
  if (args.length >= required && args.length <= most) return;
  const wanted = required === most ? String(most) : `${required} to ${most}`;
  const what = most === 0 ? 'no arguments' : `${wanted} ${most === 1 ? 'argument' : 'arguments'}`;
  const text = `${command.name} takes ${what}, not ${args.length}: write ${usageOf(command)}`;
  throw new IdunnoError('USAGE', text);
}
