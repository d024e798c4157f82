import t from 'tap';
import { createSeededRng } from '../../src/base/index.js';
import type { Wire } from '../../src/net/index.js';
import {
  createTestStore,
  defineTable,
  ModuleRegistry,
  NODES,
  type NodeRow,
  ROWS_PER_COMMAND_MAX,
  SETTINGS,
  SETTINGS_PER_COMMAND_MAX,
  type StoreModule,
} from '../../src/store/index.js';
import { BY_VALUE, COUNTERS, counterModule } from './counter-module.js';

t.test('a command', async (t) => {
  t.test('sees its own writes and leaves them behind', async (t) => {
    const store = createTestStore([counterModule]);
    t.equal(store.apply('counter.add', ['a', 2]), 2);
    t.equal(store.apply('counter.add', ['a', 3]), 5);
    t.same(store.get(COUNTERS, ['a']), { n: 5 });
    t.same(
      store.changes.map(({ key, before, after }) => ({ key, before, after })),
      [{ key: ['a'], before: { n: 2 }, after: { n: 5 } }],
    );
  });

  t.test('that refuses has written nothing', async (t) => {
    const store = createTestStore([counterModule]);
    store.apply('counter.add', ['a', 1]);
    t.match(store.refusal('counter.refuse', ['a']), { code: 'CONFLICT', data: { name: 'a' } });
    t.same(store.get(COUNTERS, ['a']), { n: 1 });
    t.same(store.changes, []);
  });

  t.test('that breaks is refused as a bug and has written nothing', async (t) => {
    const store = createTestStore([counterModule]);
    t.match(store.refusal('counter.break', ['a']), { code: 'INTERNAL', message: /a bug/ });
    t.equal(store.get(COUNTERS, ['a']), undefined);
  });

  t.test('may touch a bounded number of rows and not one more', async (t) => {
    const store = createTestStore([counterModule]);
    store.apply('counter.touch', [ROWS_PER_COMMAND_MAX]);
    t.equal(store.rows(COUNTERS).length, ROWS_PER_COMMAND_MAX);
    t.match(store.refusal('counter.touch', [ROWS_PER_COMMAND_MAX + 1]), { code: 'INTERNAL' });
  });

  t.test('cannot return a large result: those are queried', async (t) => {
    const store = createTestStore([counterModule]);
    t.match(store.refusal('counter.large', []), { code: 'INTERNAL' });
  });

  t.test('that nobody knows is refused', async (t) => {
    const store = createTestStore([counterModule]);
    t.match(store.refusal('counter.fly', []), { code: 'NO_SUCH_METHOD' });
  });

  t.test('knows only the time of its entry, which never goes back', async (t) => {
    const store = createTestStore([counterModule]);
    const at = (index: number, nowMs: number) => ({ index, term: 3, nowMs });
    t.same(store.apply('counter.time', [], at(5, 1_000)), [1_000, 5, 3]);
    t.same(store.apply('counter.time', [], at(6, 400)), [1_000, 6, 3]);
    t.same(store.apply('counter.time', [], at(7, 1_001)), [1_001, 7, 3]);
  });
});

t.test('a derived index kept by changes equals one rebuilt from the rows', async (t) => {
  const store = createTestStore([counterModule]);
  const rng = createSeededRng('index');
  for (let round = 0; round < 1_000; round += 1) {
    const name = `c${rng.int(20)}`;
    const dice = rng.int(10);
    if (dice < 2) store.apply('counter.drop', [name]);
    else if (dice < 4) store.refusal('counter.refuse', [name]);
    else store.apply('counter.add', [name, rng.int(3)]);
  }
  const rebuilt = await store.rebuiltIndex(BY_VALUE);
  t.same([...store.index(BY_VALUE)].sort(), [...rebuilt].sort());
  t.ok(rebuilt.size > 1);
});

t.test('two modules cannot share a bucket, a command, or leave their range', (t) => {
  const module = (facts: Partial<StoreModule>): StoreModule => ({
    name: 'test',
    tables: [],
    commands: {},
    queries: {},
    indexes: [],
    ...facts,
  });
  const one = defineTable({ bucket: 220, name: 'one' });
  const two = defineTable({ bucket: 220, name: 'two' });
  const command = () => null;
  t.throws(
    () => new ModuleRegistry([module({ tables: [one] }), module({ tables: [two] })]),
    /share/,
  );
  t.throws(
    () =>
      new ModuleRegistry([
        module({ commands: { a: command } }),
        module({ commands: { a: command } }),
      ]),
    /defined twice/,
  );
  t.throws(() => new ModuleRegistry([module({ name: 'sdfs', tables: [one] })]), /outside 10-19/);
  t.end();
});

t.test('settings', async (t) => {
  t.test('are put, read, listed in order and deleted', async (t) => {
    const store = createTestStore();
    store.apply('settings.put', ['b', '2']);
    store.apply('settings.put', ['a/x', '1']);
    store.apply('settings.put', ['a/y', '3']);
    t.match(await store.query('settings.get', ['b']), { key: 'b', value: '2', index: 1 });
    const keys = async (args: Wire[]) =>
      ((await store.query('settings.list', args)) as { key: string }[]).map(({ key }) => key);
    t.same(await keys([]), ['a/x', 'a/y', 'b']);
    t.same(await keys([{ prefix: 'a/' }]), ['a/x', 'a/y']);
    t.same(await keys([{ after: 'a/x', limit: 1 }]), ['a/y']);
    t.same(store.apply('settings.delete', ['b']), { existed: true });
    t.same(store.apply('settings.delete', ['b']), { existed: false });
    t.equal(await store.query('settings.get', ['b']), null);
  });

  t.test('are put together, all or none', async (t) => {
    const store = createTestStore();
    store.apply('settings.put', ['a', 'old']);
    t.same(
      store.apply('settings.putMany', [
        ['a', '1'],
        ['b', '2'],
        ['a', '3'],
      ]),
      { index: 2 },
    );
    t.match(store.get(SETTINGS, ['a']), { value: '3', revision: 3, index: 2 });
    t.match(store.get(SETTINGS, ['b']), { value: '2', revision: 1, index: 2 });
    const many = Array.from({ length: SETTINGS_PER_COMMAND_MAX + 1 }, (_, i) => [`k${i}`, 'v']);
    for (const args of [
      [
        ['c', '1'],
        ['', '2'],
      ],
      [['c', '1'], 'd'],
      [['c', 1]],
      many,
    ]) {
      t.match(store.refusal('settings.putMany', args), { code: 'BAD_ARGUMENT' });
    }
    t.equal(store.get(SETTINGS, ['c']), undefined);
    t.equal(store.get(SETTINGS, ['k0']), undefined);
  });

  t.test('can be put on the condition that nobody came in between', async (t) => {
    const store = createTestStore();
    store.apply('settings.put', ['k', 'mine', 0]);
    t.match(store.refusal('settings.put', ['k', 'theirs', 0]), { code: 'CONFLICT' });
    store.apply('settings.put', ['k', 'next', 1]);
    t.equal(store.get(SETTINGS, ['k'])?.value, 'next');
  });

  t.test('are bounded', async (t) => {
    const store = createTestStore();
    for (const args of [
      [''],
      ['k'.repeat(1025), 'v'],
      ['k', 'v'.repeat(65_537)],
      ['k', 7],
      ['k', 'v', -1],
    ]) {
      t.match(store.refusal('settings.put', args), { code: 'BAD_ARGUMENT' });
    }
    store.apply('settings.put', ['k'.repeat(1024), 'v'.repeat(65_536)]);
  });
});

t.test('nodes', async (t) => {
  const facts = { name: 'n1', host: '127.0.0.1', port: 7001, slots: 2, bootWallMs: 5 };
  const status = (store: ReturnType<typeof createTestStore>) => store.get(NODES, ['n1'])?.status;

  t.test('register, go down, come up again under a new epoch', async (t) => {
    const store = createTestStore();
    store.apply('nodes.register', [{ ...facts, epoch: 1 }]);
    t.equal(status(store), 'up');
    store.apply('nodes.mark', [{ name: 'n1', epoch: 1, status: 'down' }]);
    t.equal(status(store), 'down');
    store.apply('nodes.register', [{ ...facts, epoch: 1 }]);
    t.equal(status(store), 'down', 'the same process stays down until it is marked up');
    store.apply('nodes.register', [{ ...facts, epoch: 2 }]);
    t.equal(status(store), 'up');
    t.same(await store.query('nodes.list', []), [await store.query('nodes.get', ['n1'])]);
  });

  t.test('ignore news of an earlier epoch', async (t) => {
    const store = createTestStore();
    store.apply('nodes.register', [{ ...facts, epoch: 7 }]);
    store.apply('nodes.mark', [{ name: 'n1', epoch: 6, status: 'down' }]);
    store.apply('nodes.register', [{ ...facts, epoch: 6, port: 1 }]);
    t.match(store.get(NODES, ['n1']), { epoch: 7, status: 'up', port: 7001 });
  });

  t.test('that nobody registered cannot be marked', async (t) => {
    const store = createTestStore();
    const mark = { name: 'n1', epoch: 1, status: 'down' };
    t.match(store.refusal('nodes.mark', [mark]), { code: 'NODE_NOT_FOUND' });
    t.match(store.refusal('nodes.mark', [{ ...mark, status: 'odd' }]), { code: 'BAD_ARGUMENT' });
  });

  t.test('count their flaps, and are forgiven after a long time up', async (t) => {
    const store = createTestStore();
    let nowMs = 1_000;
    const mark = (to: string, laterMs: number) => {
      nowMs += laterMs;
      store.apply('nodes.mark', [{ name: 'n1', epoch: 1, status: to }], { nowMs });
      return (store.get(NODES, ['n1']) as NodeRow).flaps;
    };
    store.apply('nodes.register', [{ ...facts, epoch: 1 }], { nowMs });
    t.same([mark('down', 5), mark('up', 5), mark('down', 5), mark('up', 5)], [1, 1, 2, 2]);
    t.equal(mark('down', 11 * 60_000), 1);
  });

  t.test('stay in drain over a restart', async (t) => {
    const store = createTestStore();
    store.apply('nodes.register', [{ ...facts, epoch: 1 }]);
    store.apply('nodes.mark', [{ name: 'n1', epoch: 1, status: 'draining' }]);
    store.apply('nodes.register', [{ ...facts, epoch: 2 }]);
    t.equal(status(store), 'draining');
  });
});
