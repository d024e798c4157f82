/** Copies of folders: opening a database changes it, and the doctor changes nothing. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `work` on a copy of the folder, which is gone afterwards. */
export async function withCopy<T>(folder: string, work: (copy: string) => Promise<T>): Promise<T> {
  const place = await mkdtemp(join(tmpdir(), 'idunno-doctor-'));
  try {
    const copy = join(place, 'copy');
    await cp(folder, copy, { recursive: true });
    return await work(copy);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}
