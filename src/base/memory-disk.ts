/**
 * A file system in memory that forgets what was not synced, for tests and the simulator. One
 * MemoryDisk is one machine's disk; `crash()` is the loss of its power.
 *
 * What a crash keeps: of each file, its bytes at its last `datasync`; of each folder, its names at
 * its last `syncDir` (folders themselves are durable when made, as in real-disk.ts). With an rng,
 * each unsynced file and name survives or not by chance, as on real disks.
 */
import { basename, dirname, normalize } from 'node:path';
import { IdunnoError } from './errors.js';
import type { Disk, DiskFile, FileInfo, Rng } from './runtime.js';

export interface MemoryDiskOptions {
  /** Writes beyond it fail with DISK_FULL. Default: 1 GiB. */
  readonly capacityBytes?: number;
  /** Awaited at each operation: the disk's latency. */
  readonly delay?: (operation: string, bytes: number) => Promise<void>;
  readonly nowMs?: () => number;
}

type FailureCode = 'DISK_FULL' | 'DISK_ERROR';

/** A file's content, apart from its names. */
interface Inode {
  bytes: Uint8Array;
  /** Bytes in use of `bytes`, which grows by doubling. */
  length: number;
  durable: Uint8Array;
  modifiedMs: number;
}

interface Folder {
  current: Map<string, Inode>;
  durable: Map<string, Inode>;
}

export class MemoryDisk implements Disk {
  readonly #folders = new Map<string, Folder>([['/', newFolder()]]);
  readonly #options: MemoryDiskOptions;
  #failure: FailureCode | undefined;
  #generation = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.#options = options;
  }

  /** Loses what was not synced; open files are dead. With `rng`, each loss is a matter of chance. */
  crash(rng?: Rng): void {
    this.#generation++;
    for (const folder of this.#folders.values()) {
      for (const name of new Set([...folder.current.keys(), ...folder.durable.keys()])) {
        if (rng !== undefined && rng.int(2) === 1) continue;
        const kept = folder.durable.get(name);
        if (kept === undefined) folder.current.delete(name);
        else folder.current.set(name, kept);
      }
      for (const inode of folder.current.values()) loseUnsynced(inode, rng);
      folder.durable = new Map(folder.current);
    }
  }

  /** From now on every write and sync fails so; undefined heals. */
  failWrites(code: FailureCode | undefined): void {
    this.#failure = code;
  }

  /** Flips one bit of a file, on the platter as well as in memory. */
  flipBit(path: string, bit: number): void {
    const inode = this.#inode(path, 'damage');
    const at = Math.floor(bit / 8) % Math.max(1, inode.length);
    for (const bytes of [inode.bytes, inode.durable]) {
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
    }
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.#generation++;
    this.#folders.clear();
    this.#folders.set('/', newFolder());
  }

  async mkdir(path: string): Promise<void> {
    await this.#delay('mkdir', 0);
    this.#refuseWrites('make folder', path);
    const whole = normalize(path);
    for (let at = whole; !this.#folders.has(trim(at)); at = dirname(at)) {
      this.#folders.set(trim(at), newFolder());
    }
  }

  async list(path: string): Promise<string[]> {
    await this.#delay('list', 0);
    const folder = this.#folder(path, 'list');
    const inside = [...this.#folders.keys()].filter((p) => p !== '/' && dirname(p) === trim(path));
    return [...folder.current.keys(), ...inside.map((p) => basename(p))].sort();
  }

  async stat(path: string): Promise<FileInfo | undefined> {
    await this.#delay('stat', 0);
    if (this.#folders.has(trim(path))) return { bytes: 0, isDirectory: true, modifiedMs: 0 };
    const inode = this.#folders.get(trim(dirname(path)))?.current.get(basename(path));
    if (inode === undefined) return undefined;
    return { bytes: inode.length, isDirectory: false, modifiedMs: inode.modifiedMs };
  }

  async open(path: string, mode: 'read' | 'create' | 'update'): Promise<DiskFile> {
    await this.#delay('open', 0);
    if (mode === 'create') {
      this.#refuseWrites('create', path);
      const folder = this.#folder(dirname(path), 'create a file in');
      const known = folder.current.get(basename(path));
      if (known === undefined) folder.current.set(basename(path), this.#newInode());
      else known.length = 0;
    }
    return this.#handle(path, this.#inode(path, 'open'), mode !== 'read');
  }

  async readFile(path: string, bytesMax: number): Promise<Uint8Array> {
    const inode = this.#inode(path, 'read');
    await this.#delay('read', inode.length);
    if (inode.length > bytesMax) {
      const text = `${path} has more than the ${bytesMax} bytes such a file may have`;
      throw new IdunnoError('DISK_ERROR', text, { path, bytesMax });
    }
    return inode.bytes.slice(0, inode.length);
  }

  async writeFileDurable(path: string, bytes: Uint8Array): Promise<void> {
    const folder = this.#folder(dirname(path), 'write into');
    const inode = this.#newInode();
    this.#refuseWrites('write', path);
    const copy = bytes.slice();
    await this.#delay('write', bytes.length);
    this.#refuseWrites('write', path);
    // Both the old and the new file are there until the rename.
    if (this.#usedBytes() + copy.length > this.#capacity) this.#throwFull(path);
    writeInto(inode, 0, copy);
    inode.durable = copy;
    folder.current.set(basename(path), inode);
    folder.durable.set(basename(path), inode);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#delay('rename', 0);
    this.#refuseWrites('rename', from);
    if (this.#folders.has(trim(from))) return this.#renameFolder(trim(from), trim(to));
    const inode = this.#inode(from, 'rename');
    this.#folder(dirname(to), 'rename into').current.set(basename(to), inode);
    this.#folder(dirname(from), 'rename from').current.delete(basename(from));
  }

  async remove(path: string): Promise<void> {
    await this.#delay('remove', 0);
    this.#refuseBroken('remove', path);
    this.#folders.get(trim(dirname(path)))?.current.delete(basename(path));
  }

  async removeTree(path: string): Promise<void> {
    await this.#delay('remove', 0);
    this.#refuseBroken('remove', path);
    const whole = trim(path);
    for (const folder of [...this.#folders.keys()]) {
      if (folder === whole || folder.startsWith(`${whole}/`)) this.#folders.delete(folder);
    }
    this.#folders.get(dirname(whole))?.current.delete(basename(whole));
  }

  async syncDir(path: string): Promise<void> {
    await this.#delay('sync', 0);
    this.#refuseWrites('sync folder', path);
    const folder = this.#folder(path, 'sync folder');
    folder.durable = new Map(folder.current);
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    const totalBytes = this.#capacity;
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#usedBytes()) };
  }

  #handle(path: string, inode: Inode, isWritable: boolean): DiskFile {
    const generation = this.#generation;
    let isClosed = false;
    const check = (action: string) => {
      if (isClosed) throw new IdunnoError('DISK_ERROR', `${path} is closed`, { path });
      if (generation === this.#generation) return;
      throw new IdunnoError('DISK_ERROR', `cannot ${action} ${path}: the machine has crashed`);
    };
    const change = async (action: string, bytes: number, work: () => void) => {
      check(action);
      await this.#delay(action, bytes);
      check(action);
      if (!isWritable) throw new IdunnoError('DISK_ERROR', `${path} is open for reading`, { path });
      this.#refuseWrites(action, path);
      work();
      inode.modifiedMs = this.#nowMs;
    };
    return {
      read: async (offset, length) => {
        check('read');
        await this.#delay('read', length);
        check('read');
        return inode.bytes.slice(offset, Math.min(inode.length, offset + length));
      },
      write: (offset, bytes) => {
        const copy = bytes.slice();
        return change('write', bytes.length, () => {
          const before = inode.length;
          writeInto(inode, offset, copy);
          if (this.#usedBytes() > this.#capacity) inode.length = before;
          else return;
          this.#throwFull(path);
        });
      },
      datasync: () =>
        change('sync', 0, () => {
          inode.durable = inode.bytes.slice(0, inode.length);
        }),
      truncate: (bytes) =>
        change('truncate', 0, () => {
          if (bytes > inode.length) writeInto(inode, bytes, new Uint8Array(0));
          else inode.length = bytes;
        }),
      bytes: async () => {
        check('look at');
        return inode.length;
      },
      close: async () => {
        isClosed = true;
      },
    };
  }

  get #nowMs(): number {
    return this.#options.nowMs?.() ?? 0;
  }

  get #capacity(): number {
    return this.#options.capacityBytes ?? 2 ** 30;
  }

  async #delay(operation: string, bytes: number): Promise<void> {
    await this.#options.delay?.(operation, bytes);
  }

  #newInode(): Inode {
    const empty = new Uint8Array(0);
    return { bytes: empty, length: 0, durable: empty, modifiedMs: this.#nowMs };
  }

  #folder(path: string, action: string): Folder {
    const folder = this.#folders.get(trim(path));
    if (folder !== undefined) return folder;
    throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot ${action} ${path}: no such file`, {
      path,
    });
  }

  #inode(path: string, action: string): Inode {
    const inode = this.#folders.get(trim(dirname(path)))?.current.get(basename(path));
    if (inode !== undefined) return inode;
    throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot ${action} ${path}: no such file`, {
      path,
    });
  }

  #renameFolder(from: string, to: string): void {
    for (const [path, folder] of [...this.#folders]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#folders.delete(path);
      this.#folders.set(to + path.slice(from.length), folder);
    }
  }

  #usedBytes(): number {
    let used = 0;
    for (const { current } of this.#folders.values()) {
      for (const inode of current.values()) used += inode.length;
    }
    return used;
  }

  #throwFull(path: string): never {
    const text = `cannot write ${path}: the disk is full; free space or move dataDir`;
    throw new IdunnoError('DISK_FULL', text, { path });
  }

  #refuseWrites(action: string, path: string): void {
    if (this.#failure === 'DISK_FULL') this.#throwFull(path);
    this.#refuseBroken(action, path);
  }

  /** A full disk lets files go; a broken one does not. */
  #refuseBroken(action: string, path: string): void {
    if (this.#failure !== 'DISK_ERROR') return;
    throw new IdunnoError('DISK_ERROR', `cannot ${action} ${path}: told to fail`, { path });
  }
}

function newFolder(): Folder {
  return { current: new Map(), durable: new Map() };
}

/** Without the slash at the end that `normalize` keeps. */
function trim(path: string): string {
  const whole = normalize(path);
  return whole.length > 1 && whole.endsWith('/') ? whole.slice(0, -1) : whole;
}

function writeInto(inode: Inode, offset: number, bytes: Uint8Array): void {
  const end = offset + bytes.length;
  if (end > inode.bytes.length) {
    const grown = new Uint8Array(Math.max(end, inode.bytes.length * 2));
    grown.set(inode.bytes.subarray(0, inode.length));
    inode.bytes = grown;
  }
  if (offset > inode.length) inode.bytes.fill(0, inode.length, offset);
  inode.bytes.set(bytes, offset);
  inode.length = Math.max(inode.length, end);
}

/** Without chance: exactly what was synced. With it: perhaps what was written, perhaps half. */
function loseUnsynced(inode: Inode, rng: Rng | undefined): void {
  const luck = rng === undefined ? 0 : rng.int(3);
  if (luck === 1 && rng !== undefined && inode.length > inode.durable.length) {
    inode.length = inode.durable.length + rng.int(inode.length - inode.durable.length + 1);
  } else if (luck !== 2) {
    inode.bytes = inode.durable.slice();
    inode.length = inode.durable.length;
  }
  inode.durable = inode.bytes.slice(0, inode.length);
}
