/**
 * The database of the Raft log: opened, or, where LevelDB cannot read it, moved aside and made anew.
 * What the log then says about itself (the watermark beside it) decides what this node is; the
 * damaged files stay as `log.damaged` for whoever wants to look, until the next ones.
 */
import {
  type Database,
  type Disk,
  isIdunnoError,
  type Logger,
  type Runtime,
} from '../base/index.js';

export interface LogDatabase {
  readonly db: Database;
  /** What LevelDB said about the one that was there. */
  readonly damage: string | undefined;
  /** For a database that is closed. */
  replace(): Promise<Database>;
}

const OPTIONS = { compression: false } as const;

export async function openLogDatabase(
  path: string,
  { disk, openDatabase }: Pick<Runtime, 'disk' | 'openDatabase'>,
  log: Logger,
): Promise<LogDatabase> {
  const replace = async (): Promise<Database> => {
    await moveAside(path, disk, log);
    return openDatabase(path, OPTIONS);
  };
  try {
    return { db: await openDatabase(path, OPTIONS), damage: undefined, replace };
  } catch (error) {
    if (!isIdunnoError(error, 'CORRUPT')) throw error;
    return { db: await replace(), damage: error.message, replace };
  }
}

async function moveAside(path: string, disk: Disk, log: Logger): Promise<void> {
  if ((await disk.stat(path)) === undefined) return;
  const aside = `${path}.damaged`;
  await disk.removeTree(aside);
  await disk.rename(path, aside);
  log.warn('raft.log-moved-aside', { path: aside });
}
