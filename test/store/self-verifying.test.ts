/** The state verifies itself: the sum over all rows, at each start and between replicas. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  createMemoryLogger,
  createRealDisk,
  MemoryDatabases,
  MemoryDisk,
  openLevelDatabase,
} from '../../src/base/index.js';
import type { Entry } from '../../src/raft/index.js';
import { encodeCommand, joinCommands } from '../../src/store/command.js';
import { StateMachine } from '../../src/store/index.js';
import { describeSum, isSameSum, RunningSum } from '../../src/store/row-sum.js';
import { counterModule } from './counter-module.js';

function entry(index: number): Entry {
  const name = `c${index % 40}`;
  const command = { session: 0, seq: 0, ackedBelow: 0, name: 'counter.add', args: [name, index] };
  const data = joinCommands([encodeCommand(command)]);
  return { index, term: 1, kind: 'command', timeMs: index, data };
}

const LOG = Array.from({ length: 130 }, (_, at) => entry(at + 1));

t.test('the sum', async (t) => {
  const bytes = (text: string) => Buffer.from(text);
  t.test('is that of the rows, whatever way led to them', async (t) => {
    const one = new RunningSum();
    one.add(bytes('a'), bytes('1'));
    one.add(bytes('b'), bytes('2'));
    const other = new RunningSum();
    other.add(bytes('b'), bytes('7'));
    other.add(bytes('c'), bytes('3'));
    other.add(bytes('a'), bytes('1'));
    other.remove(bytes('c'), bytes('3'));
    other.remove(bytes('b'), bytes('7'));
    other.add(bytes('b'), bytes('2'));
    t.ok(isSameSum(one.value, other.value));
    t.match(describeSum(one.value), /^2-[0-9a-f]{8}-[0-9a-f]{8}$/);
  });

  t.test('shows every flipped bit, a lost row, and a row cut in another place', async (t) => {
    const sumOf = (rows: readonly (readonly [Buffer, Buffer])[]) => {
      const sum = new RunningSum();
      for (const [key, value] of rows) sum.add(key, value);
      return sum.value;
    };
    const whole = sumOf([
      [bytes('key'), bytes('value')],
      [bytes('other'), bytes('row')],
    ]);
    for (let bit = 0; bit < 40; bit += 1) {
      const value = bytes('value');
      value[bit >> 3] = (value[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const found = sumOf([
        [bytes('key'), value],
        [bytes('other'), bytes('row')],
      ]);
      t.notOk(isSameSum(whole, found), `bit ${bit}`);
    }
    t.notOk(isSameSum(whole, sumOf([[bytes('key'), bytes('value')]])));
    const moved = sumOf([
      [bytes('keyv'), bytes('alue')],
      [bytes('other'), bytes('row')],
    ]);
    t.notOk(isSameSum(whole, moved));
  });
});

t.test(
  'replicas that applied in other groups have the same sums at the same entries',
  async (t) => {
    const machines = [];
    for (const step of [1, 7, 130]) {
      const disk = new MemoryDisk();
      const databases = new MemoryDatabases();
      const machine = await StateMachine.open(
        { folder: '/state', modules: [counterModule] },
        {
          disk,
          log: createMemoryLogger(),
          openDatabase: (path) => databases.open(path),
          onFatal: (error) => t.fail(error.message),
        },
      );
      for (let at = 0; at < LOG.length; at += step) machine.apply(LOG.slice(at, at + step));
      machines.push(machine);
    }
    const [first, ...others] = machines.map((machine) => machine.checkpoints);
    t.same(
      first?.map(({ index }) => index),
      [64, 128],
    );
    for (const other of others) t.same(other, first);
    t.same(new Set(machines.map((machine) => machine.stateSum().sum)).size, 1);
    for (const machine of machines) {
      t.equal(await machine.scrub(), undefined, 'the rows are what was written');
      await machine.close();
    }
  },
);

interface OnDisk {
  readonly folder: string;
  readonly events: () => string[];
  open(): Promise<StateMachine>;
}

async function onDisk(t: Test): Promise<OnDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'idunno-state-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const log = createMemoryLogger();
  return {
    folder,
    events: () => log.lines.map(({ event }) => event),
    open: () =>
      StateMachine.open(
        { folder, modules: [counterModule] },
        {
          disk: createRealDisk(),
          log,
          openDatabase: openLevelDatabase,
          onFatal: (error) => t.fail(error.message),
        },
      ),
  };
}

async function filled(disk: OnDisk): Promise<string> {
  const machine = await disk.open();
  machine.apply(LOG);
  const { sum } = machine.stateSum();
  await machine.close();
  // Once more, so that the rows lie in a table and not only in LevelDB's own log.
  const again = await disk.open();
  await again.close();
  return sum;
}

t.test('a state on LevelDB', async (t) => {
  t.test('is the same after a restart', async (t) => {
    const disk = await onDisk(t);
    const sum = await filled(disk);
    const machine = await disk.open();
    t.same(machine.stateSum(), { index: 130, sum });
    await machine.close();
  });

  t.test('whose bytes were flipped anywhere is whole, or starts over and says so', async (t) => {
    const disk = await onDisk(t);
    const sum = await filled(disk);
    const generation = join(disk.folder, 'gen-1');
    const saved = new Map<string, Buffer>();
    for (const name of await readdir(generation)) {
      saved.set(name, await readFile(join(generation, name)));
    }
    const current = await readFile(join(disk.folder, 'CURRENT'));
    let found = 0;
    for (const [name, bytes] of saved) {
      for (const part of [0.1, 0.5, 0.9]) {
        if (bytes.length === 0) continue;
        const damaged = Buffer.from(bytes);
        const at = Math.floor(bytes.length * part);
        damaged[at] = (damaged[at] ?? 0) ^ 0x10;
        for (const folder of await readdir(disk.folder)) {
          await rm(join(disk.folder, folder), { recursive: true, force: true });
        }
        await createRealDisk().mkdir(generation);
        for (const [file, content] of saved) await writeFile(join(generation, file), content);
        await writeFile(join(generation, name), damaged);
        await writeFile(join(disk.folder, 'CURRENT'), current);
        const machine = await disk.open();
        const now = machine.stateSum();
        if (now.index === 0) found += 1;
        else t.same(now, { index: 130, sum }, `${name} at ${at}: harmless`);
        machine.apply(LOG.slice(now.index));
        t.equal(machine.stateSum().sum, sum);
        await machine.close();
      }
    }
    t.ok(found > 0, `${found} were found`);
    t.ok(disk.events().includes('store.state-damaged'));
  });

  for (const [what, damage] of Object.entries({
    'CURRENT is gone': (folder: string) => rm(join(folder, 'CURRENT')),
    'CURRENT is cut': (folder: string) => truncate(join(folder, 'CURRENT'), 20),
    'CURRENT names another generation': async (folder: string) => {
      const text = await readFile(join(folder, 'CURRENT'), 'utf8');
      await writeFile(join(folder, 'CURRENT'), text.replace('"generation":1', '"generation":3'));
    },
    'MANIFEST is gone': async (folder: string) => {
      for (const name of await readdir(join(folder, 'gen-1'))) {
        if (name.startsWith('MANIFEST')) await rm(join(folder, 'gen-1', name));
      }
    },
    'a table is cut': async (folder: string) => {
      for (const name of await readdir(join(folder, 'gen-1'))) {
        const path = join(folder, 'gen-1', name);
        if (name.endsWith('.ldb')) await truncate(path, (await readFile(path)).length - 40);
      }
    },
    'a table is gone': async (folder: string) => {
      for (const name of await readdir(join(folder, 'gen-1'))) {
        if (name.endsWith('.ldb')) await rm(join(folder, 'gen-1', name));
      }
    },
  })) {
    t.test(`whose ${what} starts over, keeps the damaged files, and goes on`, async (t) => {
      const disk = await onDisk(t);
      const sum = await filled(disk);
      await damage(disk.folder);
      const machine = await disk.open();
      t.equal(machine.appliedIndex, 0);
      t.ok(disk.events().includes('store.state-damaged'));
      t.ok((await readdir(disk.folder)).includes('damaged'));
      machine.apply(LOG);
      t.equal(machine.stateSum().sum, sum);
      await machine.close();
    });
  }
});
