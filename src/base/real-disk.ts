/**
 * The machine's file system. What it adds to node:fs: typed errors with a next step, a bound on
 * the operations in flight (so that LevelDB's syncs, which share the thread pool, never queue
 * behind blobs), and the full ritual of a durable write. No call here is synchronous.
 *
 * `mkdir` syncs the parents of what it made. A file's name is durable only after `syncDir` of its
 * folder (`writeFileDurable` does it). Source: T. S. Pillai and others, "All File Systems Are Not
 * Created Equal", OSDI 2014.
 */
import { constants, type FileHandle, open, readdir, statfs } from 'node:fs/promises';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { diskError } from './disk-errors.js';
import { IdunnoError } from './errors.js';
import { Gate } from './gate.js';
import { DISK_OPERATIONS_MAX, KIB } from './limits.js';
import type { Disk, DiskFile, FileInfo } from './runtime.js';

const OPEN_FLAGS = { read: 'r', create: 'w+', update: 'r+' } as const;

/** First read of a file whose size is not known (/proc) or zero. */
const READ_AHEAD_BYTES = 4 * KIB;

/** Names of temporary files differ within the process; a folder has one process (real-lock.ts). */
let temporaryCount = 0;

export function createRealDisk(): Disk {
  return new RealDisk();
}

class RealDisk implements Disk {
  readonly #gate = new Gate(DISK_OPERATIONS_MAX);

  #do<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
    return this.#gate.run(async () => {
      try {
        return await work();
      } catch (error) {
        throw diskError(error, `${action} ${path}`, path);
      }
    });
  }

  mkdir(path: string): Promise<void> {
    return this.#do('make folder', path, async () => {
      const first = await mkdir(path, { recursive: true });
      if (first === undefined) return;
      // Every folder that is new has to be known durably by its parent.
      for (let made = path; made.length >= first.length; made = dirname(made)) {
        await syncFolder(dirname(made));
      }
    });
  }

  list(path: string): Promise<string[]> {
    return this.#do('list', path, async () => (await readdir(path)).sort());
  }

  stat(path: string): Promise<FileInfo | undefined> {
    return this.#do('look at', path, async () => {
      try {
        const info = await stat(path);
        return { bytes: info.size, isDirectory: info.isDirectory(), modifiedMs: info.mtimeMs };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  open(path: string, mode: 'read' | 'create' | 'update'): Promise<DiskFile> {
    return this.#do('open', path, async () => {
      return new RealFile(await open(path, OPEN_FLAGS[mode]), path, this.#gate);
    });
  }

  readFile(path: string, bytesMax: number): Promise<Uint8Array> {
    return this.#do('read', path, async () => {
      const handle = await open(path, 'r');
      try {
        return await readAll(handle, path, bytesMax);
      } finally {
        await handle.close();
      }
    });
  }

  writeFileDurable(path: string, bytes: Uint8Array): Promise<void> {
    return this.#do('write', path, async () => {
      const temporary = `${path}.${temporaryCount++}.tmp`;
      try {
        const handle = await open(temporary, 'w');
        try {
          await writeAll(handle, 0, bytes);
          await handle.datasync();
        } finally {
          await handle.close();
        }
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => undefined);
        throw error;
      }
      await syncFolder(dirname(path));
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do(`rename to ${to}:`, from, () => rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#do('remove', path, () => rm(path, { force: true }));
  }

  removeTree(path: string): Promise<void> {
    return this.#do('remove', path, () => rm(path, { recursive: true, force: true }));
  }

  syncDir(path: string): Promise<void> {
    return this.#do('sync folder', path, () => syncFolder(path));
  }

  space(path: string): Promise<{ totalBytes: number; freeBytes: number }> {
    return this.#do('measure the space of', path, async () => {
      const fs = await statfs(path);
      return { totalBytes: fs.blocks * fs.bsize, freeBytes: fs.bavail * fs.bsize };
    });
  }
}

class RealFile implements DiskFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #gate: Gate;
  #isClosed = false;

  constructor(handle: FileHandle, path: string, gate: Gate) {
    this.#handle = handle;
    this.#path = path;
    this.#gate = gate;
  }

  #do<T>(action: string, work: () => Promise<T>): Promise<T> {
    return this.#gate.run(async () => {
      try {
        if (this.#isClosed) throw new IdunnoError('DISK_ERROR', `${this.#path} is closed`);
        return await work();
      } catch (error) {
        throw diskError(error, `${action} ${this.#path}`, this.#path);
      }
    });
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#do('read', () => readRange(this.#handle, offset, length));
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#do('write', () => writeAll(this.#handle, offset, bytes));
  }

  datasync(): Promise<void> {
    return this.#do('sync', () => this.#handle.datasync());
  }

  truncate(bytes: number): Promise<void> {
    return this.#do('truncate', () => this.#handle.truncate(bytes));
  }

  bytes(): Promise<number> {
    return this.#do('look at', async () => (await this.#handle.stat()).size);
  }

  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return this.#do('close', async () => {
      this.#isClosed = true;
      await this.#handle.close();
    });
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readRange(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  // A slice of its own memory: pooled buffers would be pinned by whoever keeps a few bytes.
  const buffer = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return new Uint8Array(buffer.buffer, buffer.byteOffset, filled);
}

/** To the end, whatever its size claims: files under /proc say 0. */
async function readAll(handle: FileHandle, path: string, bytesMax: number): Promise<Uint8Array> {
  const expected = (await handle.stat()).size;
  const first = Math.min(Math.max(expected, READ_AHEAD_BYTES), bytesMax) + 1;
  let bytes = await readRange(handle, 0, first);
  while (bytes.length <= bytesMax) {
    const more = await readRange(handle, bytes.length, READ_AHEAD_BYTES);
    if (more.length === 0) return bytes;
    bytes = Buffer.concat([bytes, more]);
  }
  throw new IdunnoError(
    'DISK_ERROR',
    `${path} has more than the ${bytesMax} bytes such a file may have: check what wrote it`,
    { path, bytesMax },
  );
}

async function writeAll(handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const left = bytes.length - written;
    written += (await handle.write(bytes, written, left, offset + written)).bytesWritten;
  }
}
