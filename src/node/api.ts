/**
 * What a node serves to clients. Any node serves any call: what needs the leader goes through the
 * store's client, which finds it. The request number a client brings is passed on, so that its
 * retry through another node takes effect once.
 */
import { z } from 'zod';
import { IdunnoError, nodeId } from '../base/index.js';
import { API, type ClusterStatus, type NodeStatusRow, toWire } from '../cli/index.js';
import { checkSetting } from '../idunno/index.js';
import type { Rpc } from '../net/index.js';
import { SETTINGS_PER_COMMAND_MAX } from '../store/index.js';
import type { Member } from '../swim/index.js';
import { serveFiles } from './api-files.js';
import { serveJobs } from './api-jobs.js';
import { serveLogs } from './api-logs.js';
import { type ApiParts, nothing, requestOf, serve, text, whole } from './api-parts.js';
import { committedNodes } from './committed-nodes.js';
import { changeCoordinators } from './coordinators-change.js';
import { LEADER_METHODS } from './raft-view.js';

export function serveApi(rpc: Pick<Rpc, 'handle'>, parts: ApiParts): void {
  serveCluster(rpc, parts);
  serveSettings(rpc, parts);
  serveMembers(rpc, parts);
  serveFiles(rpc, parts);
  serveJobs(rpc, parts);
  serveLogs(rpc, parts);
}

function serveCluster(rpc: Pick<Rpc, 'handle'>, parts: ApiParts): void {
  serve(rpc, API.status, nothing, async () => ({ value: toWire(await clusterStatus(parts)) }));
  serve(rpc, API.openSession, nothing, async (_args, _body, { signal }) => ({
    value: await parts.store.openSession({ signal }),
  }));
  serve(rpc, API.raftStatus, nothing, async () => ({ value: toWire(await parts.raft.status()) }));
  serve(rpc, API.raftTransfer, z.tuple([text.nullable()]), async ([to], _body, { signal }) => ({
    value: await parts.store.callLeader(LEADER_METHODS.transfer, [to], { signal }),
  }));
  const change = z.tuple([z.enum(['add', 'remove', 'replace']), text, text.nullable()]);
  serve(rpc, API.raftChange, change, async ([kind, name, by], _body, context) => ({
    value: toWire(await changeCoordinators(parts, { kind, name, by }, context)),
  }));
}

function serveSettings(rpc: Pick<Rpc, 'handle'>, { store }: ApiParts): void {
  const putArgs = z.tuple([text, z.string(), whole, whole]);
  serve(rpc, API.settingsPut, putArgs, async ([key, value, session, seq], _body, { signal }) => {
    checkSetting(key, value);
    const options = { signal, ...requestOf(session, seq) };
    const answer = await store.submit('settings.put', [key, value], options);
    return { value: settingIndex.parse(answer).index };
  });
  const pairs = z
    .array(z.tuple([text, z.string()]))
    .min(1)
    .max(SETTINGS_PER_COMMAND_MAX);
  const manyArgs = z.tuple([pairs, whole, whole]);
  serve(rpc, API.settingsPutMany, manyArgs, async ([settings, session, seq], _body, { signal }) => {
    for (const [key, value] of settings) checkSetting(key, value);
    const options = { signal, ...requestOf(session, seq) };
    const answer = await store.submit('settings.putMany', settings, options);
    return { value: settingIndex.parse(answer).index };
  });
  serve(rpc, API.settingsGet, z.tuple([text]), async ([key], _body, { signal }) => {
    const answer = await store.query('settings.get', [key], { signal });
    return { value: settingValue.nullable().parse(answer)?.value ?? null };
  });
  const listArgs = z.tuple([text, text.nullable(), whole.min(1).max(1_000)]);
  serve(rpc, API.settingsList, listArgs, async ([prefix, after, limit], _body, { signal }) => {
    const options = { prefix, limit, ...(after === null ? {} : { after }) };
    return { value: await store.query('settings.list', [options], { signal }) };
  });
}

const settingIndex = z.object({ index: z.number() });
const settingValue = z.object({ value: z.string() });

function serveMembers(rpc: Pick<Rpc, 'handle'>, parts: ApiParts): void {
  const { membership } = parts;
  serve(rpc, API.memberList, nothing, async () => ({ value: toWire(membership.members()) }));
  serve(rpc, API.memberSelf, nothing, async () => ({ value: toWire(membership.self) }));
  serve(rpc, API.memberWhy, z.tuple([text]), async ([name]) => {
    const isKnown = parts.config.nodes.some((node) => node.name === name);
    if (!isKnown && membership.get(nodeId(name)) === undefined) {
      throw new IdunnoError('NODE_NOT_FOUND', `no node "${name}" is known to ${parts.node.name}`);
    }
    return { value: toWire(await membership.why(nodeId(name))) };
  });
  serve(rpc, API.memberJoin, nothing, async () => {
    await membership.join();
    return { value: null };
  });
  serve(rpc, API.memberLeave, nothing, async () => {
    await membership.leave();
    return { value: null };
  });
}

async function clusterStatus(parts: ApiParts): Promise<ClusterStatus> {
  const raft = await parts.raft.status();
  const rows = new Map((await committedNodes(parts)).map((row) => [row.name, row]));
  const nodes = parts.config.nodes.map(({ name, host, port }): NodeStatusRow => {
    const member = parts.membership.get(name);
    return {
      name,
      host,
      port,
      isCoordinator: parts.coordinators().includes(name),
      isLeader: raft.leader === name,
      ...memberFields(member),
      status: rows.get(name)?.status ?? 'unknown',
    };
  });
  return {
    cluster: parts.config.cluster,
    node: parts.node.name,
    version: parts.version,
    leader: raft.leader,
    term: raft.term,
    ready: parts.isRegistered() && raft.leader !== undefined,
    nodes,
  };
}

function memberFields(
  member: Member | undefined,
): Pick<NodeStatusRow, 'state' | 'bootWallMs' | 'bootEpoch' | 'stalledMs'> {
  const { state = 'unknown', bootWallMs = 0, bootEpoch = 0, stalledMs = 0 } = member ?? {};
  return { state, bootWallMs, bootEpoch, stalledMs };
}
