/** A folder of its own for a test, gone when the test ends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function temporaryFolder(t: { teardown(end: () => unknown): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'idunno-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
