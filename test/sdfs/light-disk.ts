/**
 * A disk for tests of long streams: keeps what is written without copying it, forgets nothing,
 * knows no crashes, and tells what passes. Files are written from front to back only.
 */
import { assert, type Disk, type DiskFile, IdunnoError } from '../../src/base/index.js';

export interface LightDiskHooks {
  /** Awaited at each read and write. */
  onBytes(operation: 'read' | 'write', bytes: number): Promise<void>;
}

interface LightFile {
  readonly pieces: { readonly at: number; readonly bytes: Uint8Array }[];
  length: number;
}

export class LightDisk implements Disk {
  readonly #files = new Map<string, LightFile>();
  readonly #hooks: LightDiskHooks;

  constructor(hooks: LightDiskHooks) {
    this.#hooks = hooks;
  }

  async mkdir(): Promise<void> {}
  async syncDir(): Promise<void> {}
  async removeTree(): Promise<void> {}

  async list(): Promise<string[]> {
    return [];
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    return { totalBytes: 2 ** 40, freeBytes: 2 ** 39 };
  }

  async stat(path: string) {
    const file = this.#files.get(path);
    return file && { bytes: file.length, isDirectory: false, modifiedMs: 0 };
  }

  async open(path: string, mode: 'read' | 'create' | 'update'): Promise<DiskFile> {
    if (mode === 'create') this.#files.set(path, { pieces: [], length: 0 });
    const file = this.#files.get(path);
    if (file === undefined) throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `no ${path}`);
    return {
      read: async (offset, length) => {
        await this.#hooks.onBytes('read', length);
        return readFrom(file, offset, length);
      },
      write: async (offset, bytes) => {
        assert(offset === file.length, 'a light disk writes at the end');
        await this.#hooks.onBytes('write', bytes.length);
        file.pieces.push({ at: offset, bytes });
        file.length += bytes.length;
      },
      datasync: async () => undefined,
      truncate: async () => undefined,
      bytes: async () => file.length,
      close: async () => undefined,
    };
  }

  async readFile(path: string): Promise<Uint8Array> {
    const file = await this.open(path, 'read');
    return file.read(0, await file.bytes());
  }

  async writeFileDurable(path: string, bytes: Uint8Array): Promise<void> {
    await (await this.open(path, 'create')).write(0, bytes);
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from);
    if (file === undefined) throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `no ${from}`);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  async remove(path: string): Promise<void> {
    this.#files.delete(path);
  }
}

function readFrom(file: LightFile, offset: number, length: number): Uint8Array {
  const end = Math.min(offset + length, file.length);
  const found = new Uint8Array(Math.max(0, end - offset));
  for (const { at, bytes } of file.pieces) {
    const from = Math.max(offset, at);
    const to = Math.min(end, at + bytes.length);
    if (from < to) found.set(bytes.subarray(from - at, to - at), from - offset);
  }
  return found;
}
