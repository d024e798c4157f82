/** What every Disk promises, asked of the machine's and of the one in memory. */
import { join } from 'node:path';
import t from 'tap';
import { createRealDisk, type Disk, isIdunnoError, MemoryDisk } from '../../src/base/index.js';
import { temporaryFolder } from '../base/temporary.js';

type Factory = (t: {
  teardown(end: () => unknown): void;
}) => Promise<{ disk: Disk; folder: string }>;

const FACTORIES: Readonly<Record<string, Factory>> = {
  'the real disk': async (t) => ({ disk: createRealDisk(), folder: await temporaryFolder(t) }),
  'the memory disk': async () => {
    const disk = new MemoryDisk();
    await disk.mkdir('/data');
    return { disk, folder: '/data' };
  },
};

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

for (const [name, create] of Object.entries(FACTORIES)) {
  t.test(`${name}: what was written durably is read back`, async (t) => {
    const { disk, folder } = await create(t);
    await disk.writeFileDurable(join(folder, 'a'), bytes('first'));
    await disk.writeFileDurable(join(folder, 'a'), bytes('second'));
    t.equal(text(await disk.readFile(join(folder, 'a'), 100)), 'second');
    t.same(await disk.list(folder), ['a'], 'no temporary file stays');
  });

  t.test(`${name}: a file that is not there is named in the error`, async (t) => {
    const { disk, folder } = await create(t);
    const path = join(folder, 'nothing');
    const attempts = await Promise.allSettled([
      disk.readFile(path, 10),
      disk.open(path, 'read'),
      disk.open(path, 'update'),
      disk.list(path),
      disk.rename(path, join(folder, 'b')),
    ]);
    for (const attempt of attempts) {
      const error: unknown = attempt.status === 'rejected' ? attempt.reason : undefined;
      t.ok(isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND'), String(error));
      t.match(String(error), path);
    }
    t.equal(await disk.stat(path), undefined);
    await disk.remove(path);
    await disk.removeTree(path);
  });

  t.test(`${name}: a file longer than allowed is refused`, async (t) => {
    const { disk, folder } = await create(t);
    await disk.writeFileDurable(join(folder, 'a'), new Uint8Array(100));
    await t.rejects(disk.readFile(join(folder, 'a'), 99), { code: 'DISK_ERROR' });
    t.equal((await disk.readFile(join(folder, 'a'), 100)).length, 100);
    await disk.writeFileDurable(join(folder, 'big'), new Uint8Array(20_000).fill(7));
    t.equal((await disk.readFile(join(folder, 'big'), 20_000)).length, 20_000);
  });

  t.test(`${name}: files are written and read at offsets`, async (t) => {
    const { disk, folder } = await create(t);
    const file = await disk.open(join(folder, 'f'), 'create');
    await file.write(0, bytes('hello'));
    await file.write(8, bytes('you'));
    await file.datasync();
    t.equal(await file.bytes(), 11);
    t.equal(text(await file.read(0, 5)), 'hello');
    t.same([...(await file.read(5, 3))], [0, 0, 0], 'a gap reads as zeros');
    t.equal(text(await file.read(8, 100)), 'you', 'fewer bytes at the end');
    t.equal((await file.read(50, 10)).length, 0);
    await file.truncate(3);
    t.equal(await file.bytes(), 3);
    await file.truncate(5);
    t.same([...(await file.read(3, 10))], [0, 0], 'longer again, the old bytes are gone');
    await file.close();
    await file.close();
    await t.rejects(file.read(0, 1), { code: 'DISK_ERROR' }, 'a closed file is closed');
  });

  t.test(`${name}: create empties, update keeps, read refuses writes`, async (t) => {
    const { disk, folder } = await create(t);
    const path = join(folder, 'f');
    await disk.writeFileDurable(path, bytes('abc'));
    const updated = await disk.open(path, 'update');
    await updated.write(1, bytes('X'));
    await updated.close();
    t.equal(text(await disk.readFile(path, 10)), 'aXc');
    const read = await disk.open(path, 'read');
    await t.rejects(read.write(0, bytes('Y')), { code: 'DISK_ERROR' });
    await read.close();
    await (await disk.open(path, 'create')).close();
    t.equal((await disk.stat(path))?.bytes, 0);
  });

  t.test(`${name}: folders are made, listed in order, moved and removed`, async (t) => {
    const { disk, folder } = await create(t);
    await disk.mkdir(join(folder, 'x/y/z'));
    await disk.mkdir(join(folder, 'x/y/z'));
    await disk.writeFileDurable(join(folder, 'x/b'), bytes('1'));
    await disk.writeFileDurable(join(folder, 'x/a'), bytes('2'));
    t.same(await disk.list(join(folder, 'x')), ['a', 'b', 'y']);
    t.equal((await disk.stat(join(folder, 'x')))?.isDirectory, true);
    await disk.rename(join(folder, 'x'), join(folder, 'moved'));
    await disk.rename(join(folder, 'moved/a'), join(folder, 'moved/b'));
    t.same(await disk.list(join(folder, 'moved')), ['b', 'y']);
    t.equal(text(await disk.readFile(join(folder, 'moved/b'), 9)), '2', 'rename replaces');
    await disk.syncDir(join(folder, 'moved'));
    await disk.remove(join(folder, 'moved/b'));
    await disk.removeTree(join(folder, 'moved'));
    t.same(await disk.list(folder), []);
  });

  t.test(`${name}: a renamed file keeps what its open handle writes`, async (t) => {
    const { disk, folder } = await create(t);
    const file = await disk.open(join(folder, 'staged'), 'create');
    await file.write(0, bytes('a'));
    await disk.rename(join(folder, 'staged'), join(folder, 'final'));
    await file.write(1, bytes('b'));
    await file.close();
    t.equal(text(await disk.readFile(join(folder, 'final'), 9)), 'ab');
  });

  t.test(`${name}: many operations at once all finish`, async (t) => {
    const { disk, folder } = await create(t);
    const names = Array.from({ length: 50 }, (_, i) => `f${String(i).padStart(2, '0')}`);
    await Promise.all(names.map((n) => disk.writeFileDurable(join(folder, n), bytes(n))));
    t.same(await disk.list(folder), names);
  });

  t.test(`${name}: space is told`, async (t) => {
    const { disk, folder } = await create(t);
    const { totalBytes, freeBytes } = await disk.space(folder);
    t.ok(totalBytes > 0 && freeBytes > 0 && freeBytes <= totalBytes);
  });
}
