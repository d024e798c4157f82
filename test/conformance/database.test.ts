/** What every Database promises, asked of LevelDB and of the one in memory. */
import { join } from 'node:path';
import t from 'tap';
import {
  type BatchOp,
  createSeededRng,
  type Database,
  type KeyRange,
  MemoryDatabases,
  openLevelDatabase,
} from '../../src/base/index.js';
import { temporaryFolder } from '../base/temporary.js';

interface Subject {
  open(): Promise<Database>;
}

type Factory = (t: { teardown(end: () => unknown): void }) => Promise<Subject>;

const FACTORIES: Readonly<Record<string, Factory>> = {
  LevelDB: async (t) => {
    const folder = await temporaryFolder(t);
    return { open: () => openLevelDatabase(join(folder, 'db')) };
  },
  'the memory database': async () => {
    const databases = new MemoryDatabases();
    return { open: () => databases.open('/db') };
  },
};

const key = (...parts: number[]) => Uint8Array.from(parts);
const put = (k: Uint8Array, v: Uint8Array): BatchOp => ({ type: 'put', key: k, value: v });
const del = (k: Uint8Array): BatchOp => ({ type: 'del', key: k });
const SYNC = { sync: true };

async function rows(db: Pick<Database, 'scan'>, range: KeyRange = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const [k, v] of db.scan(range)) found.push(`${k.join('.')}=${v.join('.')}`);
  return found;
}

for (const [name, create] of Object.entries(FACTORIES)) {
  t.test(`${name}: a batch is read back at once, by key and in byte order`, async (t) => {
    const db = await (await create(t)).open();
    await db.batch([put(key(2), key(20)), put(key(1, 255), key(11)), put(key(1), key())], SYNC);
    t.same(db.get(key(2)), key(20));
    t.equal(db.get(key(2))?.constructor, Uint8Array, 'no Buffers come out');
    t.same(db.get(key(1)), key(), 'an empty value is a value');
    t.equal(db.get(key(9)), undefined);
    t.same(await rows(db), ['1=', '1.255=11', '2=20']);
    await db.batch([del(key(1)), put(key(2), key(21)), del(key(77))], SYNC);
    t.same(await rows(db), ['1.255=11', '2=21']);
    await db.close();
  });

  t.test(`${name}: within a batch the last word on a key counts`, async (t) => {
    const db = await (await create(t)).open();
    await db.batch([put(key(1), key(1)), del(key(1)), put(key(1), key(2))], SYNC);
    await db.batch([put(key(3), key(3)), del(key(3))], SYNC);
    t.same(await rows(db), ['1=2']);
    await db.close();
  });

  t.test(`${name}: ranges have their bounds, direction and limit`, async (t) => {
    const db = await (await create(t)).open();
    await db.batch(
      [1, 2, 3, 4, 5].map((n) => put(key(n), key(n))),
      SYNC,
    );
    t.same(await rows(db, { gte: key(2), lt: key(4) }), ['2=2', '3=3']);
    t.same(await rows(db, { gt: key(2), lte: key(4) }), ['3=3', '4=4']);
    t.same(await rows(db, { gte: key(2), reverse: true, limit: 2 }), ['5=5', '4=4']);
    t.same(await rows(db, { lt: key(3), reverse: true }), ['2=2', '1=1']);
    t.same(await rows(db, { limit: 0 }), []);
    t.same(await rows(db, { gt: key(4), lt: key(2) }), []);
    await db.close();
  });

  t.test(`${name}: random work agrees with a plain map`, async (t) => {
    const db = await (await create(t)).open();
    const rng = createSeededRng(`${name}/database`);
    const model = new Map<number, number>();
    for (let round = 0; round < 60; round++) {
      const ops = Array.from({ length: 1 + rng.int(8) }, () => {
        const k = rng.int(40);
        const v = rng.int(256);
        const isPut = rng.int(3) > 0;
        if (isPut) model.set(k, v);
        else model.delete(k);
        return isPut ? put(key(k), key(v)) : del(key(k));
      });
      await db.batch(ops, { sync: round % 7 === 0 });
    }
    const expected = [...model].sort(([a], [b]) => a - b).map(([k, v]) => `${k}=${v}`);
    t.same(await rows(db), expected);
    for (let k = 0; k < 40; k++) {
      const value = model.get(k);
      t.same(db.get(key(k)), value === undefined ? undefined : key(value));
    }
    await db.close();
  });

  t.test(`${name}: a snapshot shows one moment`, async (t) => {
    const db = await (await create(t)).open();
    await db.batch([put(key(1), key(1)), put(key(2), key(2))], SYNC);
    const snapshot = db.snapshot();
    await db.batch([put(key(1), key(9)), del(key(2)), put(key(3), key(3))], SYNC);
    t.same(snapshot.get(key(1)), key(1));
    t.equal(snapshot.get(key(3)), undefined);
    t.same(await rows(snapshot), ['1=1', '2=2']);
    await snapshot.close();
    t.same(await rows(db), ['1=9', '3=3']);
    await db.close();
  });

  t.test(`${name}: a scan can be left early and sees no later writes`, async (t) => {
    const db = await (await create(t)).open();
    await db.batch(
      Array.from({ length: 600 }, (_, i) => put(key(i >> 8, i & 255), key(1))),
      SYNC,
    );
    let seen = 0;
    for await (const _ of db.scan({})) if (++seen === 5) break;
    t.equal(seen, 5);
    const scan = db.scan({})[Symbol.asyncIterator]();
    await scan.next();
    await db.batch([put(key(9, 9), key(9))], SYNC);
    let count = 1;
    while ((await scan.next()).done !== true) count++;
    t.equal(count, 600);
    await db.close();
  });

  t.test(`${name}: what it holds survives closing, and nobody opens it twice`, async (t) => {
    const subject = await create(t);
    const db = await subject.open();
    await db.batch([put(key(1), key(1))], SYNC);
    await t.rejects(subject.open(), { code: 'FOLDER_LOCKED' });
    await db.close();
    const again = await subject.open();
    t.same(await rows(again), ['1=1']);
    await again.compact({});
    await again.compact({ gte: key(0), lt: key(1) });
    await again.close();
  });

  t.test(`${name}: memory handed in or out is not shared`, async (t) => {
    const db = await (await create(t)).open();
    const value = key(1);
    const done = db.batch([put(key(1), value)], SYNC);
    await done;
    value[0] = 99;
    const read = db.get(key(1));
    if (read !== undefined) read[0] = 98;
    t.same(db.get(key(1)), key(1));
    await db.close();
  });
}
