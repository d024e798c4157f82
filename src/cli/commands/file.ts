/** `idunno file …`: the versioned, replicated files. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { IdunnoError } from '../../base/index.js';
import type { FileVersion, PutResult, PutSource } from '../../sdfs/index.js';
import { formatBytes, formatTime, plural } from '../format.js';
import {
  assertHash,
  collectSources,
  type LocalFile,
  localSource,
  writeDownload,
} from '../local-files.js';
import type { Column } from '../output.js';
import type { CommandContext, CommandSpec } from '../types.js';

const FILE_COLUMNS: readonly Column<FileVersion>[] = [
  { title: 'name', value: (file) => file.name },
  { title: 'version', value: (file) => String(file.version), align: 'right' },
  { title: 'size', value: (file) => formatBytes(file.bytes), align: 'right' },
  { title: 'created', value: (file) => formatTime(file.createdMs) },
  { title: 'copies', value: (file) => String(file.holders.length), align: 'right' },
  { title: 'holders', value: (file) => file.holders.join(','), wide: true },
  { title: 'sha256', value: (file) => file.sha256, wide: true },
];

const put: CommandSpec = {
  noun: 'file',
  verb: 'put',
  summary: 'put local files or folders into the cluster; each put makes a new version',
  details: `One file goes to exactly TARGET. Folders, several sources, or a TARGET that ends with "/"
make TARGET a prefix:
  idunno file put cat.png pets/cat.png
  idunno file put ./digits other.png data/`,
  args: [{ name: 'paths', help: 'local files and folders, then the TARGET', variadic: true }],
  options: [
    { flags: '--durability <when>', help: 'acknowledged at "all" copies or at a "quorum"' },
  ],
  async run(context) {
    const paths = context.argList('paths');
    const target = paths.at(-1);
    if (paths.length < 2 || target === undefined) {
      throw new IdunnoError('USAGE', 'file put takes local paths and then a name in the cluster');
    }
    const files = collectSources(paths.slice(0, -1), target, context.io.cwd);
    await runPut(context, files);
  },
};

async function runPut(context: CommandContext, files: AsyncIterable<LocalFile>): Promise<void> {
  const durability = parseDurability(context.option('durability'));
  const all: PutSource[] = [];
  for await (const file of files) all.push(localSource(file));
  if (all.length === 0) throw new IdunnoError('NO_INPUT', 'there is no file to put');
  const results: PutResult[] = [];
  const progress = context.out.progress(all.length, 'put');
  try {
    const options = { signal: context.signal, ...(durability === undefined ? {} : { durability }) };
    const onDone = (result: PutResult): void => {
      results.push(result);
      progress.update(results.length, result.name);
    };
    await (await context.client()).filePutMany(all, { ...options, onDone });
  } finally {
    progress.stop();
  }
  const only = results.length === 1 ? results[0] : undefined;
  if (only !== undefined) {
    context.out.done(`put ${only.name} v${only.version} (${describeCopies(only)})`, 'put', only);
    return;
  }
  const bytes = results.reduce((sum, result) => sum + result.bytes, 0);
  const weak = results.filter((result) => result.copies < result.wanted).length;
  const sentence =
    `put ${plural(results.length, 'file')}, ${formatBytes(bytes)}` +
    (weak > 0 ? `; ${plural(weak, 'file')} below the wanted copies, repair follows` : '');
  context.out.done(sentence, 'puts', { files: results.length, bytes, weak });
}

function describeCopies(result: PutResult): string {
  const durability = `durability ${result.copies}/${result.wanted}`;
  return `${formatBytes(result.bytes)}, ${durability}, on ${result.holders.join(',')}`;
}

function parseDurability(text: string | undefined): 'all' | 'quorum' | undefined {
  if (text === undefined || text === 'all' || text === 'quorum') return text;
  throw new IdunnoError('USAGE', `--durability is "all" or "quorum", not "${text}"`);
}

const get: CommandSpec = {
  noun: 'file',
  verb: 'get',
  summary: 'get a file; its bytes are verified on the way',
  details: 'LOCAL may be a folder, or "-" for standard output.',
  args: [
    { name: 'name', help: 'the name in the cluster' },
    { name: 'local', help: 'where to write it' },
  ],
  options: [{ flags: '--version <n>', help: 'this version instead of the newest' }],
  async run(context) {
    const version = context.numberOption('version', { min: 1, max: Number.MAX_SAFE_INTEGER });
    const client = await context.client();
    const { file, chunks } = await client.fileGet(context.arg('name'), {
      signal: context.signal,
      ...(version === undefined ? {} : { version }),
    });
    if (context.arg('local') === '-') return writeToStdout(context, file, chunks);
    const progress = context.out.progress(file.bytes, file.name);
    try {
      const target = resolveTarget(context.io.cwd, context.arg('local'));
      const path = await writeDownload(file, chunks, target, (done) => progress.update(done));
      progress.stop();
      const sentence = `got ${file.name} v${file.version} (${formatBytes(file.bytes)}) as ${path}`;
      context.out.done(sentence, 'get', { ...file, path });
    } finally {
      progress.stop();
    }
  },
};

/** Keeps a trailing `/`: it says that a folder is meant. */
function resolveTarget(cwd: string, local: string): string {
  const path = resolve(cwd, local);
  return local.endsWith('/') && !path.endsWith('/') ? `${path}/` : path;
}

async function writeToStdout(
  context: CommandContext,
  file: FileVersion,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) {
    hash.update(chunk);
    if (!context.io.stdout.write(chunk)) {
      await once(context.io.stdout, 'drain', { signal: context.signal });
    }
  }
  assertHash(file, hash.digest('hex'));
}

const list: CommandSpec = {
  noun: 'file',
  verb: 'list',
  summary: 'list names, newest versions, by prefix',
  args: [{ name: 'prefix', help: 'only names that start with it', optional: true }],
  options: [{ flags: '--limit <n>', help: 'at most so many', default: '1000' }],
  async run(context) {
    const limit = context.numberOption('limit', { min: 1, max: 1_000_000 }) ?? 1_000;
    const client = await context.client();
    const prefix = context.optionalArg('prefix') ?? '';
    const files: FileVersion[] = [];
    let isMore = false;
    for await (const file of client.fileListAll(prefix, { signal: context.signal })) {
      isMore = files.length >= limit;
      if (isMore) break;
      files.push(file);
    }
    context.out.list('files', files, FILE_COLUMNS);
    if (isMore) context.out.note(`there are more: --limit shows so many as you like`);
  },
};

const ls: CommandSpec = {
  noun: 'file',
  verb: 'ls',
  summary: 'the nodes that hold the newest version of a file',
  args: [{ name: 'name', help: 'the name in the cluster' }],
  async run(context) {
    const client = await context.client();
    const file = await client.fileStat(context.arg('name'));
    const rows = file.holders.map((node) => ({ node, name: file.name, version: file.version }));
    context.out.list('holders', rows, [
      { title: 'node', value: (row) => row.node },
      { title: 'name', value: (row) => row.name },
      { title: 'version', value: (row) => String(row.version), align: 'right' },
    ]);
  },
};

const statCommand: CommandSpec = {
  noun: 'file',
  verb: 'stat',
  summary: 'one version of a file: size, hash, holders',
  args: [{ name: 'name', help: 'the name in the cluster' }],
  options: [{ flags: '--version <n>', help: 'this version instead of the newest' }],
  async run(context) {
    const version = context.numberOption('version', { min: 1, max: Number.MAX_SAFE_INTEGER });
    const file = await (await context.client()).fileStat(context.arg('name'), version);
    const columns = FILE_COLUMNS.map(({ title, value }) => ({ title, value }));
    context.out.item('file', file, columns);
  },
};

const store: CommandSpec = {
  noun: 'file',
  verb: 'store',
  summary: 'every version that a node holds',
  args: [{ name: 'node', help: 'which node (default: the one asked)', optional: true }],
  async run(context) {
    const node = context.optionalArg('node') ?? context.target.node;
    const files = await (await context.client()).fileStore(node);
    context.out.list('files', files, FILE_COLUMNS);
  },
};

const versions: CommandSpec = {
  noun: 'file',
  verb: 'versions',
  summary: 'the newest versions of a file, newest first',
  args: [{ name: 'name', help: 'the name in the cluster' }],
  options: [{ flags: '--count <n>', help: 'at most so many', default: '20' }],
  async run(context) {
    const count = context.numberOption('count', { min: 1, max: 10_000 }) ?? 20;
    const files = await (await context.client()).fileVersions(context.arg('name'), count);
    context.out.list('files', files, FILE_COLUMNS);
  },
};

const rm: CommandSpec = {
  noun: 'file',
  verb: 'rm',
  summary: 'delete files with all their versions',
  args: [{ name: 'names', help: 'names in the cluster', variadic: true }],
  async run(context) {
    const names = context.argList('names');
    const what = names.length === 1 ? `"${names[0]}"` : plural(names.length, 'file');
    await context.confirm(`Delete ${what} with all versions?`);
    const client = await context.client();
    for (const name of names) {
      await client.fileDelete(name, { signal: context.signal });
      context.out.done(`deleted ${name}`, 'delete', { name });
    }
  },
};

const report: CommandSpec = {
  noun: 'file',
  verb: 'report',
  summary: 'how well everything is stored, and what stands in the way',
  async run(context) {
    const found = await (await context.client()).fileReport();
    context.out.item('storage', found, [
      { title: 'files', value: (row) => String(row.files) },
      { title: 'versions', value: (row) => String(row.versions) },
      { title: 'bytes', value: (row) => formatBytes(row.bytes) },
      { title: 'below wanted copies', value: (row) => String(row.underReplicated) },
      { title: 'lost', value: (row) => String(row.lost) },
      { title: 'reasons', value: (row) => row.reasons.join('; ') || 'none' },
    ]);
  },
};

export const FILE_COMMANDS: readonly CommandSpec[] = [
  put,
  get,
  ls,
  list,
  store,
  versions,
  rm,
  statCommand,
  report,
];
