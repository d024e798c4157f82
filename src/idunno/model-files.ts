/**
 * Copies of models' files on a worker's own disk: fetched from SDFS at fixed versions, one folder
 * for each revision, kept over restarts. A folder counts only when its mark, written last, is
 * there: a half-fetched one is fetched again.
 */
import { type Disk, isIdunnoError } from '../base/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import { modelKey } from './indexes.js';
import type { CatalogEntry } from './protocol.js';

export interface ModelFilesDeps {
  readonly disk: Disk;
  readonly sdfs: Pick<SdfsClient, 'get'>;
}

const MARK_FILE = '.complete';
const MARK_BYTES_MAX = 64 * 1024;

export class ModelFiles {
  readonly #dir: string;
  readonly #deps: ModelFilesDeps;

  constructor(dir: string, deps: ModelFilesDeps) {
    this.#dir = dir;
    this.#deps = deps;
  }

  async start(): Promise<void> {
    await this.#deps.disk.mkdir(this.#dir);
  }

  folderOf(name: string, revision: number): string {
    return `${this.#dir}/${modelKey(name, revision)}`;
  }

  /** Fetches what is missing. Throws what SDFS and the disk throw; may be called again. */
  async fetch(entry: CatalogEntry, signal: AbortSignal): Promise<void> {
    const folder = this.folderOf(entry.name, entry.revision);
    const mark = JSON.stringify(entry.files);
    if (await this.#isComplete(folder, mark)) return;
    const { disk } = this.#deps;
    await disk.removeTree(folder);
    await disk.mkdir(folder);
    for (const { name, version } of entry.files) {
      await this.#fetchOne(name, version, `${folder}/${baseName(name)}`, signal);
    }
    await disk.writeFileDurable(`${folder}/${MARK_FILE}`, Buffer.from(mark));
  }

  /** Removes every folder but those of these modelKeys. */
  async keepOnly(keys: ReadonlySet<string>): Promise<void> {
    for (const folder of await this.#deps.disk.list(this.#dir)) {
      if (!keys.has(folder)) await this.#deps.disk.removeTree(`${this.#dir}/${folder}`);
    }
  }

  async #isComplete(folder: string, mark: string): Promise<boolean> {
    try {
      const found = await this.#deps.disk.readFile(`${folder}/${MARK_FILE}`, MARK_BYTES_MAX);
      return Buffer.from(found).toString('utf8') === mark;
    } catch (error) {
      if (isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND')) return false;
      throw error;
    }
  }

  async #fetchOne(name: string, version: number, path: string, signal: AbortSignal): Promise<void> {
    const { chunks } = await this.#deps.sdfs.get(name, { version, signal });
    const file = await this.#deps.disk.open(path, 'create');
    try {
      let at = 0;
      for await (const chunk of chunks) {
        await file.write(at, chunk);
        at += chunk.length;
      }
      await file.datasync();
    } finally {
      await file.close();
    }
  }
}

/** `models/lenet/model.onnx` lies in the folder as `model.onnx`. */
export function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
