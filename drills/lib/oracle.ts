/**
 * The oracle outside the cluster: remembers what was acknowledged and, at the end, reads all of it
 * back through every living node. An operation that timed out is *unknown*: it may be there or
 * not, but at most once.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isIdunnoError, type NodeId } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/index.js';
import type { LocalCluster } from './local-cluster.js';
import { WriteLoop } from './write-loop.js';

export interface WriteRecord {
  readonly key: string;
  readonly value: string;
  /** performance.now() at the call and at the acknowledgement; undefined: outcome unknown. */
  readonly sentAt: number;
  readonly ackedAt: number | undefined;
}

/** Writes unique settings one after the other, as fast as they are acknowledged. */
export class SettingsWriter {
  readonly records: WriteRecord[] = [];
  /** What calls that failed said. */
  readonly errors: string[] = [];
  readonly #loop: WriteLoop;

  /** `pauseMs`: rest between an acknowledgement and the next write. */
  constructor(client: ApiClient, prefix: string, pauseMs = 0) {
    const keyOf = (count: number): string => `${prefix}/${count}`;
    const textOf = (count: number): string => `value-${prefix}-${count}`;
    this.#loop = new WriteLoop({
      pauseMs,
      write: async (count) => {
        await client.settingsPut(keyOf(count), textOf(count));
      },
      onEnd: ({ count, sentMs, endedMs, error }) => {
        const key = keyOf(count);
        if (error !== undefined) {
          if (!isIdunnoError(error)) throw error;
          this.errors.push(`${key}: ${error.code}: ${error.message}`);
        }
        const ackedAt = error === undefined ? endedMs : undefined;
        this.records.push({ key, value: textOf(count), sentAt: sentMs, ackedAt });
      },
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }
}

/** When the first write that was sent after `sinceMs` was acknowledged. Polls the record. */
export async function nextAck(
  writers: readonly SettingsWriter[],
  sinceMs: number,
  signal?: AbortSignal,
): Promise<number> {
  for (;;) {
    signal?.throwIfAborted();
    const acks = writers.flatMap((writer) => firstAckSince(writer.records, sinceMs) ?? []);
    if (acks.length > 0) return Math.min(...acks);
    await sleep(5);
  }
}

function firstAckSince(records: readonly WriteRecord[], sinceMs: number): number | undefined {
  // Newest last: walk back to the first one sent after the moment.
  let ack: number | undefined;
  for (let i = records.length - 1; i >= 0; i -= 1) {
    const record = records[i];
    if (record === undefined || record.sentAt < sinceMs) break;
    ack = record.ackedAt ?? ack;
  }
  return ack;
}

export interface FileRecord {
  readonly name: string;
  readonly version: number | undefined;
  readonly sha256: string;
  readonly bytes: number;
  readonly ackedAt: number | undefined;
}

export interface FileWriterOptions {
  readonly prefix: string;
  /** Over how many names the puts go round: each gets several versions. */
  readonly names: number;
  readonly bytesMax: number;
  readonly filesMax: number;
  /** Rest between two puts. */
  readonly pauseMs?: number;
}

/** A put that takes longer is of unknown outcome: a cluster that hangs must not hang the oracle. */
const PUT_TIMEOUT_MS = 30_000;

/** Puts files of seeded content, one after the other. */
export class FileWriter {
  readonly records: FileRecord[] = [];
  /** What puts that failed said. */
  readonly errors: string[] = [];
  readonly #client: ApiClient;
  readonly #options: FileWriterOptions;
  #stopped = false;
  #loop: Promise<void> | undefined;

  constructor(client: ApiClient, options: FileWriterOptions) {
    this.#client = client;
    this.#options = options;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  /** Resolves when all files were tried. */
  async done(): Promise<void> {
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { prefix, names, bytesMax, filesMax } = this.#options;
    for (let i = 0; i < filesMax && !this.#stopped; i++) {
      const bytes = patternBytes(`${prefix}/${i}`, 1 + ((i * 7919 * 131) % bytesMax));
      const name = `${prefix}/${i % names}.bin`;
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      let version: number | undefined;
      let ackedAt: number | undefined;
      try {
        const result = await this.#client.filePut(name, bytes, { timeoutMs: PUT_TIMEOUT_MS });
        version = result.version;
        ackedAt = performance.now();
      } catch (error) {
        if (!isIdunnoError(error)) throw error;
        this.errors.push(`${name}: ${error.code}: ${error.message}`);
      }
      this.records.push({ name, version, sha256, bytes: bytes.length, ackedAt });
      if (this.#options.pauseMs !== undefined) await sleep(this.#options.pauseMs);
    }
  }
}

/** Bytes that differ for every seed text and do not compress away. */
function patternBytes(seed: string, length: number): Uint8Array {
  const block = createHash('sha512').update(seed).digest();
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += block.length) {
    const round = createHash('sha512').update(block).update(String(at)).digest();
    bytes.set(round.subarray(0, Math.min(round.length, length - at)), at);
  }
  return bytes;
}

export interface Verdict {
  readonly lost: number;
  readonly duplicated: number;
  /** Writes of unknown outcome, and how many of them did take effect. */
  readonly unknown: number;
  readonly unknownPresent: number;
  readonly problems: readonly string[];
}

/** Reads every acknowledged setting back through each living node. */
export async function checkSettings(
  cluster: LocalCluster,
  records: readonly WriteRecord[],
): Promise<Verdict> {
  const problems: string[] = [];
  let lost = 0;
  let duplicated = 0;
  const present = new Set<string>();
  const prefixes = new Set(
    records.map((record) => record.key.slice(0, record.key.indexOf('/') + 1)),
  );
  for (const node of cluster.alive) {
    const client = cluster.client(node);
    try {
      const found = new Map<string, { value: string; revision: number }>();
      for (const prefix of prefixes) {
        for (const row of await client.settingsList(prefix)) found.set(row.key, row);
      }
      for (const record of records) {
        const row = found.get(record.key);
        if (row !== undefined) present.add(record.key);
        if (record.ackedAt !== undefined && row?.value !== record.value) {
          lost += 1;
          problems.push(
            `${record.key} was acknowledged; ${node} answers ${row?.value ?? 'nothing'}`,
          );
        }
        // A unique key written once has revision 1: more means that a retry took effect again.
        if (row !== undefined && row.revision !== 1) {
          duplicated += 1;
          problems.push(`${record.key} took effect ${row.revision} times, says ${node}`);
        }
      }
    } finally {
      await client.close();
    }
  }
  const unknown = records.filter((record) => record.ackedAt === undefined);
  return {
    lost,
    duplicated,
    unknown: unknown.length,
    unknownPresent: unknown.filter((record) => present.has(record.key)).length,
    problems: problems.slice(0, 20),
  };
}

/**
 * Reads every acknowledged version back bit for bit, through each living node in turn (all of them
 * when `everyNode`), and looks for versions nobody asked for.
 */
export async function checkFiles(
  cluster: LocalCluster,
  records: readonly FileRecord[],
  options: { everyNode: boolean },
): Promise<Verdict> {
  const problems: string[] = [];
  let lost = 0;
  const nodes = cluster.alive;
  const clients = new Map<NodeId, ApiClient>(nodes.map((node) => [node, cluster.client(node)]));
  try {
    const reads = records.flatMap((record, i) => {
      if (record.version === undefined) return [];
      const readers = options.everyNode ? nodes : nodes.slice(i % nodes.length).slice(0, 1);
      return readers.map((node) => ({ record, node }));
    });
    await inParallel(reads, READS_IN_FLIGHT, async ({ record, node }) => {
      const problem = await checkVersion(clients.get(node), record);
      if (problem === undefined) return;
      lost += 1;
      problems.push(`${record.name} v${record.version} through ${node}: ${problem}`);
    });
    const first = clients.values().next().value;
    const { duplicated, texts } = await countExtraVersions(first, records);
    problems.push(...texts);
    const unknown = records.filter((record) => record.version === undefined);
    return {
      lost,
      duplicated,
      unknown: unknown.length,
      unknownPresent: 0,
      problems: problems.slice(0, 20),
    };
  } finally {
    await Promise.all([...clients.values()].map((client) => client.close()));
  }
}

const READS_IN_FLIGHT = 16;

/** Works on all items, at most `width` at a time. */
async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const lane = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

async function checkVersion(
  client: ApiClient | undefined,
  record: FileRecord,
): Promise<string | undefined> {
  if (client === undefined || record.version === undefined) return 'no node to ask';
  try {
    const { chunks } = await client.fileGet(record.name, { version: record.version });
    const hash = createHash('sha256');
    for await (const chunk of chunks) hash.update(chunk);
    return hash.digest('hex') === record.sha256 ? undefined : 'other bytes than were put';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Versions beyond the acknowledged ones, less those of unknown outcome, were made twice. */
async function countExtraVersions(
  client: ApiClient | undefined,
  records: readonly FileRecord[],
): Promise<{ duplicated: number; texts: string[] }> {
  const texts: string[] = [];
  let duplicated = 0;
  if (client === undefined) return { duplicated, texts };
  for (const name of new Set(records.map((record) => record.name))) {
    const mine = records.filter((record) => record.name === name);
    const acked = mine.filter((record) => record.version !== undefined).length;
    const versions = await client.fileVersions(name, mine.length + 8).catch(() => []);
    const extra = versions.length - mine.length;
    if (versions.length < acked)
      texts.push(`${name} has ${versions.length} versions of ${acked} acknowledged`);
    if (extra > 0) {
      duplicated += extra;
      texts.push(
        `${name} has ${versions.length} versions, but only ${mine.length} puts were tried`,
      );
    }
  }
  return { duplicated, texts };
}
