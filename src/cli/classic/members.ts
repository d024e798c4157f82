/** Classic commands about the group: processes are shown as `name:HH:MM:SS` of their boot. */
import { IdunnoError } from '../../base/index.js';
import { classicId } from '../commands/member.js';
import { renderAsciiTable } from '../output.js';
import type { ClassicCommand } from './types.js';

export const PROCESS_HEAD = ['Process IDs'];

const join: ClassicCommand = {
  name: 'join',
  args: [],
  summary: 'let this node join the group',
  needs: 'nothing',
  async run({ client, node, out, signal }) {
    const { state } = await client.memberSelf({ node, signal });
    if (state !== 'left') {
      out.line(`${node} is a member already`);
      return;
    }
    await client.memberJoin(node, { signal });
    out.line(`${node} has joined`);
  },
};

const leave: ClassicCommand = {
  name: 'leave',
  args: [],
  summary: 'let this node leave the group; its process goes on',
  needs: 'member',
  async run({ client, node, out, signal }) {
    await client.memberLeave(node, { signal });
    out.line(`${node} has left`);
  },
};

const listMem: ClassicCommand = {
  name: 'list_mem',
  args: [],
  summary: 'the membership list of this node',
  needs: 'member',
  async run({ client, node, out, signal }) {
    const members = await client.memberList({ node, signal });
    const there = members.filter(({ state }) => state === 'active' || state === 'suspicious');
    out.line(
      renderAsciiTable(
        PROCESS_HEAD,
        there.map((member) => [classicId(member)]),
      ),
    );
  },
};

const listSelf: ClassicCommand = {
  name: 'list_self',
  args: [],
  summary: 'the id of this node',
  needs: 'nothing',
  async run({ client, node, out, signal }) {
    out.line(classicId(await client.memberSelf({ node, signal })));
  },
};

/** Throws NODE_LEFT where the node of the prompt is no member any more. */
export function nodeLeft(node: string): IdunnoError {
  const text = `${node} has left the group: type join to let it join again`;
  return new IdunnoError('NODE_LEFT', text, { node });
}

export const MEMBER_COMMANDS: readonly ClassicCommand[] = [join, leave, listMem, listSelf];
