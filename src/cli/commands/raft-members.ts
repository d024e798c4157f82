/** `idunno raft add | remove | replace`: who the coordinators are, changed while the cluster works. */
import type { CoordinatorChange } from '../contract.js';
import type { CommandContext, CommandSpec } from '../types.js';

const WAITS =
  'Waits until the change is done; it goes on by itself when the command is interrupted or the ' +
  'leader falls. A new coordinator is sent the state first and gets its vote when it has caught up. ' +
  'Until then raft remove NODE calls it off.';

const add: CommandSpec = {
  noun: 'raft',
  verb: 'add',
  summary: 'make a node of the cluster a coordinator',
  details: WAITS,
  args: [{ name: 'node', help: 'a running node that is no coordinator' }],
  async run(context) {
    await change(context, 'add', [context.arg('node')]);
  },
};

const remove: CommandSpec = {
  noun: 'raft',
  verb: 'remove',
  summary: 'take the vote of a coordinator away; as a node it goes on',
  details:
    'Refused where the others would have no majority that answers. A leader that is removed hands ' +
    'over first.',
  args: [{ name: 'node', help: 'a coordinator, running or not' }],
  async run(context) {
    await change(context, 'remove', [context.arg('node')]);
  },
};

const replace: CommandSpec = {
  noun: 'raft',
  verb: 'replace',
  summary: 'let another node take the place of a coordinator, running or not',
  details: WAITS,
  args: [
    { name: 'old', help: 'a coordinator' },
    { name: 'new', help: 'a running node that is no coordinator' },
  ],
  async run(context) {
    await change(context, 'replace', [context.arg('old'), context.arg('new')]);
  },
};

async function change(
  context: CommandContext,
  kind: 'add' | 'remove' | 'replace',
  names: readonly [string, string?],
): Promise<void> {
  const client = await context.client();
  const { timeoutMs } = context.target;
  const options = timeoutMs === undefined ? {} : { timeoutMs };
  const done = await client.raftChange(kind, names, { signal: context.signal, ...options });
  context.out.done(describe(kind, names, done), 'coordinators', { ...done });
}

function describe(
  kind: 'add' | 'remove' | 'replace',
  [node, by]: readonly [string, string?],
  { voters }: CoordinatorChange,
): string {
  const what = {
    add: `${node} is a coordinator now`,
    remove: `${node} is no coordinator any more`,
    replace: `${by} has taken the place of ${node}`,
  }[kind];
  return `${what}; the coordinators are ${voters.join(', ')}`;
}

export const RAFT_MEMBER_COMMANDS: readonly CommandSpec[] = [add, remove, replace];
