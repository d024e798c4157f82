/**
 * Reads of the metadata: pages of bounded size, answered on any coordinator after a ReadIndex.
 * A page that looked at as many rows as it may ends early; `next` says where to go on.
 */
import { IdunnoError } from '../base/index.js';
import type { Wire } from '../net/index.js';
import { NODES, type NodeStatus, type Query, type ReadView } from '../store/index.js';
import { fileNotFound } from './commands.js';
import { compileGlob } from './glob.js';
import { HOLDERS } from './holder-index.js';
import { PAGE_ROWS_MAX, PAGE_SCAN_MAX } from './limits.js';
import { checkFileName } from './names.js';
import { BLOBS, FILES, INTENTS, type FileRow, VERSIONS } from './tables.js';
import {
  type LocatedVersion,
  readInt,
  readList,
  readNode,
  readText,
  readTuple,
  refuse,
  writeLocated,
} from './wire.js';

/** `sdfs.stat` [name, version or 0 for the newest] → located version. */
const stat: Query = (view, args) => {
  const name = readText(args[0], 'name');
  const wanted = readInt(args[1] ?? 0, 'version');
  const file = visibleFile(view, name);
  const version = wanted === 0 ? file.latest : wanted;
  const found = version > file.gone ? locate(view, name, version) : undefined;
  if (found !== undefined) return writeLocated(found);
  throw new IdunnoError(
    'VERSION_NOT_FOUND',
    `${JSON.stringify(name)} has no version ${version}: it has ${file.gone + 1} to ${file.latest}`,
    { name, version, latest: file.latest },
  );
};

function visibleFile(view: ReadView, name: string): FileRow {
  checkFileName(name);
  const file = view.get(FILES, [name]);
  if (file === undefined || file.latest <= file.gone) throw fileNotFound(name);
  return file;
}

/** Copies on nodes that serve come first: readers try holders in this order. */
const HOLDER_RANK: Readonly<Record<NodeStatus, number>> = { up: 0, draining: 1, left: 2, down: 3 };

function locate(view: ReadView, name: string, version: number): LocatedVersion | undefined {
  const row = view.get(VERSIONS, [name, version]);
  const blob = row === undefined ? undefined : view.get(BLOBS, [row.blob]);
  if (row === undefined || blob === undefined) return undefined;
  const rank = (node: string): number => HOLDER_RANK[view.get(NODES, [node])?.status ?? 'down'];
  const holders = blob.holders.map((node, at) => ({ node, rank: rank(node), at }));
  holders.sort((a, b) => a.rank - b.rank || a.at - b.at);
  return {
    name,
    version,
    bytes: row.bytes,
    sha256: row.sha,
    createdMs: row.ms,
    holders: holders.map(({ node }) => readNode(node, 'holder')),
    blob: row.blob,
    offset: row.at,
    up: holders.filter((holder) => holder.rank === 0).length,
  };
}

/** `sdfs.versions` [name, count, below?] → located versions, newest first, of smaller numbers. */
const versions: Query = (view, args) => {
  const name = readText(args[0], 'name');
  const count = readInt(args[1], 'count', 1, PAGE_ROWS_MAX);
  const below = readInt(args[2] ?? Number.MAX_SAFE_INTEGER, 'below', 1);
  const file = visibleFile(view, name);
  const newest = Math.min(file.latest, below - 1);
  const found: Wire[] = [];
  for (let version = newest; version > file.gone && found.length < count; version -= 1) {
    const located = locate(view, name, version);
    if (located !== undefined) found.push(writeLocated(located));
  }
  return found;
};

/**
 * `sdfs.locate` [[[name, version]…]] → located version or null, in the order asked. Pinned versions
 * stay readable after a delete until they are pruned: a running job keeps its inputs.
 */
const locateMany: Query = (view, args) =>
  readList(args[0], 'refs', PAGE_ROWS_MAX, (item, what) => {
    const [name, version] = readTuple(item, what, 2);
    const found = locate(view, readText(name, `${what}: name`), readInt(version, what, 1));
    return found === undefined ? null : writeLocated(found);
  });

interface NamePage {
  readonly found: readonly (readonly [name: string, file: FileRow])[];
  readonly next: string | undefined;
}

/** Visible files whose name starts with `prefix` and matches, in name order. */
async function pageOfNames(
  view: ReadView,
  prefix: string,
  matches: (name: string) => boolean,
  after: Wire | undefined,
  limit: number,
): Promise<NamePage> {
  const isInside = typeof after === 'string' && after.startsWith(prefix);
  const from = isInside ? { after: [after] } : { gte: [prefix] };
  const found: [string, FileRow][] = [];
  let seen = 0;
  for await (const [key, file] of view.scan(FILES, { ...from, limit: PAGE_SCAN_MAX })) {
    const name = String(key[0]);
    if (!name.startsWith(prefix)) return { found, next: undefined };
    if (file.latest > file.gone && matches(name)) found.push([name, file]);
    seen += 1;
    if (found.length >= limit || seen >= PAGE_SCAN_MAX) return { found, next: name };
  }
  return { found, next: undefined };
}

/** `sdfs.list` [prefix, after or null, limit] → [[located version…], next or null]. */
const list: Query = async (view, args) => {
  const prefix = readText(args[0], 'prefix');
  const limit = readInt(args[2], 'limit', 1, PAGE_ROWS_MAX);
  const page = await pageOfNames(view, prefix, () => true, args[1], limit);
  const files = page.found.flatMap(([name, file]) => locate(view, name, file.latest) ?? []);
  return [files.map(writeLocated), page.next ?? null];
};

/**
 * `sdfs.resolve` [{prefix | glob | names}, after or null, limit] → [[[name, version, bytes]…],
 * next or null]: the newest version of each file that is meant, pinned. Names that are not there
 * are refused (FILE_NOT_FOUND, the first of them).
 */
const resolve: Query = async (view, args) => {
  const selector = readSelector(args[0]);
  const limit = readInt(args[2], 'limit', 1, PAGE_ROWS_MAX);
  if (selector.kind === 'names') return resolveNames(view, selector.names);
  const glob = selector.kind === 'glob' ? compileGlob(selector.text) : undefined;
  const prefix = glob?.prefix ?? selector.text;
  const matches = (name: string): boolean => glob?.matches(name) ?? true;
  const page = await pageOfNames(view, prefix, matches, args[1], limit);
  return [page.found.flatMap(([name, file]) => pin(view, name, file)), page.next ?? null];
};

function resolveNames(view: ReadView, names: readonly string[]): Wire {
  return [names.flatMap((name) => pin(view, name, visibleFile(view, name))), null];
}

function pin(view: ReadView, name: string, file: FileRow): Wire[] {
  const row = view.get(VERSIONS, [name, file.latest]);
  return row === undefined ? [] : [[name, file.latest, row.bytes]];
}

type Selector =
  | { readonly kind: 'prefix' | 'glob'; readonly text: string }
  | { readonly kind: 'names'; readonly names: readonly string[] };

function readSelector(value: Wire | undefined): Selector {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('files are selected by {prefix}, {glob} or {names}');
  }
  const fields = value as { readonly [key: string]: Wire };
  if (fields['names'] !== undefined) {
    return { kind: 'names', names: readList(fields['names'], 'names', PAGE_ROWS_MAX, readText) };
  }
  if (fields['glob'] !== undefined) return { kind: 'glob', text: readText(fields['glob'], 'glob') };
  return { kind: 'prefix', text: readText(fields['prefix'], 'prefix') };
}

/**
 * `sdfs.store` [node, after blob, limit] → [[located version…], next blob or null]: what the
 * record says one node holds. A page holds whole blobs, so it may be longer than asked by a pack.
 */
const store: Query = (view, args) => {
  const node = readNode(args[0], 'node');
  const after = readInt(args[1] ?? 0, 'after');
  const limit = readInt(args[2], 'limit', 1, PAGE_ROWS_MAX);
  if (view.get(NODES, [node]) === undefined) {
    throw new IdunnoError('NODE_NOT_FOUND', `there is no node ${node}`, { node });
  }
  const found: Wire[] = [];
  const blobs = view.index(HOLDERS).blobsOf(node, after, limit);
  for (const blob of blobs) {
    for (const [name, version] of view.get(BLOBS, [blob])?.refs ?? []) {
      const gone = view.get(FILES, [name])?.gone ?? 0;
      const located = version > gone ? locate(view, name, version) : undefined;
      if (located !== undefined) found.push(writeLocated(located));
    }
    if (found.length >= limit) return [found, blob];
  }
  return [found, blobs.length === limit ? (blobs.at(-1) ?? null) : null];
};

/** `sdfs.report` [] → [files, versions, bytes, under-replicated versions, lost versions]. */
const report: Query = (view) => {
  const index = view.index(HOLDERS);
  const up = new Set<string>();
  const serving = new Set<string>();
  for (const node of index.nodes.values()) {
    if (node.status === 'up') up.add(node.name);
    if (node.status !== 'down') serving.add(node.name);
  }
  let under = 0;
  let lost = 0;
  for (const set of index.sets()) {
    const copies = set.holders.filter((node) => up.has(node)).length;
    if (!set.holders.some((node) => serving.has(node))) lost += set.versions;
    else if (copies < set.wanted) under += set.versions;
  }
  const { files, versions: all, bytes } = index.totals;
  return [files, all, bytes, under, lost];
};

/** `sdfs.outcome` [blob] → 'open', 'closed', or what its commit returned. */
const outcome: Query = (view, args) => {
  const blob = readInt(args[0], 'blob', 1);
  if (view.get(INTENTS, [blob]) !== undefined) return 'open';
  const row = view.get(BLOBS, [blob]);
  if (row === undefined) return 'closed';
  const [name, version] = row.refs[0] ?? ['', 0];
  const ms = view.get(VERSIONS, [name, version])?.ms ?? 0;
  return [blob, ms, row.refs.map((ref) => ref[1])];
};

export const SDFS_QUERIES: Readonly<Record<string, Query>> = {
  'sdfs.stat': stat,
  'sdfs.versions': versions,
  'sdfs.locate': locateMany,
  'sdfs.list': list,
  'sdfs.resolve': resolve,
  'sdfs.store': store,
  'sdfs.report': report,
  'sdfs.outcome': outcome,
};
