import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import t, { type Test } from 'tap';
import {
  createRealDisk,
  createSilentLogger,
  type Database,
  type Disk,
  MemoryDatabases,
  MemoryDisk,
  nodeId,
  openLevelDatabase,
  VirtualClock,
} from '../../src/base/index.js';
import {
  type Entry,
  type EntryKind,
  LevelLogStore,
  type LoadedLog,
  type LogStore,
  MemoryLogStore,
  type SnapshotMeta,
} from '../../src/raft/index.js';
import {
  encodeEntryRecord,
  encodeSummary,
  entryKey,
  SUMMARY_KEY,
} from '../../src/raft/log-record.js';

/** One machine: opens its log again and again. */
interface Machine {
  open(): Promise<LogStore>;
  end(): Promise<void>;
}

const N1 = nodeId('n1');
const CONF = { voters: [N1, nodeId('n2')], outgoing: [], learners: [nodeId('n9')] };

function entry(
  index: number,
  term: number,
  text = `e${index}`,
  kind: EntryKind = 'command',
): Entry {
  return { index, term, kind, timeMs: 1000 + index, data: new TextEncoder().encode(text) };
}

function shown(entries: readonly Entry[]): string[] {
  return entries.map(
    ({ index, term, kind, data }) => `${index}@${term} ${kind} ${Buffer.from(data)}`,
  );
}

function meta(index: number, term: number): SnapshotMeta {
  return { index, term, conf: CONF };
}

function levelStore(db: Database, disk: Disk, folder: string): LevelLogStore {
  return new LevelLogStore(
    { folder, watermarkPath: `${folder}/watermark` },
    { db, disk, clock: new VirtualClock(), log: createSilentLogger() },
  );
}

async function memoryMachine(): Promise<Machine> {
  const store = new MemoryLogStore();
  return { open: async () => store, end: async () => undefined };
}

async function memoryLevelMachine(): Promise<Machine> {
  const databases = new MemoryDatabases();
  const disk = new MemoryDisk();
  await disk.mkdir('/raft');
  return {
    open: async () => levelStore(await databases.open('/raft/log'), disk, '/raft'),
    end: async () => undefined,
  };
}

async function realMachine(): Promise<Machine> {
  const folder = await mkdtemp(`${tmpdir()}/idunno-log-`);
  return {
    open: async () =>
      levelStore(await openLevelDatabase(`${folder}/log`), createRealDisk(), folder),
    end: () => rm(folder, { recursive: true, force: true }),
  };
}

const MACHINES: Readonly<Record<string, () => Promise<Machine>>> = {
  'in memory': memoryMachine,
  'on a database in memory': memoryLevelMachine,
  'on LevelDB': realMachine,
};

for (const [where, createMachine] of Object.entries(MACHINES)) {
  t.test(`the log ${where}`, async (t) => {
    t.test('is empty at first', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      t.same(await store.load(), {
        hardState: { term: 0, vote: undefined },
        snapshot: { index: 0, term: 0, conf: { voters: [], outgoing: [], learners: [] } },
        entries: [],
      });
      await store.close();
      await machine.end();
    });

    t.test('gives back after a restart what was written, whatever its kind', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      const written = [
        entry(1, 1, '', 'bootstrap'),
        entry(2, 1, 'a'),
        entry(3, 4, '', 'noop'),
        entry(4, 4, 'conf', 'config'),
      ];
      await store.write({ hardState: { term: 4, vote: N1 }, append: written });
      await store.close();
      const again = await machine.open();
      const loaded = await again.load();
      t.same(loaded.hardState, { term: 4, vote: N1 });
      t.same(shown(loaded.entries), shown(written));
      t.equal(loaded.entries[1]?.timeMs, 1002);
      await again.close();
      await machine.end();
    });

    t.test('replaces a tail in one step', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      await store.write({
        hardState: { term: 1, vote: undefined },
        append: [entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1)],
      });
      await store.write({
        hardState: { term: 2, vote: undefined },
        truncateFrom: 3,
        append: [entry(3, 2, 'new')],
      });
      await store.close();
      const again = await machine.open();
      t.same(shown((await again.load()).entries), [
        '1@1 command e1',
        '2@1 command e2',
        '3@2 command new',
      ]);
      await again.close();
      await machine.end();
    });

    t.test('keeps the order of calls that overlap', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      const writes = [store.write({ hardState: { term: 1, vote: N1 }, append: [entry(1, 1)] })];
      for (let index = 2; index <= 50; index += 1) {
        writes.push(store.write({ append: [entry(index, 1)] }));
      }
      writes.push(store.write({ truncateFrom: 40, append: [] }));
      writes.push(store.write({ append: [entry(40, 1, 'last')] }));
      await Promise.all(writes);
      await store.close();
      const again = await machine.open();
      const { entries } = await again.load();
      t.equal(entries.length, 40);
      t.same(shown(entries.slice(-1)), ['40@1 command last']);
      await again.close();
      await machine.end();
    });

    t.test('reads a stretch, bounded by bytes but never empty-handed', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      const append = [1, 2, 3, 4, 5].map((index) => entry(index, 1, 'x'.repeat(100)));
      await store.write({ hardState: { term: 1, vote: N1 }, append });
      t.same(
        (await store.read(2, 5, 1e6)).map((e) => e.index),
        [2, 3, 4],
      );
      t.same(
        (await store.read(2, 5, 1)).map((e) => e.index),
        [2],
      );
      t.ok((await store.read(1, 6, 300)).length < 4);
      await store.close();
      await machine.end();
    });

    t.test('forgets a prefix that a snapshot covers, and goes on after it', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      const append = [1, 2, 3, 4, 5].map((index) => entry(index, index < 4 ? 1 : 2));
      await store.write({ hardState: { term: 2, vote: N1 }, append });
      await store.compact(meta(3, 1));
      await store.compact(meta(2, 1));
      await store.write({ append: [entry(6, 2)] });
      await store.close();
      const again = await machine.open();
      const { snapshot, entries } = await again.load();
      t.same(snapshot, meta(3, 1));
      t.same(
        entries.map((e) => e.index),
        [4, 5, 6],
      );
      await again.close();
      await machine.end();
    });

    t.test('starts anew at the position of a snapshot', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      await store.write({ hardState: { term: 1, vote: N1 }, append: [entry(1, 1), entry(2, 1)] });
      await store.reset(meta(100, 7), { term: 7, vote: undefined });
      await store.write({ append: [entry(101, 7)] });
      await store.close();
      const again = await machine.open();
      const loaded = await again.load();
      t.same(loaded.hardState, { term: 7, vote: undefined });
      t.same(loaded.snapshot, meta(100, 7));
      t.same(
        loaded.entries.map((e) => e.index),
        [101],
      );
      await again.close();
      await machine.end();
    });

    t.test('refuses gaps and terms that go back: those are bugs', async (t) => {
      const machine = await createMachine();
      const store = await machine.open();
      await store.load();
      await store.write({ hardState: { term: 2, vote: N1 }, append: [entry(1, 2)] });
      await t.rejects(async () => store.write({ append: [entry(3, 2)] }), /bug: gap/);
      await t.rejects(
        async () => store.write({ hardState: { term: 1, vote: N1 }, append: [] }),
        /bug: term 1/,
      );
      await store.close();
      await machine.end();
    });
  });
}

interface AfterDamage {
  readonly loaded: LoadedLog;
  /** What a second boot says, without any more damage. */
  readonly again: LoadedLog;
  readonly isNoted: boolean;
}

/** A log in memory whose parts a test may damage: entries 1 and 2 of term 1, 3 and 4 of term 3. */
async function damaged(
  damage: (db: Database, disk: MemoryDisk) => Promise<void>,
): Promise<AfterDamage> {
  const databases = new MemoryDatabases();
  const disk = new MemoryDisk();
  await disk.mkdir('/raft');
  const store = levelStore(await databases.open('/raft/log'), disk, '/raft');
  await store.load();
  await store.reset(meta(0, 0), { term: 1, vote: undefined });
  await store.write({ hardState: { term: 1, vote: N1 }, append: [entry(1, 1), entry(2, 1)] });
  await store.write({ hardState: { term: 3, vote: N1 }, append: [entry(3, 3), entry(4, 3)] });
  await store.close();
  const db = await databases.open('/raft/log');
  await damage(db, disk);
  const first = levelStore(db, disk, '/raft');
  const loaded = await first.load();
  await first.close();
  const second = levelStore(await databases.open('/raft/log'), disk, '/raft');
  const again = await second.load();
  await second.close();
  return { loaded, again, isNoted: (await disk.stat('/raft/suspect.json')) !== undefined };
}

/** Suspect with what it promised, cut to these entries, and still so after another restart. */
function isSuspect(
  t: Test,
  { loaded, again, isNoted }: AfterDamage,
  reason: RegExp,
  kept: readonly number[],
): void {
  t.match(loaded.doubt, reason);
  t.same(loaded.hardState, { term: 3, vote: N1 }, 'its promises are known');
  t.same(
    loaded.entries.map(({ index }) => index),
    kept,
  );
  t.equal(isNoted, true);
  t.same(
    { ...again, entries: shown(again.entries) },
    { ...loaded, entries: shown(loaded.entries) },
    'a restart in the middle of the recovery finds the same',
  );
}

async function put(db: Database, key: Uint8Array, value: Uint8Array): Promise<void> {
  await db.batch([{ type: 'put', key, value }], { sync: true });
}

async function del(db: Database, index: number): Promise<void> {
  await db.batch([{ type: 'del', key: entryKey(index) }], { sync: true });
}

function flipped(bytes: Uint8Array | undefined, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes ?? []);
  copy[at] = (copy[at] ?? 0) ^ 0x10;
  return copy;
}

t.test('the boot scan', async (t) => {
  t.test('accepts an intact log', async (t) => {
    const { loaded, isNoted } = await damaged(async () => undefined);
    t.same([loaded.doubt, loaded.wiped, loaded.entries.length], [undefined, undefined, 4]);
    t.equal(isNoted, false);
  });

  t.test('finds a flipped bit in every byte of an entry', async (t) => {
    const bytes = encodeEntryRecord(entry(2, 1), 1);
    for (let at = 0; at < bytes.length; at += 1) {
      const { loaded } = await damaged((db) =>
        put(db, entryKey(2), flipped(db.get(entryKey(2)), at)),
      );
      t.match(loaded.doubt, /entry 2 is damaged/, `byte ${at}`);
      t.equal(loaded.entries.length, 1);
    }
  });

  t.test('finds an entry that is missing in the middle', async (t) => {
    isSuspect(t, await damaged((db) => del(db, 2)), /entries 2 to 2 are missing/, [1]);
  });

  t.test('finds a lost tail', async (t) => {
    const found = await damaged((db) => del(db, 4));
    isSuspect(t, found, /ends at entry 3 of term 3.*says entry 4/, [1, 2, 3]);
  });

  t.test('finds an entry of an earlier life in its place', async (t) => {
    const found = await damaged((db) => put(db, entryKey(2), encodeEntryRecord(entry(2, 2), 1)));
    isSuspect(t, found, /entry 3 does not follow entry 2/, [1]);
  });

  t.test('finds a damaged summary: then nothing of the log counts', async (t) => {
    const found = await damaged((db) => put(db, SUMMARY_KEY, flipped(db.get(SUMMARY_KEY), 9)));
    isSuspect(t, found, /summary is damaged/, []);
    t.same(found.loaded.snapshot.conf.voters, [], 'and not even the members are known');
  });

  t.test('finds that the whole log is gone, by the watermark', async (t) => {
    const found = await damaged(async (db) => {
      for (const index of [1, 2, 3, 4]) await del(db, index);
      await db.batch([{ type: 'del', key: SUMMARY_KEY }], { sync: true });
    });
    isSuspect(t, found, /once ended at entry 4/, []);
  });

  t.test('finds an older log that is whole in itself, by the watermark', async (t) => {
    const found = await damaged(async (db) => {
      for (const index of [3, 4]) await del(db, index);
      const summary = { hardState: { term: 1, vote: N1 }, snapshot: meta(0, 0), seq: 2 };
      await put(db, SUMMARY_KEY, encodeSummary({ ...summary, lastIndex: 2, lastTerm: 1 }));
    });
    isSuspect(t, found, /at batch 2.*but batch 3.*was once durable/, [1, 2]);
  });

  t.test('finds a watermark that is missing or unreadable', async (t) => {
    const gone = await damaged((_db, disk) => disk.remove('/raft/watermark'));
    isSuspect(t, gone, /watermark file is missing/, [1, 2, 3, 4]);
    const spoilt = await damaged(async (_db, disk) => {
      for (const slot of [0, 1]) disk.flipBit('/raft/watermark', slot * 512 * 8 + 77);
    });
    isSuspect(t, spoilt, /both slots of its watermark/, [1, 2, 3, 4]);
  });

  t.test(
    'repairs one torn slot beside a sound log in passing: a power cut leaves that',
    async (t) => {
      for (const slot of [0, 1]) {
        const { loaded, isNoted } = await damaged(async (_db, disk) => {
          disk.flipBit('/raft/watermark', slot * 512 * 8 + 77);
        });
        t.same([loaded.doubt, loaded.wiped, isNoted], [undefined, undefined, false]);
        t.equal(loaded.entries.length, 4);
      }
    },
  );

  t.test('calls a node wiped whose promises nobody knows any more', async (t) => {
    const { loaded, again } = await damaged(async (db, disk) => {
      await put(db, SUMMARY_KEY, flipped(db.get(SUMMARY_KEY), 9));
      disk.flipBit('/raft/watermark', 77);
    });
    t.match(loaded.wiped, /summary is damaged.*neither log nor watermark say what it voted/);
    t.same(loaded.hardState, { term: 0, vote: undefined });
    t.same(loaded.entries, []);
    t.same(again.hardState, { term: 0, vote: undefined }, 'nothing of its former self is left');
  });

  t.test('a node that is suspect stays it until it is told that it is trusted', async (t) => {
    const databases = new MemoryDatabases();
    const disk = new MemoryDisk();
    await disk.mkdir('/raft');
    const open = async () => levelStore(await databases.open('/raft/log'), disk, '/raft');
    const store = await open();
    await store.load();
    await store.reset(meta(0, 0), { term: 5, vote: N1 });
    await store.doubt('its state is damaged');
    await store.close();
    const again = await open();
    t.match(await again.load(), {
      doubt: 'its state is damaged',
      hardState: { term: 5, vote: N1 },
    });
    await again.trust();
    await again.close();
    const last = await open();
    t.equal((await last.load()).doubt, undefined);
    await last.close();
  });
});

t.test('a crash', async (t) => {
  t.test('keeps every write that was acknowledged and no half of any other', async (t) => {
    for (let crashAt = 1; crashAt <= 12; crashAt += 1) {
      const disk = new MemoryDisk();
      await disk.mkdir('/raft');
      let batches = 0;
      const databases = new MemoryDatabases({
        delay: async () => {
          batches += 1;
          if (batches === crashAt) databases.crash();
        },
      });
      const store = levelStore(await databases.open('/raft/log'), disk, '/raft');
      let acked = 0;
      try {
        await store.load();
        for (let index = 1; index <= 12; index += 1) {
          const append = [entry(index * 2 - 1, index), entry(index * 2, index)];
          await store.write({ hardState: { term: index, vote: N1 }, append });
          acked = index * 2;
        }
      } catch {
        // The crash.
      }
      disk.crash();
      batches = 1000;
      const again = levelStore(await databases.open('/raft/log'), disk, '/raft');
      const { entries, hardState } = await again.load();
      t.equal(entries.length, acked, `crash at batch ${crashAt}`);
      t.equal(hardState.term, acked / 2);
    }
  });

  t.test('makes every later write fail, since a failed disk is not asked again', async (t) => {
    const databases = new MemoryDatabases();
    const disk = new MemoryDisk();
    await disk.mkdir('/raft');
    const store = levelStore(await databases.open('/raft/log'), disk, '/raft');
    await store.load();
    databases.failWrites('DISK_FULL');
    const write = store.write({ hardState: { term: 1, vote: N1 }, append: [entry(1, 1)] });
    await t.rejects(write, { code: 'DISK_FULL' });
    databases.failWrites(undefined);
    await t.rejects(store.write({ append: [entry(2, 1)] }), { code: 'DISK_FULL' });
  });
});

t.test('calls that come while a batch is synced share the next one', async (t) => {
  let batches = 0;
  const databases = new MemoryDatabases({
    delay: async () => {
      batches += 1;
      await new Promise((resolve) => setImmediate(resolve));
    },
  });
  const disk = new MemoryDisk();
  await disk.mkdir('/raft');
  const store = levelStore(await databases.open('/raft/log'), disk, '/raft');
  await store.load();
  const writes: Promise<void>[] = [];
  writes.push(store.write({ hardState: { term: 1, vote: N1 }, append: [entry(1, 1)] }));
  for (let index = 2; index <= 100; index += 1) {
    if (index % 25 === 0) await new Promise((resolve) => setImmediate(resolve));
    writes.push(store.write({ append: [entry(index, 1)] }));
  }
  await Promise.all(writes);
  t.ok(batches <= 8, `${batches} batches for 100 calls`);
});
