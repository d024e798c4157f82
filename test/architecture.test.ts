/**
 * Who may import whom, and what may be used where: DESIGN of the folders, as a test. The tables at
 * the top are the rules; whoever needs another edge changes them in plain sight.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { bucketRangeOf, RETIRED_BUCKETS, STORE_BUCKETS } from '../src/store/buckets.js';

/** Modules under src and the modules each may import; all only through their index.ts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  net: ['base'],
  image: ['base'],
  raft: ['base', 'net'],
  swim: ['base', 'net'],
  store: ['base', 'net', 'raft'],
  sdfs: ['base', 'net', 'store', 'swim'],
  idunno: ['base', 'net', 'store', 'sdfs', 'swim', 'image'],
  logs: ['base', 'net', 'swim'],
  cli: ['base', 'net', 'image'],
  web: ['base', 'net', 'image'],
  node: ['base', 'net', 'raft', 'swim', 'store', 'sdfs', 'idunno', 'logs', 'image', 'cli', 'web'],
  sim: ['base', 'net', 'raft', 'swim', 'store', 'sdfs', 'idunno', 'node', 'image'],
};

/** Their names and shapes only: these talk to nodes over the network. */
const MAY_IMPORT_TYPES: Readonly<Record<string, readonly string[]>> = {
  cli: ['idunno', 'logs', 'sdfs', 'store', 'swim'],
  web: ['cli', 'idunno', 'sdfs', 'store', 'swim'],
};

/** Single edges beyond the table: `idunno node` is where the command line becomes a node. */
const EXCEPTIONS: readonly string[] = [
  'src/cli/commands/cluster.ts -> src/node/index.ts',
  'src/cli/commands/raft-doctor.ts -> src/node/index.ts',
];

/** Packages with exactly one file of ours that imports them. */
const WRAPPED: readonly string[] = ['level', 'msgpack-lite', 'onnxruntime-node', 'canvas'];

/** Pure cores, by the file they are entered through; what those import of their module counts. */
const CORES: readonly string[] = [
  'src/raft/raft.ts',
  'src/swim/core.ts',
  'src/store/tx.ts',
  'src/store/keys.ts',
  'src/sdfs/commands.ts',
  'src/sdfs/placement.ts',
  'src/sdfs/repair-plan.ts',
  'src/idunno/command-models.ts',
  'src/idunno/command-jobs.ts',
  'src/idunno/command-work.ts',
  'src/idunno/fair-queue.ts',
  'src/idunno/rates.ts',
  'src/idunno/scaling.ts',
  'src/idunno/explain.ts',
  'src/idunno/chores.ts',
];

/**
 * Time, chance, sockets and files belong behind the Runtime. These may use them directly: the
 * Runtime itself, the SWIM thread, the model host with what runs in it, the command line and the tools.
 */
const MACHINE_ALLOWED: readonly RegExp[] = [
  /^src\/(base|net)\/real-[a-z-]+\.ts$/,
  /^src\/swim\/thread\.ts$/,
  /^src\/idunno\/model-(code|host|host-watch|runner)\.ts$/,
  /^src\/image\/fonts\.ts$/,
  /^src\/cli\//,
  /^src\/web\//,
  /^src\/logs\/(scan|real)-[a-z-]+\.ts$/,
  /^src\/node\/(run|http|real)[a-z-]*\.ts$/,
  /^src\/sim\/(guard|main)\.ts$/,
];

const MACHINE_USES: Readonly<Record<string, RegExp>> = {
  'Date.now': /\bDate\.now\b/,
  'performance.now': /\bperformance\.now\b/,
  'Math.random': /\bMath\.random\b/,
  setTimeout: /\bsetTimeout\b/,
  setInterval: /\bsetInterval\b/,
  'node:net': /['"]node:net['"]/,
  'node:dgram': /['"]node:dgram['"]/,
  'node:fs': /['"]node:fs(\/promises)?['"]/,
};

const IMPURE: Readonly<Record<string, RegExp>> = {
  async: /\basync\b/,
  await: /\bawait\b/,
  Promise: /\bPromise\b/,
  // Hashes and paths are functions of their arguments.
  'a node module': /from ['"]node:(?!crypto|path)/,
  'new Date': /\bnew Date\b/,
};

const ROOT = findRoot();

interface Import {
  readonly target: string;
  readonly isType: boolean;
}

interface Source {
  /** Relative to the repository. */
  readonly path: string;
  readonly module: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

const SOURCES = readSources();

function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!readdirSync(folder).includes('package.json')) folder = dirname(folder);
  return folder;
}

function readSources(): Source[] {
  return readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const path = relative(ROOT, join(entry.parentPath, entry.name));
      const code = withoutComments(readFileSync(join(ROOT, path), 'utf8'));
      return { path, module: path.split('/')[1] ?? '', code, imports: importsOf(path, code) };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Strings are kept: imports are in them. A `//` within a string ends nothing we look for. */
function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

function importsOf(path: string, code: string): Import[] {
  const found: Import[] = [];
  const add = (target: string, isType: boolean) => {
    const isOurs = target.startsWith('.');
    const file = relative(ROOT, resolve(ROOT, dirname(path), target)).replace(/\.js$/, '.ts');
    found.push({ target: isOurs ? file : target, isType });
  };
  const fromClause = /^(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s*['"]([^'"]+)['"]/gm;
  for (const [, typeWord, names, target] of code.matchAll(fromClause)) {
    add(target ?? '', typeWord !== undefined || areAllTypes(names ?? ''));
  }
  for (const [, target] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    add(target ?? '', false);
  }
  for (const [, target] of code.matchAll(/^import\s*['"]([^'"]+)['"]/gm)) add(target ?? '', false);
  return found;
}

/** `{ type A, type B }`. */
function areAllTypes(names: string): boolean {
  if (!names.startsWith('{')) return false;
  const parts = names
    .replace(/[{}]/g, '')
    .split(',')
    .map((part) => part.trim());
  return parts.filter((part) => part !== '').every((part) => part.startsWith('type '));
}

function moduleOf(file: string): string | undefined {
  return file.startsWith('src/') ? file.split('/')[1] : undefined;
}

t.test('every folder under src is a module of the table', async (t) => {
  const modules = new Set(SOURCES.map((source) => source.module));
  for (const module of modules) t.ok(module in MAY_IMPORT, module);
});

t.test('modules import only the modules they may, and only through index.ts', async (t) => {
  const wrong: string[] = [];
  for (const source of SOURCES) {
    for (const { target, isType } of source.imports) {
      const module = moduleOf(target);
      if (module === undefined || module === source.module) continue;
      const edge = `${source.path} -> ${target}`;
      if (EXCEPTIONS.includes(edge)) continue;
      const allowed = MAY_IMPORT[source.module]?.includes(module);
      const allowedAsType = isType && MAY_IMPORT_TYPES[source.module]?.includes(module);
      if (!allowed && !allowedAsType) wrong.push(`${edge}: not allowed`);
      if (!target.endsWith('/index.ts')) wrong.push(`${edge}: not through index.ts`);
    }
  }
  t.same(wrong, []);
});

t.test('nothing under src imports tests, tools or the demonstration', async (t) => {
  const wrong = SOURCES.flatMap((source) =>
    source.imports
      .filter(({ target }) => /^(\.\.|test|bench|demo|drills|scripts)\//.test(target))
      .map(({ target }) => `${source.path} -> ${target}`),
  );
  t.same(wrong, []);
});

t.test('each wrapped package is imported by exactly one file', async (t) => {
  for (const name of WRAPPED) {
    const users = SOURCES.filter((source) => {
      return source.imports.some(({ target, isType }) => {
        return !isType && (target === name || target.startsWith(`${name}/`));
      });
    });
    t.equal(users.length, 1, `${name}: ${users.map((user) => user.path).join(', ')}`);
  }
});

t.test('imports between files have no cycle', async (t) => {
  const byPath = new Map(SOURCES.map((source) => [source.path, source]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const { target, isType } of byPath.get(path)?.imports ?? []) {
      // Types are gone when the code runs, and no order of loading depends on them.
      if (!isType && byPath.has(target)) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const { path } of SOURCES) visit(path, []);
  t.same(cycles, []);
});

t.test('time, chance, sockets and files are used only behind the Runtime', async (t) => {
  const wrong: string[] = [];
  for (const { path, code } of SOURCES) {
    if (MACHINE_ALLOWED.some((pattern) => pattern.test(path))) continue;
    for (const [what, pattern] of Object.entries(MACHINE_USES)) {
      if (pattern.test(code)) wrong.push(`${path} uses ${what}`);
    }
  }
  t.same(wrong, []);
});

t.test('pure cores, and what they import of their module, have no promises', async (t) => {
  const byPath = new Map(SOURCES.map((source) => [source.path, source]));
  const cores = new Set<string>();
  const add = (path: string) => {
    const source = byPath.get(path);
    if (source === undefined || cores.has(path)) return;
    cores.add(path);
    for (const { target, isType } of source.imports) {
      if (!isType && moduleOf(target) === source.module) add(target);
    }
  };
  for (const core of CORES) {
    t.ok(byPath.has(core), `${core} exists`);
    add(core);
  }
  const wrong: string[] = [];
  for (const path of cores) {
    for (const [what, pattern] of Object.entries(IMPURE)) {
      if (pattern.test(byPath.get(path)?.code ?? '')) wrong.push(`${path} uses ${what}`);
    }
  }
  t.same(wrong, []);
});

t.test('no two tables share a bucket, and each lies in the range of its module', async (t) => {
  const owners = new Map<number, string>(
    Object.entries(STORE_BUCKETS).map(([table, bucket]) => [bucket, `the store's ${table}`]),
  );
  const wrong: string[] = [];
  let count = 0;
  for (const { path, module, code } of SOURCES) {
    for (const [, text] of code.matchAll(/\bdefineTable\b[^;]*?\bbucket:\s*(\d+)/g)) {
      count++;
      const bucket = Number(text);
      const owner = owners.get(bucket);
      if (owner !== undefined) wrong.push(`bucket ${bucket} of ${path} belongs to ${owner}`);
      owners.set(bucket, path);
      const [first, last] = bucketRangeOf(module);
      if (bucket < first || bucket > last)
        wrong.push(`bucket ${bucket} of ${path} is out of range`);
      if (RETIRED_BUCKETS.includes(bucket)) wrong.push(`bucket ${bucket} of ${path} was retired`);
    }
  }
  t.same(wrong, []);
  t.ok(count > 5, 'tables were found');
});

t.test('no default exports, no enums, no any', async (t) => {
  const wrong: string[] = [];
  for (const { path, code } of SOURCES) {
    if (/^export default\b/m.test(code)) wrong.push(`${path}: default export`);
    if (/^\s*(export\s+)?(const\s+)?enum\s/m.test(code)) wrong.push(`${path}: enum`);
    if (/(:|<|as)\s*any\b(?!['"`])/.test(code.replace(/'[^'\n]*'|`[^`]*`/g, ''))) {
      wrong.push(`${path}: any`);
    }
  }
  t.same(wrong, []);
});

t.test('every file opens with what it is', async (t) => {
  const silent = SOURCES.filter(({ path }) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    return !path.endsWith('/index.ts') && !/^(#!.*\n)?(\/\*\*|\/\/)/.test(text);
  });
  t.same(
    silent.map(({ path }) => path),
    [],
  );
});
