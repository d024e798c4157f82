/**
 * Several versions of a file in one local file, newest first, each behind a line that says which it
 * is and how many bytes follow. Written beside the target and renamed when whole and verified.
 */
import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { asIdunnoError } from '../../base/index.js';
import type { FileVersion } from '../../sdfs/index.js';
import type { ApiClient } from '../api-client.js';
import { assertHash } from '../local-files.js';

/** `===== vm1.log version 2, 17 bytes =====` */
export function delimiterOf(file: Pick<FileVersion, 'name' | 'version' | 'bytes'>): string {
  return `===== ${file.name} version ${file.version}, ${file.bytes} bytes =====`;
}

export async function writeVersions(
  client: ApiClient,
  versions: readonly FileVersion[],
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const temporary = `${path}.idunno-${process.pid}`;
  try {
    const handle = await open(temporary, 'w');
    try {
      for (const { name, version } of versions) {
        const { file, chunks } = await client.fileGet(name, { version, signal });
        const hash = createHash('sha256');
        await handle.write(`${delimiterOf(file)}\n`);
        for await (const chunk of chunks) {
          hash.update(chunk);
          await handle.write(chunk);
        }
        await handle.write('\n');
        assertHash(file, hash.digest('hex'));
      }
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw asIdunnoError(error);
  }
}
