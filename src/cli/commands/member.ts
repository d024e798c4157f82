/** `idunno member …`: who is there, as SWIM sees it. */
import { IdunnoError } from '../../base/index.js';
import type { Member } from '../../swim/index.js';
import { formatClock, formatDuration, formatTime } from '../format.js';
import type { Column } from '../output.js';
import type { CommandContext, CommandSpec } from '../types.js';

const MEMBER_COLUMNS: readonly Column<Member>[] = [
  { title: 'name', value: (member) => member.name },
  { title: 'address', value: (member) => `${member.host}:${member.port}` },
  { title: 'state', value: (member) => describeState(member) },
  { title: 'booted', value: (member) => formatTime(member.bootWallMs) },
  { title: 'epoch', value: (member) => String(member.bootEpoch), align: 'right', wide: true },
  {
    title: 'incarnation',
    value: (member) => String(member.incarnation),
    align: 'right',
    wide: true,
  },
];

function describeState(member: Member): string {
  const stalled = member.stalledMs > 0 ? `, stalled ${formatDuration(member.stalledMs)}` : '';
  return `${member.state}${stalled}`;
}

/** The classic id of a process: its name and the time it booted. */
export function classicId(member: Pick<Member, 'name' | 'bootWallMs'>): string {
  return `${member.name}:${formatClock(member.bootWallMs)}`;
}

/** Where the question is asked: of the preferred node alone, if there is one. */
function atNode(context: CommandContext): { node?: string } {
  return context.target.node === undefined ? {} : { node: context.target.node };
}

const ls: CommandSpec = {
  noun: 'member',
  verb: 'ls',
  summary: 'the members as one node sees them',
  async run(context) {
    const members = await (await context.client()).memberList(atNode(context));
    context.out.list('members', members, MEMBER_COLUMNS);
  },
};

const self: CommandSpec = {
  noun: 'member',
  verb: 'self',
  summary: 'the node that is asked',
  async run(context) {
    const member = await (await context.client()).memberSelf(atNode(context));
    const columns = MEMBER_COLUMNS.map(({ title, value }) => ({ title, value }));
    context.out.item('member', member, [{ title: 'id', value: classicId }, ...columns]);
  },
};

const why: CommandSpec = {
  noun: 'member',
  verb: 'why',
  summary: 'the evidence for what a node thinks of a member',
  args: [{ name: 'name', help: 'the member' }],
  async run(context) {
    const client = await context.client();
    const evidence = await client.memberWhy(context.arg('name'), atNode(context));
    context.out.list('evidence', evidence, [
      { title: 'at', value: (row) => formatTime(row.atWallMs) },
      { title: 'evidence', value: (row) => row.text },
    ]);
  },
};

function namedNode(context: CommandContext): string {
  const node = context.optionalArg('name') ?? context.target.node;
  if (node === undefined) {
    throw new IdunnoError('USAGE', 'which node? Name it, or set --node or IDUNNO_NODE');
  }
  return node;
}

const join: CommandSpec = {
  noun: 'member',
  verb: 'join',
  summary: 'let a node that has left join again',
  args: [{ name: 'name', help: 'the node (default: --node)', optional: true }],
  async run(context) {
    const name = namedNode(context);
    await (await context.client()).memberJoin(name, { signal: context.signal });
    context.out.done(`${name} has joined`, 'join', { name });
  },
};

const leave: CommandSpec = {
  noun: 'member',
  verb: 'leave',
  summary: 'take a node out of membership, placement and leases; its process goes on',
  args: [{ name: 'name', help: 'the node (default: --node)', optional: true }],
  async run(context) {
    const name = namedNode(context);
    await context.confirm(`Let ${name} leave the cluster?`);
    await (await context.client()).memberLeave(name, { signal: context.signal });
    context.out.done(`${name} has left`, 'leave', { name });
  },
};

export const MEMBER_COMMANDS: readonly CommandSpec[] = [ls, self, why, join, leave];
