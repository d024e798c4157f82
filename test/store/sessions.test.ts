import t from 'tap';
import { createSilentLogger } from '../../src/base/index.js';
import { createTestStore, SESSION_WINDOW } from '../../src/store/index.js';
import { Executor } from '../../src/store/executor.js';
import { IndexSet } from '../../src/store/indexes.js';
import { Layers } from '../../src/store/layers.js';
import { ModuleRegistry } from '../../src/store/registry.js';
import { coreModule } from '../../src/store/core-module.js';
import { OUTCOMES, SESSIONS, Sessions } from '../../src/store/sessions.js';
import { emptyBase } from '../../src/store/testing.js';
import { COUNTERS, counterModule } from './counter-module.js';

t.test('a request takes effect once, however often it arrives', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  const request = { session, seq: 1 };
  t.equal(store.apply('counter.add', ['a', 5], { request }), 5);
  t.equal(store.apply('counter.add', ['a', 5], { request }), 5);
  t.equal(store.apply('counter.add', ['a', 5], { request }), 5);
  t.same(store.get(COUNTERS, ['a']), { n: 5 });
  t.end();
});

t.test('a refusal is remembered as well, with all that it said', (t) => {
  const store = createTestStore([counterModule]);
  const request = { session: store.openSession(), seq: 1 };
  const first = store.refusal('counter.refuse', ['a'], { request });
  // By now the command would succeed: the answer must still be the first one.
  const again = store.refusal('counter.add', ['a', 1], { request });
  t.same(again.toWire(), first.toWire());
  t.end();
});

t.test('a large outcome is remembered like a small one, and dropped like it', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  const text = 'x'.repeat(1_000);
  t.equal(store.apply('counter.say', [text], { request: { session, seq: 1 } }), text);
  t.equal(store.apply('counter.say', ['other'], { request: { session, seq: 1 } }), text);
  t.equal(store.rows(OUTCOMES).length, 1);
  store.apply('counter.add', ['a', 1], { request: { session, seq: 2, ackedBelow: 2 } });
  t.equal(store.rows(OUTCOMES).length, 0);
  t.end();
});

t.test('requests of one session may arrive in any order', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  for (const seq of [3, 1, 5, 2, 4, 3, 1]) {
    store.apply('counter.add', ['a', 1], { request: { session, seq } });
  }
  t.same(store.get(COUNTERS, ['a']), { n: 5 });
  t.end();
});

t.test('outcomes are dropped once the client has them, and never executed again', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  store.apply('counter.add', ['a', 1], { request: { session, seq: 1 } });
  store.apply('counter.add', ['a', 1], { request: { session, seq: 2 } });
  store.apply('counter.add', ['a', 1], { request: { session, seq: 3, ackedBelow: 3 } });
  const lateCopy = store.refusal('counter.add', ['a', 1], { request: { session, seq: 1 } });
  t.match(lateCopy, { code: 'UNKNOWN_OUTCOME', data: { reason: 'request-forgotten' } });
  t.same(store.get(COUNTERS, ['a']), { n: 3 });
  const [[, [, acked, outcomes]] = [[], [0, 0, []]]] = store.rows(SESSIONS);
  t.same([acked, outcomes.filter((part) => typeof part === 'number')], [3, [3]]);
  t.end();
});

t.test('a request a whole window behind is too old to be executed', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  const add = (seq: number) => ({ request: { session, seq } });
  store.apply('counter.add', ['a', 1], add(SESSION_WINDOW + 1));
  store.apply('counter.add', ['a', 1], add(2));
  t.match(store.refusal('counter.add', ['a', 1], add(1)), { code: 'UNKNOWN_OUTCOME' });
  t.same(store.get(COUNTERS, ['a']), { n: 2 });
  t.end();
});

t.test('a session that nobody knows executes nothing', (t) => {
  const store = createTestStore([counterModule]);
  const request = { session: 77, seq: 1 };
  t.match(store.refusal('counter.add', ['a', 1], { request }), {
    code: 'UNKNOWN_OUTCOME',
    data: { reason: 'session-evicted' },
  });
  t.equal(store.get(COUNTERS, ['a']), undefined);
  t.end();
});

t.test('nonsense in a request is refused', (t) => {
  const store = createTestStore([counterModule]);
  const session = store.openSession();
  for (const request of [
    { session, seq: 0 },
    { session, seq: 3, ackedBelow: 4 },
  ]) {
    t.match(store.refusal('counter.add', ['a', 1], { request }), { code: 'BAD_ARGUMENT' });
  }
  t.end();
});

/** An executor with room for three sessions. */
function small() {
  const registry = new ModuleRegistry([coreModule, counterModule]);
  const rows = new Layers(emptyBase);
  const build = (sessions: Sessions) =>
    new Executor({
      registry,
      rows,
      indexes: new IndexSet(registry),
      sessions,
      log: createSilentLogger(),
    });
  const run = (sessions: Sessions, index: number, requests: [number, number][]) => {
    const commands = requests.map(([session, seq]) =>
      session === 0
        ? { session, seq, ackedBelow: 0, name: 'store.register', args: [] }
        : { session, seq, ackedBelow: 0, name: 'counter.add', args: ['a', 1] },
    );
    const context = { index, term: 1, nowMs: index };
    const outcomes = build(sessions).executeEntry(commands, context, []);
    sessions.flush();
    return outcomes.map((outcome) => (outcome.ok ? 'done' : outcome.error.code));
  };
  return { rows, run };
}

t.test('the session used least recently, by the log, is evicted first', async (t) => {
  const { rows, run } = small();
  const sessions = new Sessions(rows, 3);
  for (const index of [1, 2, 3]) run(sessions, index, [[0, 0]]);
  run(sessions, 4, [[1, 1]]);
  run(sessions, 5, [[0, 0]]);
  t.same(run(sessions, 6, [[2, 1]]), ['UNKNOWN_OUTCOME'], '2 was the oldest');
  t.same(run(sessions, 7, [[1, 1]]), ['done']);
  t.equal(sessions.count, 3);
});

t.test('a replica that restarted evicts the same sessions as one that did not', async (t) => {
  const { rows, run } = small();
  const sessions = new Sessions(rows, 3);
  for (const index of [1, 2, 3]) run(sessions, index, [[0, 0]]);
  // One entry touches two sessions, in an order that is not that of their ids.
  run(sessions, 4, [
    [3, 1],
    [2, 1],
  ]);
  run(sessions, 5, [[1, 1]]);
  const written = rows.written();
  const reloaded = await Sessions.load(rows, 3);
  run(sessions, 6, [[0, 0]]);
  const survivor = rows.written();
  // The other replica, from the same rows.
  for (const [key] of survivor) rows.set(key, undefined);
  for (const [key, bytes] of written) rows.set(key, bytes);
  run(reloaded, 6, [[0, 0]]);
  const present = (list: typeof survivor) =>
    list.filter(([, bytes]) => bytes !== undefined).map(([key, bytes]) => [key, String(bytes)]);
  t.same(present(rows.written()), present(survivor));
});

t.test('a registration that shares its entry is refused: its index would not be unique', (t) => {
  const { rows, run } = small();
  const sessions = new Sessions(rows, 3);
  t.same(
    run(sessions, 1, [
      [0, 0],
      [0, 0],
    ]),
    ['BAD_ARGUMENT', 'BAD_ARGUMENT'],
  );
  t.equal(sessions.count, 0);
  t.end();
});
