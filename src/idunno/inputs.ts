/**
 * The pinned input list of a job, and reading from it.
 *
 * A list is one SDFS file of JSON lines, `["name", version, bytes]` for each item in order, written
 * when the job is submitted. So a job of a million items is one command, and its inputs cannot
 * change under it. A worker fetches the list once, keeps it in a local file, and keeps in memory
 * where every INDEX_STEP-th line begins: reading a task's items costs one small read, and nobody
 * ever parses the whole.
 */
import type { Disk, DiskFile } from '../base/index.js';
import { IdunnoError } from '../base/index.js';
import type { FileRef, SdfsClient } from '../sdfs/index.js';

/** One input file at its pinned version. */
export interface InputEntry extends FileRef {
  readonly bytes: number;
}

/** One query of a task and the file it asks for. */
export interface PlannedQuery {
  readonly query: number;
  readonly item: number;
  readonly repetition: number;
  readonly entry: InputEntry;
}

const INDEX_STEP = 256;
const NEWLINE = 10;
/** Lists kept on disk; the one used longest ago goes first. */
const LISTS_MAX = 16;
/** A line: a name of 1 KiB, its escapes, two numbers. */
const LINE_BYTES_MAX = 8 * 1024;

export function writeInputLine(entry: InputEntry): string {
  return `${JSON.stringify([entry.name, entry.version, entry.bytes])}\n`;
}

/** Throws CORRUPT. */
export function readInputLine(line: string): InputEntry {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    parts = undefined;
  }
  const [name, version, bytes] = Array.isArray(parts) ? (parts as unknown[]) : [];
  if (typeof name !== 'string' || typeof version !== 'number' || typeof bytes !== 'number') {
    throw new IdunnoError('CORRUPT', `an input list holds the line ${line.slice(0, 80)}`);
  }
  return { name, version, bytes };
}

export interface InputListDeps {
  readonly disk: Disk;
  readonly sdfs: Pick<SdfsClient, 'get'>;
}

interface OpenList {
  readonly file: DiskFile;
  readonly path: string;
  readonly bytes: number;
  /** Where line 0, INDEX_STEP, 2 × INDEX_STEP … begins. */
  readonly starts: readonly number[];
}

/** A worker's input lists; at most LISTS_MAX are kept. */
export class InputLists {
  readonly #dir: string;
  readonly #deps: InputListDeps;
  readonly #lists = new Map<string, Promise<OpenList>>();
  #count = 0;

  constructor(dir: string, deps: InputListDeps) {
    this.#dir = dir;
    this.#deps = deps;
  }

  /** Lists of an earlier process are of no use without their index. */
  async start(): Promise<void> {
    await this.#deps.disk.removeTree(this.#dir);
    await this.#deps.disk.mkdir(this.#dir);
  }

  async stop(): Promise<void> {
    const lists = [...this.#lists.values()];
    this.#lists.clear();
    await Promise.all(lists.map(async (list) => (await list).file.close()).map(quiet));
  }

  /** Queries [from, to) of a job with so many items. Throws what SDFS and the disk throw. */
  async plan(
    list: FileRef,
    items: number,
    from: number,
    to: number,
    signal: AbortSignal,
  ): Promise<PlannedQuery[]> {
    const open = await this.#open(list, signal);
    const planned: PlannedQuery[] = [];
    let query = from;
    while (query < to) {
      const item = query % items;
      const repetition = Math.floor(query / items);
      const count = Math.min(to - query, items - item);
      const entries = await readEntries(open, item, item + count);
      for (const [at, entry] of entries.entries()) {
        planned.push({ query: query + at, item: item + at, repetition, entry });
      }
      query += count;
    }
    return planned;
  }

  async #open(list: FileRef, signal: AbortSignal): Promise<OpenList> {
    const key = `${list.version} ${list.name}`;
    const known = this.#lists.get(key);
    if (known !== undefined) {
      this.#lists.delete(key);
      this.#lists.set(key, known);
      return known;
    }
    const opening = this.#fetch(list, signal);
    this.#lists.set(key, opening);
    opening.catch(() => {
      if (this.#lists.get(key) === opening) this.#lists.delete(key);
    });
    await this.#evict();
    return opening;
  }

  async #evict(): Promise<void> {
    while (this.#lists.size > LISTS_MAX) {
      const [key, oldest] = this.#lists.entries().next().value ?? [];
      if (key === undefined || oldest === undefined) return;
      this.#lists.delete(key);
      await quiet(this.#close(oldest));
    }
  }

  async #close(list: Promise<OpenList>): Promise<void> {
    const { file, path } = await list;
    await file.close();
    await this.#deps.disk.remove(path);
  }

  async #fetch(list: FileRef, signal: AbortSignal): Promise<OpenList> {
    const { sdfs, disk } = this.#deps;
    const { chunks } = await sdfs.get(list.name, { version: list.version, signal });
    this.#count += 1;
    const path = `${this.#dir}/list-${this.#count}.jsonl`;
    const file = await disk.open(path, 'create');
    try {
      const index = new LineIndex();
      let bytes = 0;
      for await (const chunk of chunks) {
        await file.write(bytes, chunk);
        index.add(chunk, bytes);
        bytes += chunk.length;
      }
      return { file, path, bytes, starts: index.starts };
    } catch (error) {
      await quiet(file.close());
      await quiet(disk.remove(path));
      throw error;
    }
  }
}

/** Notes where every INDEX_STEP-th line begins. */
class LineIndex {
  readonly starts: number[] = [0];
  #lines = 0;

  add(chunk: Uint8Array, offset: number): void {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) {
      this.#lines += 1;
      if (this.#lines % INDEX_STEP === 0) this.starts.push(offset + at + 1);
    }
  }
}

/** Lines [from, to), which must exist. Throws CORRUPT when the list is shorter than the job says. */
async function readEntries(list: OpenList, from: number, to: number): Promise<InputEntry[]> {
  const first = Math.floor(from / INDEX_STEP);
  const last = Math.floor((to - 1) / INDEX_STEP) + 1;
  const start = list.starts[first];
  if (start === undefined) throw tooShort(to);
  const end = Math.min(
    list.starts[last] ?? list.bytes,
    start + (to - from + INDEX_STEP) * LINE_BYTES_MAX,
  );
  const text = Buffer.from(await list.file.read(start, end - start)).toString('utf8');
  const lines = text.split('\n');
  const skip = from - first * INDEX_STEP;
  const wanted = lines.slice(skip, skip + to - from);
  if (wanted.length < to - from || wanted.at(-1) === '') throw tooShort(to);
  return wanted.map(readInputLine);
}

function tooShort(to: number): IdunnoError {
  return new IdunnoError('CORRUPT', `an input list ends before item ${to}`);
}

function quiet(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch(() => undefined);
}
