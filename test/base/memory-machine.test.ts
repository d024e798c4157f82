/** The disk and databases in memory: what they forget, and how they fail when told to. */
import t from 'tap';
import { createSeededRng, MemoryDatabases, MemoryDisk } from '../../src/base/index.js';

const bytes = (...values: number[]) => Uint8Array.from(values);
const SYNC = { sync: true };
const NO_SYNC = { sync: false };

t.test('a crash drops what was not synced: bytes, names, renames', async (t) => {
  const disk = new MemoryDisk();
  await disk.mkdir('/d');
  await disk.writeFileDurable('/d/durable', bytes(1));
  const file = await disk.open('/d/half', 'create');
  await file.write(0, bytes(1, 2));
  await file.datasync();
  await disk.syncDir('/d');
  await file.write(2, bytes(3, 4));
  await (await disk.open('/d/unnamed', 'create')).datasync();
  await disk.rename('/d/durable', '/d/renamed');
  disk.crash();
  t.same(await disk.list('/d'), ['durable', 'half']);
  t.same(await disk.readFile('/d/half', 10), bytes(1, 2));
  await t.rejects(file.write(0, bytes(9)), { message: /the machine has crashed/ });
  await t.rejects(file.read(0, 1), { message: /the machine has crashed/ });
});

t.test('what is synced survives every crash, also one by chance', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const disk = new MemoryDisk();
    await disk.mkdir('/d');
    const file = await disk.open('/d/f', 'create');
    await file.write(0, bytes(1, 2, 3));
    await file.datasync();
    await disk.syncDir('/d');
    await file.write(3, bytes(4, 5, 6));
    disk.crash(createSeededRng(seed));
    const kept = await disk.readFile('/d/f', 10);
    t.same([...kept].slice(0, 3), [1, 2, 3]);
    t.same(
      [...kept].slice(3),
      [4, 5, 6].slice(0, kept.length - 3),
      'what more is left was written',
    );
  }
});

t.test('a full disk refuses writes and keeps what there is', async (t) => {
  const disk = new MemoryDisk({ capacityBytes: 10 });
  const file = await disk.open('/f', 'create');
  await file.write(0, new Uint8Array(8));
  await t.rejects(file.write(8, new Uint8Array(8)), { code: 'DISK_FULL' });
  t.equal(await file.bytes(), 8);
  t.same(await disk.space(), { totalBytes: 10, freeBytes: 2 });
  await t.rejects(disk.writeFileDurable('/g', new Uint8Array(20)), { code: 'DISK_FULL' });
  await disk.remove('/f');
  await disk.writeFileDurable('/g', new Uint8Array(10));
});

t.test('a disk that fails does so until it is healed', async (t) => {
  const disk = new MemoryDisk();
  const file = await disk.open('/f', 'create');
  disk.failWrites('DISK_ERROR');
  await t.rejects(file.datasync(), { code: 'DISK_ERROR' });
  await t.rejects(disk.remove('/f'), { code: 'DISK_ERROR' });
  t.equal((await file.read(0, 1)).length, 0, 'reads go on');
  disk.failWrites('DISK_FULL');
  await t.rejects(file.write(0, bytes(1)), { code: 'DISK_FULL' });
  disk.failWrites(undefined);
  await file.write(0, bytes(1));
  await file.datasync();
});

t.test('a flipped bit is on the platter', async (t) => {
  const disk = new MemoryDisk();
  await disk.writeFileDurable('/f', bytes(0, 0));
  disk.flipBit('/f', 9);
  t.same(await disk.readFile('/f', 10), bytes(0, 2));
  disk.crash();
  t.same(await disk.readFile('/f', 10), bytes(0, 2));
});

t.test('a wiped machine has nothing', async (t) => {
  const disk = new MemoryDisk();
  await disk.mkdir('/d/e');
  disk.wipe();
  t.same(await disk.list('/'), []);
  const databases = new MemoryDatabases();
  await (await databases.open('/a')).batch([{ type: 'put', key: bytes(1), value: bytes(1) }], SYNC);
  databases.wipe();
  t.equal((await databases.open('/a')).get(bytes(1)), undefined);
});

t.test('a crash drops every batch that was not synced, also below a synced one', async (t) => {
  const databases = new MemoryDatabases();
  const db = await databases.open('/a');
  const put = (key: number, value: number) => ({
    type: 'put' as const,
    key: bytes(key),
    value: bytes(value),
  });
  await db.batch([put(1, 1), put(2, 1)], SYNC);
  await db.batch([put(2, 2), { type: 'del', key: bytes(1) }], NO_SYNC);
  await db.batch([put(3, 3)], SYNC);
  t.same(db.get(bytes(2)), bytes(2));
  databases.crash();
  await t.rejects(db.batch([put(4, 4)], SYNC), { message: /the machine has crashed/ });
  const again = await databases.open('/a');
  t.same(
    [1, 2, 3, 4].map((key) => again.get(bytes(key))?.[0]),
    [1, 1, 3, undefined],
  );
});

t.test('batches take effect in the order of their calls, whatever the disk’s delay', async (t) => {
  const rng = createSeededRng('delays');
  const delay = async () => {
    for (let i = rng.int(20); i > 0; i--) await Promise.resolve();
  };
  const db = await new MemoryDatabases({ delay }).open('/a');
  const batches = Array.from({ length: 50 }, (_, i) =>
    db.batch([{ type: 'put', key: bytes(1), value: bytes(i) }], { sync: i % 2 === 0 }),
  );
  await Promise.all(batches);
  t.same(db.get(bytes(1)), bytes(49));
});

t.test('a database that fails says so, and changes nothing', async (t) => {
  const databases = new MemoryDatabases();
  const db = await databases.open('/a');
  databases.failWrites('DISK_FULL');
  const put = { type: 'put' as const, key: bytes(1), value: bytes(1) };
  await t.rejects(db.batch([put], SYNC), { code: 'DISK_FULL' });
  t.equal(db.get(bytes(1)), undefined);
  databases.failWrites(undefined);
  await db.batch([put], SYNC);
  await db.close();
  t.throws(() => db.get(bytes(1)), /closed/);
});
