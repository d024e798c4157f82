/** `idunno raft …` and `idunno settings …`: the consensus group, and small replicated values. */
import { asIdunnoError, IdunnoError } from '../../base/index.js';
import type { RaftStatus } from '../contract.js';
import type { ApiClient } from '../api-client.js';
import type { CommandContext, CommandSpec } from '../types.js';
import { RAFT_MEMBER_COMMANDS } from './raft-members.js';

const status: CommandSpec = {
  noun: 'raft',
  verb: 'status',
  summary: 'role, term and log of every coordinator that answers',
  async run(context) {
    const client = await context.client();
    const asks = client.nodes.map((node) =>
      client.raftStatus({ node: node.name, timeoutMs: ASK_MS, signal: context.signal }),
    );
    const settled = await Promise.allSettled(asks);
    const rows: RaftStatus[] = [];
    settled.forEach((outcome, index) => {
      const name = client.nodes[index]?.name ?? '?';
      if (outcome.status === 'fulfilled') rows.push(outcome.value);
      else context.out.note(`${name}: ${asIdunnoError(outcome.reason).message}`);
    });
    if (rows.length === 0) throw new IdunnoError('UNAVAILABLE', 'no node answered');
    const coordinators = rows.filter((row) => row.isCoordinator);
    const change = describeChange(coordinators);
    if (change !== undefined) context.out.note(change);
    context.out.list('raft', coordinators, [
      { title: 'node', value: (row) => row.node },
      { title: 'role', value: (row) => row.role },
      { title: 'vote', value: voteOf },
      { title: 'term', value: (row) => String(row.term), align: 'right' },
      { title: 'leader', value: (row) => row.leader ?? '-' },
      { title: 'commit', value: (row) => String(row.commitIndex), align: 'right' },
      { title: 'applied', value: (row) => String(row.appliedIndex), align: 'right' },
      { title: 'last', value: (row) => String(row.lastIndex), align: 'right' },
      { title: 'voters', value: (row) => row.voters.join(','), wide: true },
      { title: 'learners', value: (row) => row.learners.join(',') || '-', wide: true },
    ]);
    await noteSuspects(context, client, coordinators);
  },
};

/** Who has no vote because its storage was damaged, and why; and where nobody can lead. */
async function noteSuspects(
  context: CommandContext,
  client: ApiClient,
  rows: readonly RaftStatus[],
): Promise<void> {
  const asks = rows.map(async ({ node }) => {
    const options = { node, timeoutMs: ASK_MS, signal: context.signal };
    return { node, ...(await client.raftStorage(options)) };
  });
  const settled = await Promise.allSettled(asks);
  const found = settled.flatMap((ask) => (ask.status === 'fulfilled' ? [ask.value] : []));
  for (const { node, doubt } of found) {
    if (doubt === undefined) continue;
    context.out.note(`${node} has no vote until it has caught up with a leader: ${doubt}`);
  }
  const stuck = found.find((health) => health.stuck !== undefined)?.stuck;
  if (stuck !== undefined) context.out.note(stuck);
}

/** As far as its own log says. */
function voteOf({ node, voters, outgoing, learners }: RaftStatus): string {
  if (voters.includes(node)) return 'yes';
  if (outgoing.includes(node)) return 'leaving';
  return learners.includes(node) ? 'not yet' : 'no';
}

/** A change of the members that is under way, by the newest account. */
function describeChange(rows: readonly RaftStatus[]): string | undefined {
  const leader = rows.find(({ role }) => role === 'leader');
  if (leader === undefined) return undefined;
  const { voters, outgoing, next } = leader;
  if (outgoing.length > 0) {
    return `a change is under way: from ${outgoing.join(', ')} to ${voters.join(', ')}`;
  }
  const coming = next.filter((name) => !voters.includes(name));
  if (coming.length === 0) return undefined;
  return `a change is under way: ${coming.join(', ')} gets a vote when it has caught up`;
}

/** A node that is down must not hold up the others' rows. */
const ASK_MS = 1_500;

const transfer: CommandSpec = {
  noun: 'raft',
  verb: 'transfer',
  summary: 'hand leadership over, to a named coordinator or to the best one',
  args: [{ name: 'to', help: 'a coordinator', optional: true }],
  async run(context) {
    const to = context.optionalArg('to');
    const client = await context.client();
    const from = await client.raftTransfer(to, { signal: context.signal });
    const target = to ?? 'the best follower';
    context.out.done(`${from} handed leadership to ${target}`, 'transfer', {
      from,
      to: to ?? null,
    });
  },
};

const put: CommandSpec = {
  noun: 'settings',
  verb: 'put',
  summary: 'set a small replicated value',
  args: [
    { name: 'key', help: 'its name' },
    { name: 'value', help: 'its text' },
  ],
  async run(context) {
    const key = context.arg('key');
    const index = await (await context.client()).settingsPut(key, context.arg('value'), {
      signal: context.signal,
    });
    context.out.done(`${key} is set (log index ${index})`, 'setting', { key, index });
  },
};

const get: CommandSpec = {
  noun: 'settings',
  verb: 'get',
  summary: 'read a small replicated value; the answer is the newest',
  args: [{ name: 'key', help: 'its name' }],
  async run(context) {
    const key = context.arg('key');
    const value = await (await context.client()).settingsGet(key);
    if (value === undefined)
      throw new IdunnoError('SETTING_NOT_FOUND', `no setting "${key}" is set`);
    context.out.done(value, 'setting', { key, value });
  },
};

const ls: CommandSpec = {
  noun: 'settings',
  verb: 'ls',
  summary: 'the small replicated values',
  args: [{ name: 'prefix', help: 'only keys that start with it', optional: true }],
  async run(context) {
    const client = await context.client();
    const found = await client.settingsList(context.optionalArg('prefix') ?? '');
    context.out.list('settings', found, [
      { title: 'key', value: (row) => row.key },
      { title: 'value', value: (row) => row.value },
      { title: 'puts', value: (row) => String(row.revision), align: 'right' },
      { title: 'index', value: (row) => String(row.index), align: 'right', wide: true },
    ]);
  },
};

export const RAFT_COMMANDS: readonly CommandSpec[] = [
  status,
  transfer,
  ...RAFT_MEMBER_COMMANDS,
  put,
  get,
  ls,
];
