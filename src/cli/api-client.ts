/**
 * A cluster from outside: typed calls for the command line, the demonstration and the drills.
 *
 * Any node serves any call. Reads and numbered writes survive the loss of the node that was asked:
 * the next one is tried (api-transport.ts). The client opens a session through the log before its
 * first write and numbers its writes, so each takes effect exactly once across retries, nodes and
 * leaders. Bodies stream in both directions; memory is bounded by a few chunks per call.
 *
 * Errors are IdunnoErrors as the nodes threw them, or UNAVAILABLE / UNKNOWN_OUTCOME at the
 * deadline, or PROTOCOL when an answer does not fit the contract.
 */
import { z } from 'zod';
import type { ClearRow, LogQuery } from '../logs/index.js';
import type { Evidence, Member } from '../swim/index.js';
import type { ClientCallOptions, NodeCallOptions } from './api-calls.js';
import { JobCalls } from './api-job-calls.js';
import {
  API,
  type ClusterStatus,
  type CoordinatorChange,
  clusterStatusSchema,
  coordinatorChangeSchema,
  evidenceSchema,
  memberSchema,
  parseAnswer,
  type RaftStatus,
  raftStatusSchema,
  type StorageHealth,
  storageHealthSchema,
} from './contract.js';
import {
  clearRowsSchema,
  grepLogs,
  type LogGrepOptions,
  type LogLine,
  type LogReport,
} from './log-query.js';

/** A new coordinator is sent the whole state first. */
const CHANGE_TIMEOUT_MS = 120_000;

/** Every call of the contract: those below, and by inheritance those of files, models and jobs. */
export class ApiClient extends JobCalls {
  /**
   * Connects to every node, learns who leads and opens the session, so that the next write pays for
   * nothing but itself. For programs that measure or that write much; never necessary.
   */
  async warm(options: ClientCallOptions = {}): Promise<void> {
    const asks = this.nodes.map((node) => this.status({ ...options, node: node.name }));
    for (const outcome of await Promise.allSettled(asks)) {
      if (outcome.status === 'fulfilled' && outcome.value.leader !== undefined) {
        this.transport.prefer(outcome.value.leader);
      }
    }
    await this.numbered();
  }

  // cluster, members, consensus

  status(options: NodeCallOptions = {}): Promise<ClusterStatus> {
    return this.read(API.status, [], clusterStatusSchema, options);
  }

  memberList(options: NodeCallOptions = {}): Promise<readonly Member[]> {
    return this.read(API.memberList, [], z.array(memberSchema), options);
  }

  memberSelf(options: NodeCallOptions = {}): Promise<Member> {
    return this.read(API.memberSelf, [], memberSchema, options);
  }

  memberWhy(name: string, options: NodeCallOptions = {}): Promise<readonly Evidence[]> {
    return this.read(API.memberWhy, [name], z.array(evidenceSchema), options);
  }

  /** Repeating either is harmless: a member that has joined (left) is joined (gone). */
  async memberJoin(node: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({
      method: API.memberJoin,
      args: [],
      kind: 'repeatable',
      only: node,
      ...options,
    });
  }

  async memberLeave(node: string, options: ClientCallOptions = {}): Promise<void> {
    await this.ask({
      method: API.memberLeave,
      args: [],
      kind: 'repeatable',
      only: node,
      ...options,
    });
  }

  raftStatus(options: NodeCallOptions = {}): Promise<RaftStatus> {
    return this.read(API.raftStatus, [], raftStatusSchema, options);
  }

  raftStorage(options: NodeCallOptions = {}): Promise<StorageHealth> {
    return this.read(API.raftStorage, [], storageHealthSchema, options);
  }

  /** Hands leadership to `to`, or to whoever is best; answers who led before. */
  async raftTransfer(to?: string, options: ClientCallOptions = {}): Promise<string> {
    const answer = await this.ask({
      method: API.raftTransfer,
      args: [to ?? null],
      kind: 'once',
      ...options,
    });
    return parseAnswer(z.string(), answer.value, API.raftTransfer);
  }

  /** Resolves when the change is done; it goes on by itself if the caller gives up. */
  async raftChange(
    kind: 'add' | 'remove' | 'replace',
    [node, by]: readonly [string, string?],
    options: ClientCallOptions = {},
  ): Promise<CoordinatorChange> {
    const answer = await this.ask({
      method: API.raftChange,
      args: [kind, node, by ?? null],
      kind: 'once',
      timeoutMs: CHANGE_TIMEOUT_MS,
      ...options,
    });
    return parseAnswer(coordinatorChangeSchema, answer.value, API.raftChange);
  }

  // logs

  /** Lines of all nodes as they come, then a report of each: see log-query.ts. */
  logsGrep(query: LogQuery, options: LogGrepOptions = {}): AsyncGenerator<LogLine | LogReport> {
    return grepLogs(query, options, { ask: (call) => this.ask(call), clock: this.clock });
  }

  /** Empties the logs of these nodes, or of all. Clearing twice is harmless. */
  async logsClear(
    nodes: readonly string[] | undefined,
    options: ClientCallOptions = {},
  ): Promise<readonly ClearRow[]> {
    const call = { method: API.logsClear, args: [nodes ?? null], kind: 'repeatable' } as const;
    const answer = await this.ask({ ...call, ...options });
    return parseAnswer(clearRowsSchema, answer.value, API.logsClear);
  }
}
