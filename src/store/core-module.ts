/**
 * The store's own module: cluster-wide settings, and what Raft has decided about each node.
 *
 *     nodes.register   a node's process of some epoch is part of the cluster: up
 *     nodes.mark       up ⇄ down, draining, left; an older epoch's news is ignored
 *
 * A node's flaps count how often it went down without a long quiet time between; they lengthen the
 * time it must be Active before it counts as up again (DESIGN §6).
 */
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { STORE_BUCKETS } from './buckets.js';
import { badArgument, parseCount, parseObject, parseOneOf, parseText } from './parse.js';
import { OUTCOMES, SESSIONS } from './sessions.js';
import { defineTable } from './table.js';
import type {
  Command,
  CommandContext,
  NodeRow,
  NodeStatus,
  Query,
  StoreModule,
  Tx,
} from './types.js';

export interface SettingRow {
  readonly value: string;
  /** Puts that took effect since the key was created. */
  readonly revision: number;
  /** Log index of the last put: what a conditional put compares. */
  readonly index: number;
  readonly timeMs: number;
}

/** By [key]. */
export const SETTINGS = defineTable<SettingRow>({
  bucket: STORE_BUCKETS.settings,
  name: 'settings',
});
/** By [name]. */
export const NODES = defineTable<NodeRow>({ bucket: STORE_BUCKETS.nodes, name: 'nodes' });
/** What has been applied, and the sum of all other rows: one row at [0] (world.ts). */
export const APPLIED = defineTable<readonly number[]>({
  bucket: STORE_BUCKETS.meta,
  name: 'applied',
});

const SETTING_KEY_BYTES_MAX = 1024;
const SETTING_VALUE_BYTES_MAX = 64 * 1024;
/** Rows that one command may touch bound it, and how long it holds the state machine. */
export const SETTINGS_PER_COMMAND_MAX = 128;
const LIST_LIMIT_MAX = 1000;
const HOST_BYTES_MAX = 255;
const NODE_NAME_BYTES_MAX = 64;
/** After this long up, a node's past is forgiven. */
const FLAP_MEMORY_MS = 10 * 60 * 1000;
const NODE_STATUSES: readonly NodeStatus[] = ['up', 'down', 'left', 'draining'];

/**
 * `settings.put` [key, value, expectedIndex?] → {index}. 0 expects that there is none. The row's
 * revision counts the puts that took effect since the key was created: a retry that took effect
 * twice would show.
 */
const putSetting: Command = (tx, args, context) => {
  putOne(tx, args, context);
  return { index: context.index };
};

/**
 * `settings.putMany` [[key, value, expectedIndex?], …] → {index}. All or none; what a client's
 * many small writes become on their way (src/cli/setting-writes.ts).
 */
const putSettings: Command = (tx, args, context) => {
  if (args.length > SETTINGS_PER_COMMAND_MAX) {
    throw badArgument(
      `${args.length} settings in one command; at most ${SETTINGS_PER_COMMAND_MAX}`,
    );
  }
  for (const each of args) {
    if (!Array.isArray(each)) throw badArgument('a setting to put is not [key, value]');
    putOne(tx, each, context);
  }
  return { index: context.index };
};

function putOne(tx: Tx, args: readonly Wire[], context: CommandContext): void {
  const key = parseText(args[0], 'the key of a setting', SETTING_KEY_BYTES_MAX);
  const value = args[1];
  if (typeof value !== 'string' || Buffer.byteLength(value) > SETTING_VALUE_BYTES_MAX) {
    throw badArgument(`the value of ${key} is not a text of at most ${SETTING_VALUE_BYTES_MAX} B`);
  }
  assertExpected(tx, key, args[2]);
  const revision = (tx.get(SETTINGS, [key])?.revision ?? 0) + 1;
  tx.put(SETTINGS, [key], { value, revision, index: context.index, timeMs: context.nowMs });
}

/** `settings.delete` [key, expectedIndex?] → {existed}. */
const deleteSetting: Command = (tx, args) => {
  const key = parseText(args[0], 'the key of a setting', SETTING_KEY_BYTES_MAX);
  assertExpected(tx, key, args[1]);
  const existed = tx.get(SETTINGS, [key]) !== undefined;
  tx.delete(SETTINGS, [key]);
  return { existed };
};

function assertExpected(tx: Tx, key: string, expected: Wire | undefined): void {
  if (expected === undefined || expected === null) return;
  const wanted = parseCount(expected, 'the expected index');
  const found = tx.get(SETTINGS, [key])?.index ?? 0;
  if (found === wanted) return;
  throw new IdunnoError(
    'CONFLICT',
    `setting ${key} was last changed at index ${found}, not ${wanted}: read it again`,
    { found },
  );
}

/** `settings.get` [key] → {key, value, revision, index, timeMs} or null. */
const getSetting: Query = (view, args) => {
  const key = parseText(args[0], 'the key of a setting', SETTING_KEY_BYTES_MAX);
  const row = view.get(SETTINGS, [key]);
  return row === undefined ? null : { key, ...row };
};

/** `settings.list` [{prefix?, after?, limit?}] → [{key, value, revision, index, timeMs}], in key order. */
const listSettings: Query = async (view, args) => {
  const options = parseObject(args[0] ?? {}, 'the options of settings.list');
  const prefix = typeof options['prefix'] === 'string' ? options['prefix'] : '';
  const after = options['after'];
  const limit = parseCount(options['limit'] ?? LIST_LIMIT_MAX, 'limit', LIST_LIMIT_MAX);
  const range = {
    gte: [prefix],
    ...(typeof after === 'string' ? { after: [after] } : {}),
    limit,
  };
  const found: Wire[] = [];
  for await (const [[key], row] of view.scan(SETTINGS, range)) {
    if (typeof key !== 'string' || !key.startsWith(prefix)) break;
    found.push({ key, ...row });
  }
  return found;
};

/** `nodes.register` [{name, epoch, host, port, slots, bootWallMs}] → the row. */
const registerNode: Command = (tx, args, context) => {
  const facts = parseObject(args[0], 'a node');
  const name = parseText(facts['name'], 'the name of a node', NODE_NAME_BYTES_MAX);
  const epoch = parseCount(facts['epoch'], 'the epoch of a node');
  const before = tx.get(NODES, [name]);
  if (before !== undefined && before.epoch > epoch) return toWire(before);
  const isSameProcess = before?.epoch === epoch;
  const row: NodeRow = {
    name,
    epoch,
    status: isSameProcess ? before.status : statusAfterRestart(before),
    host: parseText(facts['host'], 'the host of a node', HOST_BYTES_MAX),
    port: parseCount(facts['port'], 'the port of a node', 65_535),
    slots: parseCount(facts['slots'], 'the slots of a node', 1024),
    bootWallMs: parseCount(facts['bootWallMs'], 'the boot time of a node'),
    sinceIndex: isSameProcess ? before.sinceIndex : context.index,
    sinceMs: isSameProcess ? before.sinceMs : context.nowMs,
    flaps: before?.flaps ?? 0,
  };
  tx.put(NODES, [name], row);
  return toWire(row);
};

/** An operator's drain outlives the process that is drained. */
function statusAfterRestart(before: NodeRow | undefined): NodeStatus {
  return before?.status === 'draining' ? 'draining' : 'up';
}

/** `nodes.mark` [{name, epoch, status}] → the row as it then is. */
const markNode: Command = (tx, args, context) => {
  const facts = parseObject(args[0], 'a mark');
  const name = parseText(facts['name'], 'the name of a node', NODE_NAME_BYTES_MAX);
  const epoch = parseCount(facts['epoch'], 'the epoch of a node');
  const status = parseOneOf(facts['status'], 'the status of a node', NODE_STATUSES);
  const before = tx.get(NODES, [name]);
  if (before === undefined || before.epoch < epoch) {
    throw new IdunnoError('NODE_NOT_FOUND', `node ${name} of epoch ${epoch} is not registered`);
  }
  if (before.epoch > epoch || before.status === status) return toWire(before);
  const row: NodeRow = {
    ...before,
    status,
    sinceIndex: context.index,
    sinceMs: context.nowMs,
    flaps: status === 'down' ? flapsAfterDown(before, context.nowMs) : before.flaps,
  };
  tx.put(NODES, [name], row);
  return toWire(row);
};

function flapsAfterDown(before: NodeRow, nowMs: number): number {
  const wasLongUp = before.status === 'up' && nowMs - before.sinceMs >= FLAP_MEMORY_MS;
  return wasLongUp ? 1 : before.flaps + 1;
}

/** `nodes.list` [] → rows by name. */
const listNodes: Query = async (view) => {
  const rows: Wire[] = [];
  for await (const [, row] of view.scan(NODES, {})) rows.push(toWire(row));
  return rows;
};

/** `nodes.get` [name] → the row or null. */
const getNode: Query = (view, args) => {
  const row = view.get(NODES, [parseText(args[0], 'the name of a node', NODE_NAME_BYTES_MAX)]);
  return row === undefined ? null : toWire(row);
};

function toWire(row: NodeRow): Wire {
  return { ...row };
}

/** Settings and nodes; part of every store. */
export const coreModule: StoreModule = {
  name: 'store',
  tables: [APPLIED, SESSIONS, NODES, SETTINGS, OUTCOMES],
  commands: {
    'settings.put': putSetting,
    'settings.putMany': putSettings,
    'settings.delete': deleteSetting,
    'nodes.register': registerNode,
    'nodes.mark': markNode,
  },
  queries: {
    'settings.get': getSetting,
    'settings.list': listSettings,
    'nodes.list': listNodes,
    'nodes.get': getNode,
  },
  indexes: [],
};
