/**
 * The calls that a node serves to clients: their names, and the shapes of what comes back.
 *
 * This is the contract between a cluster and everything outside it (command line, demonstration,
 * drills); src/node/api.ts serves it, api-client.ts speaks it. It is apart from the internal types
 * on purpose: an answer is parsed here and refused with PROTOCOL when it does not fit, so a client
 * of another version fails with a sentence and not somewhere later with `undefined`.
 *
 * The shapes stand by noun in contract-*.ts.
 *
 * Arguments are positional msgpack arrays. `null` stands for "not given".
 */
import type { z } from 'zod';
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';

export * from './contract-cluster.js';
export * from './contract-files.js';
export * from './contract-jobs.js';

/** Every method, by what clients call it. */
export const API = {
  /** [] → ClusterStatus. Answered by each node from what it knows; never waits for the leader. */
  status: 'api.status',
  /** [] → a session number; registered through the log. */
  openSession: 'api.session.open',
  /** [key, value, session, seq] → log index. */
  settingsPut: 'api.settings.put',
  /** [[key, value][], session, seq] → log index: all take effect together. */
  settingsPutMany: 'api.settings.putMany',
  /** [key] → value or null. */
  settingsGet: 'api.settings.get',
  /** [prefix, after or null, limit] → SettingRecord[]. */
  settingsList: 'api.settings.list',
  /** [] → Member[]. */
  memberList: 'api.member.list',
  /** [] → Member. */
  memberSelf: 'api.member.self',
  /** [name] → Evidence[]. */
  memberWhy: 'api.member.why',
  /** [] → null; the node that is called joins or leaves. */
  memberJoin: 'api.member.join',
  memberLeave: 'api.member.leave',
  /** [] → RaftStatus of the node that is called. */
  raftStatus: 'api.raft.status',
  /** [] → StorageHealth of the node that is called. */
  raftStorage: 'api.raft.storage',
  /** [to or null] → name of the node that led before; forwarded to the leader. */
  raftTransfer: 'api.raft.transfer',
  /** [kind, node, by or null] → CoordinatorChange, when it is done. */
  raftChange: 'api.raft.change',
  /** [name, bytes or null, durability, session, seq] + body → PutResult. */
  filePut: 'api.file.put',
  /** [count, durability, session, seq] + packed body (pack.ts) → PutResult[]. */
  filePutMany: 'api.file.putMany',
  /** [name, version or null] → FileVersion + body. */
  fileGet: 'api.file.get',
  /** [name, count] → FileVersion[]. */
  fileVersions: 'api.file.versions',
  /** [name, version or null] → FileVersion. */
  fileStat: 'api.file.stat',
  /** [prefix, after or null, limit] → ListPage. */
  fileList: 'api.file.list',
  /** [name] → null. */
  fileDelete: 'api.file.delete',
  /** [node or null for the one called] → FileVersion[]. */
  fileStore: 'api.file.store',
  /** [] → StorageReport. */
  fileReport: 'api.file.report',
  /** [timeoutMs, workers] + packed body → null + body of JSON lines (DeployLine). */
  modelDeploy: 'api.model.deploy',
  /** [] → ModelInfo[]. */
  modelList: 'api.model.list',
  /** [name] → null. */
  modelUndeploy: 'api.model.undeploy',
  modelRemove: 'api.model.remove',
  /** [spec, session, seq] → JobInfo. */
  jobSubmit: 'api.job.submit',
  /** [owner or null for all] → JobInfo[]. */
  jobList: 'api.job.list',
  /** [id] → JobInfo. */
  jobInfo: 'api.job.info',
  /** [id or null, owner or null for all] → JobStats[]. */
  jobStats: 'api.job.stats',
  /** [] → FairnessReport. */
  jobFairness: 'api.job.fairness',
  /** [id] → JobExplanation. */
  jobExplain: 'api.job.explain',
  /** [id] → JobInfo. */
  jobPause: 'api.job.pause',
  jobResume: 'api.job.resume',
  jobCancel: 'api.job.cancel',
  /** [id, size] → JobInfo. */
  jobSetBatchSize: 'api.job.setBatchSize',
  /** [id] → null + body of JSON lines (ResultLine, or a last line {"fault": …}). */
  jobResults: 'api.job.results',
  /** [id, after task or null, limit] → TaskPage. */
  jobTasks: 'api.job.tasks',
  /** [id] → VerifyReport. */
  jobVerify: 'api.job.verify',
  /** [query, names or null, budgetMs, [name, lines to skip][]] → names + body of records (log-query.ts). */
  logsGrep: 'api.logs.grep',
  /** [names or null] → LogClearRow[]. */
  logsClear: 'api.logs.clear',
} as const;

/** An answer as its type. Throws PROTOCOL, naming what does not fit. */
export function parseAnswer<T>(schema: z.ZodType<T>, value: unknown, method: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? '' : ` at ${issue.path.join('.') || 'the top'}`;
  throw new IdunnoError(
    'PROTOCOL',
    `the answer to ${method} is not understood${where}: ${issue?.message ?? 'wrong shape'}; ` +
      'node and client may be of different versions',
  );
}

/** A value as the wire carries it: fields that are undefined are left out, dates never occur. */
export function toWire(value: unknown): Wire {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(toWire);
  if (typeof value === 'object') {
    const fields: Record<string, Wire> = {};
    for (const [name, field] of Object.entries(value)) {
      if (field !== undefined) fields[name] = toWire(field);
    }
    return fields;
  }
  throw new IdunnoError('INTERNAL', `a ${typeof value} cannot travel over the wire`);
}
