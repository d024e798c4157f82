/**
 * One process per data folder: a file `lock` that names its owner by process id, start time and
 * boot of the machine, so that neither a reused id nor a reboot is taken for a living owner.
 *
 * A lock whose owner is gone is taken over: it is renamed away first and looked at again, so that
 * of two processes that start at once one wins. (On a coordinator LevelDB's own lock, which the
 * machine releases, stands behind it.) It binds processes of one machine, not of several that
 * share a disk.
 */
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from './disk-errors.js';
import { IdunnoError } from './errors.js';

export interface FolderLock {
  /** Idempotent. */
  release(): Promise<void>;
}

interface Owner {
  readonly pid: number;
  /** Clock ticks since the machine's boot; empty where /proc does not tell. */
  readonly started: string;
  readonly boot: string;
}

/** Stale locks in the way, one after the other, mean that someone else is busy with them too. */
const ATTEMPTS_MAX = 5;

/** Throws FOLDER_LOCKED naming the process that has it. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, 'lock');
  const self = await ownerOf(process.pid);
  const text = JSON.stringify(self);
  try {
    await mkdir(folder, { recursive: true });
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      if (await createExclusive(path, text)) return { release: () => release(path, text) };
      await takeAway(path, folder);
    }
  } catch (error) {
    throw diskError(error, `lock ${folder}`, path);
  }
  throw new IdunnoError('FOLDER_LOCKED', `${folder} is being taken by another process`, { folder });
}

/** Throws FOLDER_LOCKED naming the process that has it; takes nothing. */
export async function assertFolderFree(folder: string): Promise<void> {
  await refuseLiving(join(folder, 'lock'), folder);
}

async function createExclusive(path: string, text: string): Promise<boolean> {
  // Written whole under another name first: a lock is never seen half written.
  const draft = `${path}.${process.pid}`;
  const handle = await open(draft, 'w');
  try {
    await handle.writeFile(text);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes the lock of a dead owner. Throws FOLDER_LOCKED when the owner lives. */
async function takeAway(path: string, folder: string): Promise<void> {
  await refuseLiving(path, folder);
  const aside = `${path}.stale.${process.pid}`;
  try {
    await rename(path, aside);
    // Another process may have replaced the stale lock by its own in between: give it back.
    await refuseLiving(aside, folder);
    await rm(aside, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    if (error instanceof IdunnoError) {
      await link(aside, path).catch(() => undefined);
      await rm(aside, { force: true });
    }
    throw error;
  }
}

async function refuseLiving(path: string, folder: string): Promise<void> {
  const owner = parseOwner(await readFile(path, 'utf8').catch(() => ''));
  if (owner === undefined || !(await isAlive(owner))) return;
  const text = `${folder} is in use by process ${owner.pid}: each node needs its own data folder`;
  throw new IdunnoError('FOLDER_LOCKED', `${text}, and runs only once`, { folder, pid: owner.pid });
}

function parseOwner(text: string): Owner | undefined {
  try {
    const { pid, started, boot } = JSON.parse(text) as Record<string, unknown>;
    if (!Number.isSafeInteger(pid)) return undefined;
    return { pid: Number(pid), started: String(started), boot: String(boot) };
  } catch {
    // Not ours, or from a crash before the first sync: nobody holds it.
    return undefined;
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  const now = await ownerOf(owner.pid);
  if (now.started !== '') return now.started === owner.started && now.boot === owner.boot;
  // Without /proc there is only the process id.
  if (now.boot !== '') return false;
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** `started` is empty when there is no such process. */
async function ownerOf(pid: number): Promise<Owner> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  const boot = (await read('/proc/sys/kernel/random/boot_id')).trim();
  return { pid, started: startTimeOf(await read(`/proc/${pid}/stat`)), boot };
}

/** Field 22 of proc(5)'s stat; the command's name, in parentheses, may hold anything. */
function startTimeOf(stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  // A zombie holds nothing any more.
  return state === 'Z' || state === 'X' ? '' : (fields[19] ?? '');
}

async function release(path: string, text: string): Promise<void> {
  try {
    if ((await readFile(path, 'utf8')) === text) await rm(path, { force: true });
  } catch {
    // A lock that stays behind is stale, and taken over by the next start.
  }
}
