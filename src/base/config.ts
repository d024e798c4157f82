/**
 * Reads and writes the cluster's config file. It is validated whole: every problem is reported at
 * once with its line and column, unknown keys are refused with a hint, and nothing is guessed.
 */
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import {
  type Document,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  stringify,
} from 'yaml';
import type { z } from 'zod';
import { checkConfig, checkFile, type Finding } from './config-rules.js';
import { CONFIG_KEYS, type ConfigFile, configSchema } from './config-schema.js';
import type { ClusterConfig, NodeConfig } from './config-types.js';
import { nearest } from './did-you-mean.js';
import { IdunnoError, isIdunnoError } from './errors.js';
import { fingerprintOf } from './fingerprint.js';
import { nodeId } from './ids.js';
import { MIB } from './limits.js';
import { PRESETS } from './presets.js';
import { createRealDisk } from './real-disk.js';

export interface ConfigOptions {
  /** Takes the place of the file's `dataRoot`: node data lies in ROOT/NODE unless dataDir says. */
  readonly dataRoot?: string;
  /** Told of what is allowed but probably not meant. */
  readonly onWarning?: (text: string) => void;
}

/** A thousand nodes fit many times. */
const CONFIG_BYTES_MAX = 4 * MIB;

/** Reads and validates. Throws BAD_CONFIG with all problems. */
export async function loadClusterConfig(
  path: string,
  options: ConfigOptions = {},
): Promise<ClusterConfig> {
  const whole = resolve(path);
  let bytes: Uint8Array;
  try {
    bytes = await createRealDisk().readFile(whole, CONFIG_BYTES_MAX);
  } catch (error) {
    const why = isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND') ? 'there is no such file' : `${error}`;
    throw new IdunnoError('BAD_CONFIG', `cannot read the config ${whole}: ${why}`, { path: whole });
  }
  return parseClusterConfig(new TextDecoder().decode(bytes), whole, options);
}

/** Pure: no file is touched. `path` is absolute; relative folders are relative to its folder. */
export function parseClusterConfig(
  text: string,
  path: string,
  options: ConfigOptions = {},
): ClusterConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Its warnings go past us to stderr, and are about keys that are refused anyway.
    logLevel: 'error',
  });
  if (document.errors.length > 0) {
    const problems = document.errors.map((e) => ({ offset: e.pos[0], text: e.message }));
    throw badConfig(path, problems, lines);
  }
  const value = contentOf(document, path, lines);
  const parsed = configSchema.safeParse(value ?? {});
  const findings: Finding[] = parsed.success
    ? checkFile(parsed.data)
    : shapeFindings(parsed.error, document);
  let config: ClusterConfig | undefined;
  if (parsed.success) {
    config = buildConfig(parsed.data, path, options.dataRoot);
    findings.push(...checkConfig(config));
  } else {
    // The rules that need no more than names, hosts and ports, so that one run shows them too.
    findings.push(...checkFile(salvage(value)));
  }
  const located = findings.map((f) => ({ ...f, offset: offsetOf(document, f.path) }));
  const problems = located.filter((f) => f.isWarning !== true);
  if (config === undefined || problems.length > 0) throw badConfig(path, problems, lines);
  for (const warning of located) {
    options.onWarning?.(`${place(path, warning.offset, lines)}: ${warning.text}`);
  }
  return config;
}

/** YAML whose parts do not fit (a merge of what is no map, aliases without end) has no value. */
function contentOf(document: Document, path: string, lines: LineCounter): unknown {
  try {
    return document.toJS();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw badConfig(path, [{ offset: 0, text }], lines);
  }
}

/** The file that reads back as this config. */
export function formatClusterConfig(config: ClusterConfig): string {
  const nodes = config.nodes.map((node) => ({
    name: node.name,
    host: node.host,
    port: node.port,
    ...(node.http === undefined ? {} : { http: node.http }),
    dataDir: node.dataDir,
    ...(Object.keys(node.labels).length === 0 ? {} : { labels: node.labels }),
    slots: node.slots,
  }));
  const { cluster, preset, coordinators, raft, swim, sdfs } = config;
  return stringify({ cluster, preset, coordinators, raft, swim, sdfs, nodes }, { lineWidth: 100 });
}

/** Writes it to `config.path`. */
export async function writeClusterConfig(config: ClusterConfig): Promise<void> {
  const disk = createRealDisk();
  await disk.mkdir(dirname(config.path));
  await disk.writeFileDurable(config.path, new TextEncoder().encode(formatClusterConfig(config)));
}

function buildConfig(file: ConfigFile, path: string, dataRoot: string | undefined): ClusterConfig {
  const preset = file.preset ?? 'local';
  const defaults = PRESETS[preset];
  const folder = dirname(path);
  const root =
    dataRoot === undefined ? inFolder(folder, file.dataRoot ?? 'data') : resolve(dataRoot);
  const nodes = file.nodes.map((node): NodeConfig => {
    // With a root given by hand, nothing is written outside of it.
    const own = dataRoot === undefined ? node.dataDir : undefined;
    return {
      name: nodeId(node.name),
      host: node.host,
      port: node.port,
      http: node.http,
      dataDir: own === undefined ? join(root, node.name) : inFolder(folder, own),
      labels: node.labels ?? {},
      slots: node.slots ?? 1,
    };
  });
  return {
    path,
    cluster: file.cluster,
    preset,
    coordinators: file.coordinators.map(nodeId),
    nodes,
    raft: { ...defaults.raft, ...given(file.raft) },
    swim: { ...defaults.swim, ...given(file.swim) },
    sdfs: { ...defaults.sdfs, ...given(file.sdfs) },
    fingerprint: fingerprintOf(file.cluster, file.coordinators),
  };
}

function inFolder(folder: string, path: string): string {
  if (path === '~' || path.startsWith('~/')) return join(homedir(), path.slice(1));
  return isAbsolute(path) ? path : resolve(folder, path);
}

/** Without the keys that are not there. */
function given<T extends object>(
  keys: T | undefined,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(keys ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

type Path = readonly (string | number)[];

function shapeFindings(error: z.ZodError, document: Document): Finding[] {
  return error.issues.flatMap((issue): Finding[] => {
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: [...path, key], text: unknownKey(path, key) }));
    }
    const what = path.length === 0 ? 'the file' : nameOf(path);
    const rule = issue.message.startsWith('must') ? issue.message : 'must be a map of keys';
    const isMissing = path.length > 0 && !document.hasIn(path);
    return [{ path, text: isMissing ? `${what} is missing: it ${rule}` : `${what} ${rule}` }];
  });
}

/** `nodes[2].port`. */
function nameOf(path: Path): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .slice(1);
}

function unknownKey(path: Path, key: string): string {
  if (path.length === 0 && key === 'secret') {
    return 'secret is not used yet: links cannot be secured, so all hosts must be 127.0.0.1';
  }
  const known = CONFIG_KEYS[String(path[0] ?? '')] ?? [];
  const near = nearest(key, known);
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`;
  return `unknown key "${key}": ${hint}`;
}

/** What of a misshapen file the rules can still look at. */
function salvage(value: unknown): ConfigFile {
  const file = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  const list = (key: string) => (Array.isArray(file[key]) ? (file[key] as unknown[]) : []);
  const nodes = list('nodes').map((entry, index) => {
    const node = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<
      string,
      unknown
    >;
    const http = Number.isInteger(node['http']) ? { http: Number(node['http']) } : {};
    return {
      name: typeof node['name'] === 'string' ? node['name'] : `(entry ${index + 1})`,
      host: typeof node['host'] === 'string' ? node['host'] : '127.0.0.1',
      // Numbers that no port has keep broken entries from colliding.
      port: Number.isInteger(node['port']) ? Number(node['port']) : -1 - index,
      ...http,
    };
  });
  const names = list('coordinators').filter((name) => typeof name === 'string');
  return { cluster: 'salvaged', coordinators: names as string[], nodes };
}

interface Located {
  readonly offset: number;
  readonly text: string;
}

/** Where the path's value stands; where it is missing, the nearest thing around it. */
function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((p) => isPair(p) && isScalar(p.key) && p.key.value === key);
      if (isNode(pair?.key)) return pair.key.range?.[0] ?? 0;
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node)) return node.range?.[0] ?? 0;
  }
  return 0;
}

function place(path: string, offset: number, lines: LineCounter): string {
  const { line, col } = lines.linePos(offset);
  return `${path}:${line}:${col}`;
}

function badConfig(path: string, problems: readonly Located[], lines: LineCounter): IdunnoError {
  const unique = new Map<string, number>();
  for (const problem of [...problems].sort((a, b) => a.offset - b.offset)) {
    unique.set(`${place(path, problem.offset, lines)}: ${problem.text}`, problem.offset);
  }
  const count = unique.size;
  const title = `the config ${path} has ${count === 1 ? 'a problem' : `${count} problems`}:`;
  const text = [title, ...[...unique.keys()].map((line) => `  ${line}`)].join('\n');
  return new IdunnoError('BAD_CONFIG', text, { path, problems: count });
}
