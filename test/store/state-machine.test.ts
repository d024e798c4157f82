import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import t from 'tap';
import {
  createRealDisk,
  createSeededRng,
  createSilentLogger,
  type DatabaseOptions,
  MemoryDatabases,
  MemoryDisk,
  openLevelDatabase,
  type Rng,
} from '../../src/base/index.js';
import type { Entry, SnapshotMeta } from '../../src/raft/index.js';
import { type Key, StateMachine } from '../../src/store/index.js';
import { encodeCommand, joinCommands } from '../../src/store/command.js';
import { decodeSnapshot, encodeSnapshot } from '../../src/store/snapshot-stream.js';
import { encodeKey } from '../../src/store/keys.js';
import { BY_VALUE, COUNTERS, counterModule } from './counter-module.js';

interface Machine {
  open(): Promise<StateMachine>;
  end(): Promise<void>;
}

function parts(disk: MemoryDisk, databases: MemoryDatabases, fatals: Error[] = []) {
  return {
    disk,
    log: createSilentLogger(),
    openDatabase: (path: string) => databases.open(path),
    onFatal: (error: Error) => fatals.push(error),
  };
}

const OPTIONS = { folder: '/state', modules: [counterModule] };

async function memoryMachine(): Promise<Machine> {
  const disk = new MemoryDisk();
  const databases = new MemoryDatabases();
  return {
    open: () => StateMachine.open(OPTIONS, parts(disk, databases)),
    end: async () => undefined,
  };
}

async function levelMachine(): Promise<Machine> {
  const folder = await mkdtemp(`${tmpdir()}/idunno-state-`);
  return {
    open: () =>
      StateMachine.open(
        { ...OPTIONS, folder },
        {
          disk: createRealDisk(),
          log: createSilentLogger(),
          openDatabase: (path: string, options?: DatabaseOptions) =>
            openLevelDatabase(path, options),
          onFatal: (error) => {
            throw error;
          },
        },
      ),
    end: () => rm(folder, { recursive: true, force: true }),
  };
}

const MACHINES = { 'in memory': memoryMachine, 'on LevelDB': levelMachine };

/** A log of commands on counters, in entries of one to three, some under sessions. */
function randomLog(seed: string, count: number): Entry[] {
  const rng = createSeededRng(seed);
  const log: Entry[] = [];
  const register = { session: 0, seq: 0, ackedBelow: 0, name: 'store.register', args: [] };
  let seq = 0;
  for (let index = 1; index <= count; index += 1) {
    const term = 1 + Math.floor(index / 50);
    const head = { index, term, timeMs: 1_000 * index - 300 * rng.int(10) };
    if (index % 50 === 0) {
      log.push({ ...head, kind: 'noop', data: new Uint8Array(0) });
      continue;
    }
    const isRegister = index === 1 || index === 75;
    const commands = isRegister
      ? [register]
      : Array.from({ length: 1 + rng.int(3) }, () => {
          seq += rng.int(3);
          const session = rng.int(2) === 0 ? 0 : index > 75 && rng.int(2) === 0 ? 75 : 1;
          const acked = rng.int(4) === 0 ? Math.max(0, seq - rng.int(10)) : 0;
          return { session, seq: Math.max(1, seq), ackedBelow: acked, ...randomCommand(rng) };
        });
    log.push({ ...head, kind: 'command', data: joinCommands(commands.map(encodeCommand)) });
  }
  return log;
}

function randomCommand(rng: Rng): { name: string; args: (string | number)[] } {
  const key = `c${rng.int(30)}`;
  switch (rng.int(7)) {
    case 3:
      return { name: 'counter.say', args: ['x'.repeat(rng.int(150))] };
    case 0:
      return { name: 'counter.drop', args: [key] };
    case 1:
      return { name: 'counter.refuse', args: [key] };
    case 2:
      return { name: 'note.set', args: [key, 'x'.repeat(rng.int(200))] };
    default:
      return { name: 'counter.add', args: [key, 1 + rng.int(9)] };
  }
}

function slices(rng: Rng, log: readonly Entry[]): Entry[][] {
  const groups: Entry[][] = [];
  for (let at = 0; at < log.length; ) {
    const size = 1 + rng.int(7);
    groups.push(log.slice(at, at + size));
    at += size;
  }
  return groups;
}

async function durable(machine: StateMachine, index: number): Promise<void> {
  if (machine.appliedIndex >= index) return;
  await new Promise<void>((resolve) => {
    machine.onDurable((now) => {
      if (now >= index) resolve();
    });
  });
}

function metaOf({ index, term }: { index: number; term: number }): SnapshotMeta {
  return { index, term, conf: { voters: [], outgoing: [], learners: [] } };
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const list: Uint8Array[] = [];
  for await (const chunk of chunks) list.push(chunk);
  return list;
}

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

for (const [where, createMachine] of Object.entries(MACHINES)) {
  t.test(`the state machine ${where}`, async (t) => {
    t.test('ends in the same state however the log is cut into groups', async (t) => {
      const log = randomLog('groups', 200);
      const hashes: string[] = [];
      for (const seed of ['one', 'two', 'three']) {
        const machine = await createMachine();
        const state = await machine.open();
        const rng = createSeededRng(seed);
        for (const group of slices(rng, log)) {
          state.apply(group);
          if (rng.int(4) === 0) await durable(state, rng.int(state.position.index));
        }
        const { index, hash } = await state.stateHash();
        t.equal(index, 200);
        hashes.push(hash);
        await durable(state, 200);
        t.equal((await state.stateHash()).hash, hash, 'the same from disk as from memory');
        await state.close();
        await machine.end();
      }
      t.equal(new Set(hashes).size, 1);
    });

    t.test('comes back at the index that was durable, and goes on from there', async (t) => {
      const log = randomLog('restart', 120);
      const machine = await createMachine();
      const first = await machine.open();
      first.apply(log.slice(0, 60));
      const { hash } = await first.stateHash();
      await durable(first, 60);
      await first.close();
      const second = await machine.open();
      t.equal(second.appliedIndex, 60);
      t.equal((await second.stateHash()).hash, hash);
      t.same([...second.view().index(BY_VALUE)].length > 0, true, 'indexes are rebuilt');
      second.apply(log.slice(60));
      const straight = await (await memoryMachine()).open();
      straight.apply(log);
      t.equal((await second.stateHash()).hash, (await straight.stateHash()).hash);
      t.same(
        [...second.view().index(BY_VALUE)].sort(),
        [...straight.view().index(BY_VALUE)].sort(),
      );
      await second.close();
      await machine.end();
    });

    t.test('is carried to another node whole by a snapshot', async (t) => {
      const log = randomLog('snapshot', 160);
      const machine = await createMachine();
      const source = await machine.open();
      source.apply(log.slice(0, 100));
      const image = await source.image();
      // It is of this moment: what is applied while it streams is not in it.
      const { hash } = await source.stateHash();
      source.apply(log.slice(100));
      const other = await createMachine();
      const target = await other.open();
      target.apply(randomLog('something else', 30));
      await target.stage(metaOf(image), image.open());
      t.equal(target.position.index, 30, 'staging changes nothing');
      await target.installStaged(metaOf(image));
      t.equal(target.appliedIndex, 100);
      t.equal((await target.stateHash()).hash, hash);
      target.apply(log.slice(100));
      t.equal((await target.stateHash()).hash, (await source.stateHash()).hash);
      t.same([...target.view().index(BY_VALUE)].sort(), [...source.view().index(BY_VALUE)].sort());
      await durable(target, 160);
      await target.close();
      const again = await other.open();
      t.equal(again.appliedIndex, 160);
      t.match(again.installedSnapshot, { index: 100 });
      await again.close();
      await source.close();
      await machine.end();
      await other.end();
    });
  });
}

t.test('a crash at any batch leaves the state at exactly the index it names', async (t) => {
  const log = randomLog('crash', 80);
  const straight = await (await memoryMachine()).open();
  const hashAt = new Map<number, string>([[0, (await straight.stateHash()).hash]]);
  for (const entry of log) {
    straight.apply([entry]);
    hashAt.set(entry.index, (await straight.stateHash()).hash);
  }
  for (let crashAt = 1; crashAt < 40; crashAt += crashAt < 8 ? 1 : 3) {
    const disk = new MemoryDisk();
    let batches = 0;
    const databases = new MemoryDatabases({
      delay: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        batches += 1;
        if (batches === crashAt) databases.crash();
      },
    });
    const fatals: Error[] = [];
    const state = await StateMachine.open(OPTIONS, parts(disk, databases, fatals));
    const rng = createSeededRng(crashAt);
    for (const group of slices(rng, log)) {
      if (fatals.length > 0) break;
      state.apply(group);
      // Groups come while a batch is written, and when none is.
      for (let turns = rng.int(5); turns > 0; turns -= 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    if (batches < crashAt) databases.crash();
    batches = 1_000;
    const durable = state.appliedIndex;
    const again = await StateMachine.open(OPTIONS, parts(disk, databases));
    t.ok(again.appliedIndex >= durable, `${again.appliedIndex} of ${durable} that were durable`);
    t.equal((await again.stateHash()).hash, hashAt.get(again.appliedIndex), `batch ${crashAt}`);
    again.apply(log.slice(again.appliedIndex));
    t.equal((await again.stateHash()).hash, hashAt.get(80));
    await again.close();
  }
});

t.test('a failed write is fatal and said once', async (t) => {
  const databases = new MemoryDatabases();
  const fatals: Error[] = [];
  const state = await StateMachine.open(OPTIONS, parts(new MemoryDisk(), databases, fatals));
  databases.failWrites('DISK_ERROR');
  state.apply(randomLog('fatal', 3));
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(fatals.length, 1);
  t.match(fatals[0], { code: 'DISK_ERROR' });
  t.equal(state.appliedIndex, 0);
});

t.test('an entry that cannot be read changes nothing and does not stop the log', async (t) => {
  const state = await (await memoryMachine()).open();
  const bad = { index: 1, term: 1, kind: 'command', timeMs: 5, data: Buffer.from('junk') } as const;
  const [outcomes] = state.apply([bad]);
  t.match(outcomes, [{ ok: false, error: { code: 'PROTOCOL' } }]);
  t.equal(state.position.index, 1);
  await state.close();
});

t.test(
  'a snapshot that is damaged anywhere is refused, and the state stays as it was',
  async (t) => {
    const log = randomLog('damage', 60);
    const source = await (await memoryMachine()).open();
    source.apply(log);
    const image = await source.image();
    const whole = Buffer.concat(await bytesOf(image.open()));
    const target = await (await memoryMachine()).open();
    target.apply(log.slice(0, 10));
    const { hash } = await target.stateHash();
    const rng = createSeededRng('flip');
    const bad: Uint8Array[] = [
      whole.subarray(0, whole.length - 1),
      whole.subarray(0, 10),
      Buffer.concat([whole, Buffer.from('x')]),
      new Uint8Array(0),
    ];
    for (let round = 0; round < 60; round += 1) {
      const copy = Buffer.from(whole);
      const at = rng.int(copy.length);
      copy[at] = (copy[at] ?? 0) ^ (1 << rng.int(8));
      bad.push(copy);
    }
    for (const bytes of bad) {
      await t.rejects(target.stage(metaOf(image), streamOf([bytes])), { code: 'CORRUPT' });
    }
    await t.rejects(target.stage(metaOf({ index: 61, term: image.term }), streamOf([whole])), {
      code: 'CORRUPT',
    });
    t.equal((await target.stateHash()).hash, hash);
    await target.stage(metaOf(image), streamOf([whole]));
    await target.installStaged(metaOf(image));
    t.equal((await target.stateHash()).hash, (await source.stateHash()).hash);
    await target.close();
  },
);

t.test('a snapshot stream may be cut into chunks anywhere', async (t) => {
  const rows: [ReturnType<typeof encodeKey>, Uint8Array][] = Array.from({ length: 50 }, (_, at) => [
    encodeKey(3, [at]),
    Buffer.alloc(at * 3, at),
  ]);
  const header = { index: 9, term: 2 };
  const stream = encodeSnapshot(
    header,
    (async function* () {
      yield* rows;
    })(),
  );
  const whole = Buffer.concat(await bytesOf(stream));
  for (const size of [1, 7, 100, 4096]) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
    let count = 0;
    for await (const { key, value } of decodeSnapshot(header, streamOf(chunks))) {
      const [wantKey, wantValue] = rows[count] ?? ['', new Uint8Array(0)];
      if (Buffer.from(key).toString('latin1') !== wantKey) t.fail(`key ${count}`);
      if (Buffer.compare(value, wantValue) !== 0) t.fail(`value ${count}`);
      count += 1;
    }
    t.equal(count, 50, `chunks of ${size}`);
  }
});

t.test('a crash during an install leaves the old state or the new one', async (t) => {
  const log = randomLog('install', 60);
  const source = await (await memoryMachine()).open();
  source.apply(log);
  const image = await source.image();
  const chunks = await bytesOf(image.open());
  const newHash = (await source.stateHash()).hash;
  const seen = new Set<string>();
  for (let crashAt = 1; crashAt <= 14; crashAt += 1) {
    let steps = 0;
    let isArmed = false;
    const crash = (): void => {
      if (!isArmed) return;
      steps += 1;
      if (steps !== crashAt) return;
      isArmed = false;
      databases.crash();
      disk.crash();
    };
    const disk = new MemoryDisk({ delay: async () => crash() });
    const databases = new MemoryDatabases({ delay: async () => crash() });
    const state = await StateMachine.open(OPTIONS, parts(disk, databases));
    state.apply(log.slice(0, 20));
    await durable(state, 20);
    const oldHash = (await state.stateHash()).hash;
    isArmed = true;
    try {
      await state.stage(metaOf(image), streamOf(chunks));
      await state.installStaged(metaOf(image));
    } catch {
      // The crash.
    }
    isArmed = false;
    databases.crash();
    disk.crash();
    const again = await StateMachine.open(OPTIONS, parts(disk, databases));
    const { hash } = await again.stateHash();
    const which = hash === oldHash ? 'old' : hash === newHash ? 'new' : 'mixed';
    seen.add(which);
    t.not(which, 'mixed', `crash at step ${crashAt}`);
    t.equal(again.appliedIndex, which === 'new' ? 60 : 20);
    // A second attempt is not disturbed by the remains of the first.
    if (which === 'old') {
      await again.stage(metaOf(image), streamOf(chunks));
      await again.installStaged(metaOf(image));
      t.equal((await again.stateHash()).hash, newHash);
    }
    await again.close();
  }
  t.same([...seen].sort(), ['new', 'old'], 'both sides of the switch were seen');
});

t.test('scans over what is written and what is on disk equal a plain sorted map', async (t) => {
  const rng = createSeededRng('scan');
  const databases = new MemoryDatabases({
    delay: () => new Promise((resolve) => setImmediate(resolve)),
  });
  const state = await StateMachine.open(OPTIONS, parts(new MemoryDisk(), databases));
  const twin = new Map<string, number>();
  let index = 0;
  for (let round = 0; round < 300; round += 1) {
    const name = `c${String(rng.int(40)).padStart(2, '0')}`;
    const isDrop = rng.int(3) === 0;
    const command = isDrop
      ? { name: 'counter.drop', args: [name] }
      : { name: 'counter.add', args: [name, 1] };
    if (isDrop) twin.delete(name);
    else twin.set(name, (twin.get(name) ?? 0) + 1);
    index += 1;
    const data = joinCommands([encodeCommand({ session: 0, seq: 0, ackedBelow: 0, ...command })]);
    state.apply([{ index, term: 1, kind: 'command', timeMs: index, data }]);
    if (rng.int(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    const bound = () => [`c${String(rng.int(42)).padStart(2, '0')}`];
    const range: { gte?: Key; lt?: Key; after?: Key; limit?: number; reverse?: boolean } = {
      ...(rng.int(3) === 0 ? { gte: bound() } : {}),
      ...(rng.int(3) === 0 ? { lt: bound() } : {}),
      ...(rng.int(3) === 0 ? { after: bound() } : {}),
      ...(rng.int(2) === 0 ? { limit: rng.int(12) } : {}),
      ...(rng.int(2) === 0 ? { reverse: true } : {}),
    };
    const found: [string, number][] = [];
    for await (const [[key], row] of state.view().scan(COUNTERS, range)) {
      found.push([String(key), row.n]);
    }
    const wanted = slowScan(twin, range);
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      t.same(found, wanted, `round ${round}: ${JSON.stringify(range)}`);
      break;
    }
  }
  t.pass('300 scans');
  await state.close();
});

function slowScan(
  rows: ReadonlyMap<string, number>,
  range: { gte?: Key; lt?: Key; after?: Key; limit?: number; reverse?: boolean },
): [string, number][] {
  const { gte, lt, after, limit, reverse } = range;
  const inside = [...rows].filter(([key]) => {
    if (gte !== undefined && key < String(gte[0])) return false;
    if (lt !== undefined && key >= String(lt[0])) return false;
    if (after === undefined) return true;
    return reverse === true ? key < String(after[0]) : key > String(after[0]);
  });
  inside.sort(([a], [b]) => (a < b ? -1 : 1));
  if (reverse === true) inside.reverse();
  return inside.slice(0, limit);
}

t.test('a pinned view goes on showing its moment while rows change under it', async (t) => {
  const log = randomLog('pin', 120);
  const state = await (await memoryMachine()).open();
  state.apply(log.slice(0, 60));
  const all = async (view: ReturnType<typeof state.view>) => {
    const rows: unknown[] = [];
    for await (const [key, row] of view.scan(COUNTERS, {})) rows.push([key, row]);
    return rows;
  };
  const before = await all(state.view());
  const pinned = state.pinnedView();
  for (const entry of log.slice(60)) {
    state.apply([entry]);
    if (entry.index % 10 === 0) await durable(state, entry.index - 3);
  }
  t.same(await all(pinned.view), before);
  t.equal(pinned.view.appliedIndex, 60);
  for (const [key, row] of before as [Key, unknown][]) t.same(pinned.view.get(COUNTERS, key), row);
  t.notSame(await all(state.view()), before);
  pinned.close();
  await state.close();
});

t.test('a scan that has begun is not disturbed by the install of a snapshot', async (t) => {
  const log = randomLog('swap', 60);
  const source = await (await memoryMachine()).open();
  source.apply(log);
  const image = await source.image();
  const state = await (await memoryMachine()).open();
  state.apply(log.slice(0, 30));
  await durable(state, 30);
  const wanted: unknown[] = [];
  for await (const row of state.view().scan(COUNTERS, {})) wanted.push(row);
  const scan = state.view().scan(COUNTERS, {})[Symbol.asyncIterator]();
  const found: unknown[] = [(await scan.next()).value];
  const pinned = state.pinnedView();
  await state.stage(metaOf(image), image.open());
  await state.installStaged(metaOf(image));
  for (let next = await scan.next(); next.done !== true; next = await scan.next()) {
    found.push(next.value);
  }
  t.same(found, wanted);
  t.throws(() => pinned.view.get(COUNTERS, ['c1']), { code: 'UNAVAILABLE' });
  pinned.close();
  await state.close();
});
