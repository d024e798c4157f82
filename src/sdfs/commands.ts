/**
 * What changes the metadata: pure functions of (tables, arguments, context). A file's life:
 *
 *     begin ──▶ intent ──┬─ commit ──▶ version latest+1 ── delete ──▶ hidden ── prune ──▶ gone
 *        (blob id)  renew┘└ abort, expire ──▶ closed: a commit is refused, the bytes are garbage
 *
 * Refused: a commit whose intent is closed (INTENT_CLOSED) or one of whose holders is not up in
 * the boot epoch in which it said "durable" (HOLDER_DOWN): such a copy may already be lost, and
 * the promise of four copies would be broken at the moment it is made.
 *
 * A numbered commit (a token: session, number, part) takes effect once. The store's own sessions
 * are not enough here, since they remember refusals too: a put whose holder just died must be able
 * to commit again with another holder under the same number.
 *
 * Bound: 100 files in a group make 2 rows each, and at most 3 more: below 256 rows per command.
 */
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { type Command, type CommandContext, NODES, type Tx } from '../store/index.js';
import {
  BLOBS_PER_ORDER_MAX,
  COPIES_MAX,
  GROUP_FILES_MAX,
  HOLDER_CHANGES_MAX,
  HOLDERS_MAX,
  INTENT_TTL_MS,
  PRUNE_VERSIONS_MAX,
} from './limits.js';
import { checkFileName } from './names.js';
import {
  BLOBS,
  type BlobRow,
  COUNTERS,
  FILES,
  INTENTS,
  NEXT_BLOB,
  TOKENS,
  type TokenRow,
  TOMBS,
  VERSIONS,
} from './tables.js';
import {
  readFlag,
  readInt,
  readList,
  readNode,
  readSha,
  readText,
  readTuple,
  refuse,
} from './wire.js';

/** `sdfs.begin` [pack, wanted, targets] → blob id. Logs an intent. */
const begin: Command = (tx, args, context) => {
  const pack = readFlag(args[0], 'pack');
  const wanted = readInt(args[1], 'wanted copies', 1, COPIES_MAX);
  const targets = readList(args[2], 'targets', COPIES_MAX + 1, readNode);
  const blob = tx.get(COUNTERS, NEXT_BLOB) ?? 1;
  tx.put(COUNTERS, NEXT_BLOB, blob + 1);
  tx.put(INTENTS, [blob], { pack, wanted, targets, until: context.nowMs + INTENT_TTL_MS });
  return blob;
};

/** `sdfs.renew` [blob] → until. For uploads that take long. */
const renew: Command = (tx, args, context) => {
  const blob = readInt(args[0], 'blob', 1);
  const intent = openIntent(tx, blob);
  const until = context.nowMs + INTENT_TTL_MS;
  tx.put(INTENTS, [blob], { ...intent, until });
  return until;
};

/** `sdfs.abort` [blob] → was it open? */
const abort: Command = (tx, args) => {
  const blob = readInt(args[0], 'blob', 1);
  const isOpen = tx.get(INTENTS, [blob]) !== undefined;
  tx.delete(INTENTS, [blob]);
  return isOpen;
};

/** `sdfs.expire` [blobs] → how many were closed: those whose time is over, by log time. */
const expire: Command = (tx, args, context) => {
  let closed = 0;
  for (const blob of readList(args[0], 'blobs', BLOBS_PER_ORDER_MAX, readInt)) {
    const intent = tx.get(INTENTS, [blob]);
    if (intent === undefined || intent.until > context.nowMs) continue;
    tx.delete(INTENTS, [blob]);
    closed += 1;
  }
  return closed;
};

interface CommitFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha: string;
  readonly at: number;
}

function readFile(value: Wire | undefined, what: string): CommitFile {
  const [name, bytes, sha, at] = readTuple(value, what, 4);
  const file = {
    name: readText(name, `${what}: name`),
    bytes: readInt(bytes, `${what}: bytes`),
    sha: readSha(sha, `${what}: sha256`),
    at: readInt(at, `${what}: offset`),
  };
  checkFileName(file.name);
  return file;
}

interface Holder {
  readonly node: string;
  readonly epoch: number;
}

function readHolder(value: Wire | undefined, what: string): Holder {
  const [node, epoch] = readTuple(value, what, 2);
  return { node: readNode(node, `${what}: node`), epoch: readInt(epoch, `${what}: epoch`) };
}

/**
 * `sdfs.commit` [blob, sha, bytes, holders [[node, epoch]…], files [[name, bytes, sha, offset]…],
 * token?] → [blob, log time, versions]. All files of a group or none.
 */
const commit: Command = (tx, args, context) => {
  const blob = readInt(args[0], 'blob', 1);
  const sha = readSha(args[1], 'sha256');
  const bytes = readInt(args[2], 'bytes');
  const holders = readList(args[3], 'holders', HOLDERS_MAX, readHolder);
  const files = readList(args[4], 'files', GROUP_FILES_MAX, readFile);
  const token = readToken(args[5]);
  const earlier = token === undefined ? undefined : tx.get(TOKENS, token);
  if (earlier !== undefined) return committed(earlier);
  const intent = openIntent(tx, blob);
  checkHolders(tx, holders);
  checkLayout(files, bytes, intent.pack);
  const versions = files.map((file) => putVersion(tx, file, blob, context));
  tx.put<BlobRow>(BLOBS, [blob], {
    bytes,
    sha,
    pack: intent.pack,
    wanted: intent.wanted,
    holders: holders.map((holder) => holder.node),
    refs: files.map((file, at) => [file.name, versions[at] as number]),
  });
  tx.delete(INTENTS, [blob]);
  const result: TokenRow = { blob, ms: context.nowMs, versions };
  if (token !== undefined) tx.put(TOKENS, token, result);
  return committed(result);
};

function committed(token: TokenRow): Wire {
  return [token.blob, token.ms, token.versions];
}

function readToken(value: Wire | undefined): [number, number, number] | undefined {
  if (value === undefined || value === null) return undefined;
  const [session, seq, part] = readTuple(value, 'token', 3);
  return [
    readInt(session, 'token: session', 1),
    readInt(seq, 'token: number'),
    readInt(part, 'token: part'),
  ];
}

function openIntent(tx: Tx, blob: number) {
  const intent = tx.get(INTENTS, [blob]);
  if (intent !== undefined) return intent;
  throw new IdunnoError(
    'INTENT_CLOSED',
    `the write under intent ${blob} is closed: it was committed, given up or took too long`,
    { blob },
  );
}

function checkHolders(tx: Tx, holders: readonly Holder[]): void {
  if (holders.length === 0) throw refuse('a commit names at least one holder');
  if (new Set(holders.map((holder) => holder.node)).size < holders.length) {
    throw refuse('a commit names a holder twice');
  }
  for (const holder of holders) {
    if (isServing(tx, holder)) continue;
    throw new IdunnoError(
      'HOLDER_DOWN',
      `${holder.node} (epoch ${holder.epoch}), which holds a copy, is not up any more; ` +
        'nothing was committed: write another copy',
      { node: holder.node, epoch: holder.epoch },
    );
  }
}

/** A draining node still holds what it holds; repair moves it. */
function isServing(tx: Tx, holder: Holder): boolean {
  const row = tx.get(NODES, [holder.node]);
  if (row === undefined || row.epoch !== holder.epoch) return false;
  return row.status === 'up' || row.status === 'draining';
}

/** Files of a pack lie one behind the other and fill it; a single file is its blob. */
function checkLayout(files: readonly CommitFile[], bytes: number, pack: boolean): void {
  if (files.length === 0) throw refuse('a commit names at least one file');
  if (!pack && files.length > 1) throw refuse('only a pack holds several files');
  let end = 0;
  for (const file of files) {
    if (file.at !== end) throw refuse(`${file.name} begins at ${file.at} of its blob, not ${end}`);
    end += file.bytes;
  }
  if (end !== bytes) throw refuse(`the files have ${end} bytes, their blob has ${bytes}`);
}

/** Numbers go on after a delete, so that (name, version) never means two things. */
function putVersion(tx: Tx, file: CommitFile, blob: number, context: CommandContext): number {
  const before = tx.get(FILES, [file.name]) ?? { latest: 0, gone: 0, bytes: 0 };
  const version = before.latest + 1;
  tx.put(FILES, [file.name], { ...before, latest: version, bytes: before.bytes + file.bytes });
  tx.put(VERSIONS, [file.name, version], {
    bytes: file.bytes,
    sha: file.sha,
    ms: context.nowMs,
    blob,
    at: file.at,
  });
  return version;
}

/** `sdfs.delete` [name] → newest version that it hid. */
const deleteFile: Command = (tx, args, context) => {
  const name = readText(args[0], 'name');
  checkFileName(name);
  const file = tx.get(FILES, [name]);
  if (file === undefined || file.latest <= file.gone) throw fileNotFound(name);
  const tomb = tx.get(TOMBS, [name]);
  const from = tomb?.from ?? file.gone + 1;
  tx.put(FILES, [name], { latest: file.latest, gone: file.latest, bytes: 0 });
  tx.put(TOMBS, [name], { from, to: file.latest, ms: context.nowMs });
  return file.latest;
};

export function fileNotFound(name: string): IdunnoError {
  return new IdunnoError('FILE_NOT_FOUND', `there is no file ${JSON.stringify(name)}`, { name });
}

/**
 * `sdfs.prune` [name, deletedBeforeMs] → is more left? Removes versions that a delete hid, a few
 * at a time; blobs that no version needs any more lose their row, and their bytes become garbage.
 */
const prune: Command = (tx, args) => {
  const name = readText(args[0], 'name');
  const beforeMs = readInt(args[1], 'deleted before');
  const tomb = tx.get(TOMBS, [name]);
  if (tomb === undefined || tomb.ms >= beforeMs) return false;
  const last = Math.min(tomb.to, tomb.from + PRUNE_VERSIONS_MAX - 1);
  for (let version = tomb.from; version <= last; version += 1) removeVersion(tx, name, version);
  if (last < tomb.to) tx.put(TOMBS, [name], { ...tomb, from: last + 1 });
  else tx.delete(TOMBS, [name]);
  return last < tomb.to;
};

function removeVersion(tx: Tx, name: string, version: number): void {
  const row = tx.get(VERSIONS, [name, version]);
  if (row === undefined) return;
  tx.delete(VERSIONS, [name, version]);
  const blob = tx.get(BLOBS, [row.blob]);
  if (blob === undefined) return;
  const refs = blob.refs.filter((ref) => ref[0] !== name || ref[1] !== version);
  if (refs.length === 0) tx.delete(BLOBS, [row.blob]);
  else tx.put(BLOBS, [row.blob], { ...blob, refs });
}

/**
 * `sdfs.add-holders` [term, [[blob, node, epoch]…]] → how many were added. A repair's result, from
 * the leader that ordered it: another term's is refused, since a new leader may already have
 * ordered the copy's deletion.
 */
const addHolders: Command = (tx, args, context) => {
  const term = readInt(args[0], 'term');
  if (term !== context.term) {
    throw new IdunnoError('CONFLICT', `a repair of term ${term} ended in term ${context.term}`);
  }
  const added = readList(args[1], 'copies', HOLDER_CHANGES_MAX, (item, what) => ({
    blob: readInt(readTuple(item, what, 3)[0], `${what}: blob`, 1),
    ...readHolder(readTuple(item, what, 3).slice(1), what),
  }));
  let count = 0;
  for (const copy of added) {
    const row = tx.get(BLOBS, [copy.blob]);
    if (row === undefined || row.holders.includes(copy.node) || !isServing(tx, copy)) continue;
    tx.put(BLOBS, [copy.blob], { ...row, holders: withHolder(tx, row.holders, copy.node) });
    count += 1;
  }
  return count;
};

/** A full list loses its first holder that is not up; its copy becomes garbage when it returns. */
function withHolder(tx: Tx, holders: readonly string[], node: string): string[] {
  const kept = [...holders];
  if (kept.length >= HOLDERS_MAX) {
    const away = kept.findIndex((holder) => tx.get(NODES, [holder])?.status !== 'up');
    kept.splice(Math.max(away, 0), 1);
  }
  return [...kept, node];
}

/** Why a copy leaves the record, and what must hold so that nothing is lost by it. */
type DropReason = 'missing' | 'bad' | 'excess';

/**
 * `sdfs.drop-holders` [reason, [[blob, node]…]] → how many were dropped. `missing`: the node says
 * it has no such blob. `bad`: its copy is corrupt; dropped only while another copy is up.
 * `excess`: dropped only while as many as wanted remain up without it.
 */
const dropHolders: Command = (tx, args) => {
  const reason = readReason(args[0]);
  const dropped = readList(args[1], 'copies', HOLDER_CHANGES_MAX, (item, what) => ({
    blob: readInt(readTuple(item, what, 2)[0], `${what}: blob`, 1),
    node: readNode(readTuple(item, what, 2)[1], `${what}: node`),
  }));
  let count = 0;
  for (const copy of dropped) {
    const row = tx.get(BLOBS, [copy.blob]);
    if (row === undefined || !row.holders.includes(copy.node)) continue;
    const rest = row.holders.filter((holder) => holder !== copy.node);
    const up = rest.filter((holder) => tx.get(NODES, [holder])?.status === 'up').length;
    if (reason === 'bad' && up < 1) continue;
    if (reason === 'excess' && up < row.wanted) continue;
    tx.put(BLOBS, [copy.blob], { ...row, holders: rest });
    count += 1;
  }
  return count;
};

function readReason(value: Wire | undefined): DropReason {
  if (value === 'missing' || value === 'bad' || value === 'excess') return value;
  throw refuse('a copy is dropped because it is missing, bad or excess');
}

/** `sdfs.forget` [beforeMs, tokens] → how many old tokens were removed. */
const forget: Command = (tx, args) => {
  const beforeMs = readInt(args[0], 'before');
  let count = 0;
  for (const key of readList(args[1], 'tokens', BLOBS_PER_ORDER_MAX, readToken)) {
    const token = key === undefined ? undefined : tx.get(TOKENS, key);
    if (key === undefined || token === undefined || token.ms >= beforeMs) continue;
    tx.delete(TOKENS, key);
    count += 1;
  }
  return count;
};

export const SDFS_COMMANDS: Readonly<Record<string, Command>> = {
  'sdfs.begin': begin,
  'sdfs.renew': renew,
  'sdfs.abort': abort,
  'sdfs.expire': expire,
  'sdfs.commit': commit,
  'sdfs.delete': deleteFile,
  'sdfs.prune': prune,
  'sdfs.add-holders': addHolders,
  'sdfs.drop-holders': dropHolders,
  'sdfs.forget': forget,
};
