/**
 * The file that makes suspicion survive a crash: written before anything is repaired, removed when
 * the node is trusted again. That it is there counts, whatever it says.
 */
import { type Disk, nodeId } from '../base/index.js';
import type { SuspectNote } from './recovery.js';
import type { HardState } from './types.js';

const NOTE_VERSION = 1;
const NOTE_BYTES_MAX = 64 * 1024;

export async function readNote(disk: Disk, path: string): Promise<SuspectNote | undefined> {
  if ((await disk.stat(path)) === undefined) return undefined;
  try {
    const text = Buffer.from(await disk.readFile(path, NOTE_BYTES_MAX)).toString('utf8');
    const { reason, term, vote } = JSON.parse(text) as Record<string, unknown>;
    if (typeof reason === 'string' && typeof term === 'number' && Number.isSafeInteger(term)) {
      const votedFor = typeof vote === 'string' ? nodeId(vote) : undefined;
      return { reason, hardState: { term, vote: votedFor } };
    }
  } catch {
    // Unreadable: told below.
  }
  return { reason: 'it was being repaired when it ended', hardState: undefined };
}

export async function writeNote(
  disk: Disk,
  path: string,
  reason: string,
  { term, vote }: HardState,
): Promise<void> {
  const json = { version: NOTE_VERSION, reason, term, vote: vote ?? null };
  await disk.writeFileDurable(path, Buffer.from(`${JSON.stringify(json)}\n`));
}

export async function removeNote(disk: Disk, path: string, folder: string): Promise<void> {
  await disk.remove(path);
  await disk.syncDir(folder);
}
