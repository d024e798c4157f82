/**
 * Files of this machine: what a `put` reads, where a `get` writes, what a model folder holds.
 * Folders are walked in name order; links are followed once, sockets and devices are left out.
 * Downloads go to a temporary file beside the target and are renamed when their hash is right, so
 * a target is the whole file or what it was before.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, type Stats } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { IdunnoError } from '../base/index.js';
import type { FileVersion, PutSource } from '../sdfs/index.js';
import type { PackedFile } from './pack.js';

export interface LocalFile {
  /** Absolute. */
  readonly path: string;
  /** Where it goes, or its path inside its folder. */
  readonly name: string;
  readonly bytes: number;
}

const READ_CHUNK_BYTES = 1024 * 1024;
/** A model folder is read whole: its files travel in one body. */
const MODEL_BYTES_MAX = 1024 * 1024 * 1024;
const MODEL_FILES_MAX = 1_000;

/**
 * What `put SOURCES… TARGET` uploads. One plain file goes to exactly TARGET; folders, several
 * sources, or a TARGET that ends with `/` make it a prefix. Throws LOCAL_FILE_NOT_FOUND.
 */
export async function* collectSources(
  sources: readonly string[],
  target: string,
  cwd: string,
): AsyncGenerator<LocalFile> {
  const first = sources[0];
  if (sources.length === 1 && first !== undefined && !isPrefix(target)) {
    const path = resolve(cwd, first);
    const info = await statLocal(path, first);
    if (info.isFile()) {
      yield { path, name: target, bytes: info.size };
      return;
    }
  }
  const prefix = isPrefix(target) ? target : `${target}/`;
  for (const source of sources) yield* filesBelow(resolve(cwd, source), source, prefix);
}

/** Names keep what they are called here when nothing is to stand before them. */
function isPrefix(target: string): boolean {
  return target === '' || target.endsWith('/');
}

async function* filesBelow(path: string, shown: string, prefix: string): AsyncGenerator<LocalFile> {
  const info = await statLocal(path, shown);
  if (info.isFile()) {
    yield { path, name: `${prefix}${basename(path)}`, bytes: info.size };
    return;
  }
  if (!info.isDirectory()) return;
  const entries = await readdir(path);
  for (const entry of entries.sort()) {
    const below = join(path, entry);
    const child = await stat(below).catch(() => undefined);
    if (child?.isDirectory() === true) yield* filesBelow(below, below, `${prefix}${entry}/`);
    else if (child?.isFile() === true) {
      yield { path: below, name: `${prefix}${entry}`, bytes: child.size };
    }
  }
}

async function statLocal(path: string, shown: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw new IdunnoError(
      'LOCAL_FILE_NOT_FOUND',
      `cannot read ${shown}: ${codeOf(error) === 'ENOENT' ? 'it does not exist' : textOf(error)}`,
    );
  }
}

/** A local file as something to put. It is read when its turn comes. */
export function localSource(file: LocalFile): PutSource {
  return { name: file.name, bytes: file.bytes, open: () => readChunks(file) };
}

async function* readChunks(file: LocalFile): AsyncGenerator<Uint8Array> {
  if (file.bytes <= READ_CHUNK_BYTES) yield await readWhole(file.path);
  else yield* createReadStream(file.path, { highWaterMark: READ_CHUNK_BYTES });
}

/** A whole small file. Throws LOCAL_FILE_NOT_FOUND. */
export async function readWhole(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new IdunnoError('LOCAL_FILE_NOT_FOUND', `cannot read ${path}: ${textOf(error)}`);
  }
}

/**
 * The files of a model folder, by relative name. A bare name that is no folder here means a model
 * that ships with the package.
 */
export async function readModelFolder(
  folder: string,
  cwd: string,
  shippedModels: string,
): Promise<PackedFile[]> {
  const here = resolve(cwd, folder);
  const shipped = join(shippedModels, folder);
  const root = !existsSync(here) && existsSync(join(shipped, 'model.yaml')) ? shipped : here;
  const info = await statLocal(root, folder);
  if (!info.isDirectory()) {
    throw new IdunnoError('BAD_MODEL', `${folder} is not a folder; a model is one with model.yaml`);
  }
  const files: PackedFile[] = [];
  let bytes = 0;
  for await (const file of filesBelow(root, folder, '')) {
    bytes += file.bytes;
    if (bytes > MODEL_BYTES_MAX || files.length >= MODEL_FILES_MAX) {
      throw new IdunnoError('BAD_MODEL', `${folder} is too big: at most 1 GiB in 1000 files`);
    }
    files.push({ name: file.name, bytes: await readWhole(file.path) });
  }
  return files;
}

/** Writes a download: whole and verified, or not at all. Answers the path written. */
export async function writeDownload(
  file: FileVersion,
  chunks: AsyncIterable<Uint8Array>,
  target: string,
  onBytes: (done: number) => void,
): Promise<string> {
  const isFolder = target.endsWith('/') || (await isDirectory(target));
  const path = isFolder ? join(target, basename(file.name)) : target;
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.idunno-${process.pid}`;
  const hash = createHash('sha256');
  try {
    const handle = await open(temporary, 'w');
    try {
      let done = 0;
      for await (const chunk of chunks) {
        hash.update(chunk);
        await handle.write(chunk);
        done += chunk.length;
        onBytes(done);
      }
    } finally {
      await handle.close();
    }
    assertHash(file, hash.digest('hex'));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error instanceof IdunnoError
      ? error
      : new IdunnoError('DISK_ERROR', `cannot write ${path}: ${textOf(error)}`, {}, error);
  }
  return path;
}

/** What came must be what was put. Throws CORRUPT. */
export function assertHash(file: FileVersion, sha256: string): void {
  if (sha256 === file.sha256) return;
  throw new IdunnoError(
    'CORRUPT',
    `${file.name} v${file.version} arrived with SHA-256 ${sha256.slice(0, 12)}…, ` +
      `not ${file.sha256.slice(0, 12)}…`,
  );
}

async function isDirectory(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  return info?.isDirectory() === true;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
