/** The blob store on memory disks: format, damage, crashes at every point. */
import t from 'tap';
import {
  createSeededRng,
  type Disk,
  type DiskFile,
  MemoryDisk,
  VirtualClock,
} from '../../src/base/index.js';
import { BlobStore } from '../../src/sdfs/blob-store.js';
import type { BlobContent } from '../../src/sdfs/blob-writer.js';
import { bytesOf, readAll } from './world.js';

const BLOCK = 64 * 1024;
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};

async function openStore(disk: Disk): Promise<BlobStore> {
  const store = new BlobStore({ root: '/s' }, { disk, clock: new VirtualClock(), logger: quiet });
  await store.start();
  return store;
}

async function write(
  store: BlobStore,
  blob: number,
  bytes: Uint8Array,
  chunk = 100_000,
  content: BlobContent = { name: 'f' },
) {
  const writer = store.writer(blob, content);
  for (let at = 0; at < bytes.length; at += chunk)
    await writer.write(bytes.subarray(at, at + chunk));
  return writer.finish();
}

function pathOf(blob: number): string {
  return `/s/blobs/${(blob % 256).toString(16).padStart(2, '0')}/${blob}`;
}

t.test('what is written is read back, whole and in any range, whatever the chunks', async (t) => {
  const store = await openStore(new MemoryDisk());
  const rng = createSeededRng('ranges');
  const sizes = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 16 * BLOCK, 16 * BLOCK + 1, 3_000_001];
  for (const [at, size] of sizes.entries()) {
    const blob = at + 1;
    const bytes = bytesOf(size, blob);
    const about = await write(store, blob, bytes, 1 + rng.int(200_000));
    t.match(about, { blob, pack: false, bytes: size, files: [{ name: 'f', bytes: size }] });
    t.ok(Buffer.from(await readAll(store.read(blob, 0))).equals(bytes), `${size} bytes`);
    for (let round = 0; round < 20 && size > 0; round += 1) {
      const from = rng.int(size);
      const length = rng.int(size - from + 1);
      const found = await store.readWhole(blob, from, length);
      t.ok(Buffer.from(found).equals(bytes.subarray(from, from + length)), `${from}+${length}`);
    }
    t.same(await store.verify(blob), about);
  }
  await t.rejects(readAll(store.read(2, 0, 5)), { code: 'CORRUPT' }, 'beyond the end');
  await t.rejects(readAll(store.read(99, 0)), { code: 'LOCAL_FILE_NOT_FOUND' });
});

t.test('a pack gives out each of its files', async (t) => {
  const store = await openStore(new MemoryDisk());
  const parts = [bytesOf(10, 1), bytesOf(0, 2), bytesOf(70_000, 3)];
  const sha256 = 'a'.repeat(64);
  const files = parts.map((part, at) => ({ name: `p${at}`, bytes: part.length, sha256 }));
  const about = await write(store, 7, Buffer.concat(parts), 1_000, { files });
  t.match(about, { pack: true, bytes: 70_010, files });
  t.ok(Buffer.from(await store.readWhole(7, 10, 70_000)).equals(parts[2] as Uint8Array));
  const writer = store.writer(8, { files });
  await writer.write(bytesOf(5));
  await t.rejects(writer.finish(), { code: 'CORRUPT' }, 'its files have other sizes');
});

t.test('the store lists what is there, also after a start', async (t) => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  for (const blob of [300, 5, 44, 256]) await write(store, blob, bytesOf(10, blob));
  await store.remove(44);
  t.same([store.page(0, 10), store.page(5, 1), store.count], [[5, 256, 300], [256], 3]);
  t.notOk(store.has(44));
  const again = await openStore(disk);
  t.same(again.page(0, 10), [5, 256, 300]);
});

t.test('bytes that are not those expected leave nothing', async (t) => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  for (const expected of [
    { bytes: 11, sha256: 'a'.repeat(64) },
    { bytes: 10, sha256: 'a'.repeat(64) },
  ]) {
    const writer = store.writer(1, { name: 'f' });
    await writer.write(bytesOf(10));
    await t.rejects(writer.finish(expected), { code: 'CORRUPT' });
  }
  t.same([store.count, await disk.list('/s/tmp')], [0, []]);
});

t.test('each flipped bit is found before a byte of its block is handed out', async (t) => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  const bytes = bytesOf(3 * BLOCK + 500);
  await write(store, 1, bytes);
  const size = (await disk.stat(pathOf(1)))?.bytes ?? 0;
  const rng = createSeededRng('flips');
  for (let round = 0; round < 200; round += 1) {
    const bit = rng.int(size * 8);
    disk.flipBit(pathOf(1), bit);
    const damaged = await openStore(disk);
    await t.rejects(damaged.verify(1), { code: 'CORRUPT' }, `bit ${bit}`);
    let at = 0;
    try {
      for await (const piece of damaged.read(1, 0)) {
        t.ok(Buffer.from(piece).equals(bytes.subarray(at, at + piece.length)));
        at += piece.length;
      }
    } catch {
      t.ok(at < bytes.length);
    }
    disk.flipBit(pathOf(1), bit);
  }
  t.ok(await store.verify(1));
});

t.test('a block of another place or blob is no block of this one', async (t) => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  await write(store, 1, bytesOf(1_000));
  await write(store, 257, bytesOf(1_000));
  const one = await disk.readFile(pathOf(1), 10_000);
  await disk.writeFileDurable(pathOf(257), one);
  const again = await openStore(disk);
  await t.rejects(again.verify(257), { code: 'CORRUPT' });
  await t.rejects(again.readWhole(257, 0, 10), { code: 'CORRUPT' });
  await disk.writeFileDurable(pathOf(1), one.subarray(0, 20));
  await t.rejects((await openStore(disk)).readWhole(1, 0, 10), { code: 'CORRUPT' });
});

t.test('a failed sync loses the file, is reported, and leaves nothing', async (t) => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  const writer = store.writer(1, { name: 'f' });
  await writer.write(bytesOf(3_000_000));
  disk.failWrites('DISK_ERROR');
  await t.rejects(writer.finish(), { code: 'DISK_ERROR' });
  disk.failWrites(undefined);
  t.equal(store.has(1), false);
  t.same((await openStore(disk)).page(0, 10), []);
});

/** Counts the changes that reach the disk, and loses the machine's power before one of them. */
class CrashingDisk implements Disk {
  readonly #disk: MemoryDisk;
  #left: number;

  constructor(disk: MemoryDisk, crashAt: number) {
    this.#disk = disk;
    this.#left = crashAt;
  }

  #step(): void {
    this.#left -= 1;
    if (this.#left < 0) throw new Error('the power is gone');
  }

  async #change<T>(work: () => Promise<T>): Promise<T> {
    this.#step();
    return work();
  }

  mkdir = (path: string) => this.#change(() => this.#disk.mkdir(path));
  list = (path: string) => this.#disk.list(path);
  stat = (path: string) => this.#disk.stat(path);
  readFile = (path: string, max: number) => this.#disk.readFile(path, max);
  writeFileDurable = (path: string, bytes: Uint8Array) =>
    this.#change(() => this.#disk.writeFileDurable(path, bytes));
  rename = (from: string, to: string) => this.#change(() => this.#disk.rename(from, to));
  remove = (path: string) => this.#change(() => this.#disk.remove(path));
  removeTree = (path: string) => this.#change(() => this.#disk.removeTree(path));
  syncDir = (path: string) => this.#change(() => this.#disk.syncDir(path));
  space = () => this.#disk.space();

  async open(path: string, mode: 'read' | 'create' | 'update'): Promise<DiskFile> {
    if (mode !== 'read') this.#step();
    const file = await this.#disk.open(path, mode);
    return {
      read: (offset, length) => file.read(offset, length),
      bytes: () => file.bytes(),
      close: () => file.close(),
      write: (offset, bytes) => this.#change(() => file.write(offset, bytes)),
      datasync: () => this.#change(() => file.datasync()),
      truncate: (bytes) => this.#change(() => file.truncate(bytes)),
    };
  }
}

t.test('a crash before any step of a write leaves the old blob, the new one or none', async (t) => {
  const bytes = bytesOf(5_000_000);
  let crashes = 0;
  for (const seed of [undefined, 1, 2, 3]) {
    let isDone = false;
    for (let crashAt = 0; !isDone; crashAt += 1) {
      const disk = new MemoryDisk();
      await write(await openStore(disk), 2, bytesOf(100, 9));
      let isAcknowledged = false;
      try {
        const store = await openStore(new CrashingDisk(disk, crashAt));
        await write(store, 1, bytes, 700_000);
        isAcknowledged = true;
        isDone = true;
      } catch {
        crashes += 1;
      }
      disk.crash(seed === undefined ? undefined : createSeededRng(`${seed} ${crashAt}`));
      const store = await openStore(disk);
      t.ok(await store.verify(2), 'what was durable before stays');
      if (store.has(1)) {
        // In place but never acknowledged: it may be torn then, and must say so when read.
        const found = await store.verify(1).catch((error: unknown) => error);
        if (isAcknowledged) t.match(found, { bytes: bytes.length });
        else t.match(found, /damaged|blob|\[object/);
      } else {
        t.notOk(isAcknowledged, 'an acknowledged blob is there');
      }
      t.same(await disk.list('/s/tmp'), []);
    }
  }
  t.ok(crashes > 30, `${crashes} crashes`);
});

t.test('a crash before any step of replacing a blob leaves a whole one', async (t) => {
  const bytes = bytesOf(200_000);
  let isDone = false;
  for (let crashAt = 0; !isDone; crashAt += 1) {
    const disk = new MemoryDisk();
    await write(await openStore(disk), 1, bytes);
    try {
      await write(await openStore(new CrashingDisk(disk, crashAt)), 1, bytes);
      isDone = true;
    } catch {
      t.pass(`crash before step ${crashAt}`);
    }
    disk.crash();
    t.match(await (await openStore(disk)).verify(1), { bytes: bytes.length });
  }
});

t.test('the watermark tells how many bytes are missing', async (t) => {
  const disk = new MemoryDisk({ capacityBytes: 1_000_000 });
  const store = await openStore(disk);
  t.equal(await store.bytesShort(900_000), 0);
  t.equal(await store.bytesShort(980_000), 30_000);
  t.match(await store.space(), { totalBytes: 1_000_000, level: 'ok' });
});
