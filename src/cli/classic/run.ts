/**
 * Runs one classic command: the words must fit it, and what it needs must be there before anything
 * is begun, so that what is refused has changed nothing.
 */
import { IdunnoError } from '../../base/index.js';
import { requireCluster } from '../readiness.js';
import { nodeLeft } from './members.js';
import { type ClassicCommand, type ClassicState, usageOf } from './types.js';

/** Throws USAGE, NODE_LEFT, NO_LEADER, and what the command throws. */
export async function runClassic(
  command: ClassicCommand,
  state: ClassicState,
  args: readonly string[],
): Promise<void> {
  checkArguments(command, args);
  const { client, node, timeoutMs, signal } = state;
  const needs = command.needs ?? 'leader';
  if (needs !== 'nothing') {
    const self = await client.memberSelf({ node, signal });
    if (self.state === 'left') throw nodeLeft(node);
  }
  if (needs === 'leader') await requireCluster(client, { timeoutMs, signal });
  await command.run(state, args);
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
