/**
 * The folders of the state machine's database.
 *
 *     state/CURRENT    which generation counts, and the snapshot it came from; replaced atomically
 *     state/gen-7      the database of generation 7
 *     state/gen-8      a snapshot being staged, or the remains of one that a crash cut off
 *     state/damaged    the newest generation that was found damaged, for whoever wants to look
 *
 * A snapshot is staged into the next generation and becomes the state by one durable write of
 * CURRENT: after a crash the state is the old one or the new one, never a mixture. A replaced
 * generation stays open until its last scan has ended, then its folder is removed.
 */
import {
  assert,
  crc32c,
  type Database,
  type DatabaseOptions,
  type DbSnapshot,
  type Disk,
  IdunnoError,
  type Logger,
} from '../base/index.js';
import type { SnapshotMeta } from '../raft/index.js';

export interface GenerationParts {
  readonly disk: Disk;
  readonly log: Logger;
  openDatabase(path: string, options?: DatabaseOptions): Promise<Database>;
}

interface Current {
  readonly generation: number;
  readonly installed: SnapshotMeta | undefined;
}

const CURRENT_BYTES_MAX = 64 * 1024;
const CURRENT_VERSION = 1;
const DELETE_ROWS = 1000;

/** One open database, and how many still read from it. */
export class Generation {
  readonly number: number;
  readonly path: string;
  readonly db: Database;
  readonly #onUnused: () => void;
  #readers = 0;
  #isRetired = false;

  constructor(number: number, path: string, db: Database, onUnused: () => void) {
    this.number = number;
    this.path = path;
    this.db = db;
    this.#onUnused = onUnused;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.db.get(key);
  }

  snapshot(): DbSnapshot {
    assert(!this.#isRetired, 'a replaced generation is read anew');
    const snapshot = this.db.snapshot();
    this.#readers += 1;
    let isClosed = false;
    return {
      get: (key) => snapshot.get(key),
      scan: (range) => snapshot.scan(range),
      close: async () => {
        if (isClosed) return;
        isClosed = true;
        await snapshot.close();
        this.#readers -= 1;
        if (this.#isRetired && this.#readers === 0) this.#onUnused();
      },
    };
  }

  /** No new readers; `onUnused` when the last one ends. */
  retire(): void {
    assert(!this.#isRetired, 'a generation is replaced once');
    this.#isRetired = true;
    if (this.#readers === 0) this.#onUnused();
  }
}

export class GenerationStore {
  readonly #folder: string;
  readonly #parts: GenerationParts;
  #current: Current = { generation: 1, installed: undefined };

  constructor(folder: string, parts: GenerationParts) {
    this.#folder = folder;
    this.#parts = parts;
  }

  /** The snapshot that the current generation came from, if it came from one. */
  get installed(): SnapshotMeta | undefined {
    return this.#current.installed;
  }

  /** Opens the generation that counts; removes what a crash left of others. */
  async open(): Promise<Generation> {
    const { disk, log } = this.#parts;
    await disk.mkdir(this.#folder);
    const path = `${this.#folder}/CURRENT`;
    const generations = await this.#list();
    const isNew = generations.length === 0 && (await disk.stat(path)) === undefined;
    if (isNew) await this.#writeCurrent(this.#current);
    else this.#current = await loadCurrent(disk, this.#folder);
    const keep = `gen-${this.#current.generation}`;
    for (const name of generations) {
      if (name === keep) continue;
      log.info('store.generation-removed', { name });
      await disk.removeTree(`${this.#folder}/${name}`);
    }
    return this.#openGeneration(this.#current.generation);
  }

  /**
   * What counts is damaged: from here on an empty generation does. `broken` is closed already.
   */
  async startOver(): Promise<Generation> {
    const { disk, log } = this.#parts;
    const generations = await this.#list();
    const numbers = generations.map((name) => Number(name.slice('gen-'.length)) || 0);
    const generation = Math.max(this.#current.generation, ...numbers) + 1;
    const broken = `gen-${this.#current.generation}`;
    this.#current = { generation, installed: undefined };
    await this.#writeCurrent(this.#current);
    for (const name of generations) {
      const path = `${this.#folder}/${name}`;
      if (name === broken) {
        const aside = `${this.#folder}/damaged`;
        await disk.removeTree(aside);
        await disk.rename(path, aside);
        log.warn('store.generation-moved-aside', { path: aside });
      } else {
        await disk.removeTree(path);
      }
    }
    return this.#openGeneration(generation);
  }

  async #list(): Promise<string[]> {
    const names = await this.#parts.disk.list(this.#folder);
    return names.filter((name) => name.startsWith('gen-'));
  }

  /** An empty database for a snapshot to be staged into. */
  async openNext(): Promise<Generation> {
    const next = await this.#openGeneration(this.#current.generation + 1);
    await clear(next.db);
    return next;
  }

  /** The atomic step: from here on `next` is the state, also after a crash. */
  async makeCurrent(next: Generation, installed: SnapshotMeta): Promise<void> {
    assert(next.number === this.#current.generation + 1, 'only the next generation can follow');
    const current = { generation: next.number, installed };
    await this.#writeCurrent(current);
    this.#current = current;
  }

  /** Closes and removes a generation that never counted or does not count any more. */
  async discard(generation: Generation): Promise<void> {
    await generation.db.close();
    await this.#parts.disk.removeTree(generation.path);
  }

  async #openGeneration(number: number): Promise<Generation> {
    const path = `${this.#folder}/gen-${number}`;
    const db = await this.#parts.openDatabase(path);
    const generation: Generation = new Generation(number, path, db, () => {
      this.discard(generation).catch((error: unknown) => {
        // Only space is lost, and the next start removes it.
        this.#parts.log.warn('store.generation-not-removed', { path, error });
      });
    });
    return generation;
  }

  async #writeCurrent(current: Current): Promise<void> {
    const { generation, installed } = current;
    const json = { version: CURRENT_VERSION, generation, installed: installed ?? null };
    const bytes = Buffer.from(JSON.stringify({ ...json, crc: crcOf(json) }));
    await this.#parts.disk.writeFileDurable(`${this.#folder}/CURRENT`, bytes);
  }
}

/** The generation that counts. Throws CORRUPT. */
export async function readCurrent(disk: Disk, folder: string): Promise<number> {
  return (await loadCurrent(disk, folder)).generation;
}

async function loadCurrent(disk: Disk, folder: string): Promise<Current> {
  const path = `${folder}/CURRENT`;
  if ((await disk.stat(path)) === undefined) {
    throw new IdunnoError('CORRUPT', `${path} is missing: it says which state counts`, { path });
  }
  return parseCurrent(path, await disk.readFile(path, CURRENT_BYTES_MAX));
}

function parseCurrent(path: string, bytes: Uint8Array): Current {
  try {
    const { crc, ...json } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
      version: number;
      generation: number;
      installed: SnapshotMeta | null;
      crc: number;
    };
    if (json.version === CURRENT_VERSION && crc === crcOf(json)) {
      return { generation: json.generation, installed: json.installed ?? undefined };
    }
  } catch {
    // Falls through to the refusal.
  }
  throw new IdunnoError('CORRUPT', `${path} is damaged: it says which state counts`, { path });
}

function crcOf(json: object): number {
  return crc32c(Buffer.from(JSON.stringify(json)));
}

/** The remains of a staging that a crash cut off must not mix with this one. */
async function clear(db: Database): Promise<void> {
  let keys: Uint8Array[] = [];
  const drop = async (): Promise<void> => {
    await db.batch(
      keys.map((key) => ({ type: 'del', key })),
      { sync: true },
    );
    keys = [];
  };
  for await (const [key] of db.scan({})) {
    keys.push(key);
    if (keys.length >= DELETE_ROWS) await drop();
  }
  if (keys.length > 0) await drop();
}
