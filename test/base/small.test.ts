/** The small parts: checksums, errors, assertions, names, the gate, ordered maps, hints. */
import t from 'tap';
import {
  AssertionError,
  asIdunnoError,
  assert,
  assertNever,
  crc32c,
  createSeededRng,
  editDistance,
  ERROR_CODES,
  Gate,
  IdunnoError,
  isIdunnoError,
  must,
  nearest,
  nodeId,
} from '../../src/base/index.js';
import { OrderedMap } from '../../src/base/ordered-map.js';

t.test('crc32c gives the values of RFC 3720, also piece by piece', async (t) => {
  t.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  t.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  t.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  const text = new TextEncoder().encode('123456789');
  t.equal(crc32c(text), 0xe3069283);
  t.equal(crc32c(text.subarray(4), crc32c(text.subarray(0, 4))), 0xe3069283);
});

t.test('errors travel as code, message and data, and come back as they were', async (t) => {
  const error = new IdunnoError('NOT_LEADER', 'n2 does not lead', { leader: 'n1' });
  const back = IdunnoError.fromWire(JSON.parse(JSON.stringify(error.toWire())));
  t.same(
    [back.code, back.message, back.data],
    ['NOT_LEADER', 'n2 does not lead', { leader: 'n1' }],
  );
  t.ok(isIdunnoError(back, 'NOT_LEADER'));
  t.notOk(isIdunnoError(back, 'BUSY'));
  t.same([back.effect, back.isRetryable, back.exitCode], ['unchanged', true, 4]);
});

t.test('what is no error on the wire becomes PROTOCOL, never a crash', async (t) => {
  for (const wire of [null, 5, 'x', [], ['NO_SUCH_CODE', 'm'], ['toString'], [{}, []], [1, 2, 3]]) {
    t.equal(IdunnoError.fromWire(wire).code, 'PROTOCOL');
  }
});

t.test('whatever is thrown becomes an error of ours; bugs are INTERNAL', async (t) => {
  const own = new IdunnoError('BUSY', 'later');
  t.equal(asIdunnoError(own), own);
  t.match(asIdunnoError(new TypeError('oops')), { code: 'INTERNAL', message: 'oops' });
  t.match(asIdunnoError('text'), { code: 'INTERNAL', message: 'text' });
  t.match(asIdunnoError(undefined), { code: 'INTERNAL' });
});

t.test('an unknown outcome is never called unchanged', async (t) => {
  for (const code of ['TIMEOUT', 'UNKNOWN_OUTCOME', 'CONNECTION_LOST', 'ABORTED'] as const) {
    t.equal(ERROR_CODES[code].effect, 'unknown', code);
  }
});

t.test('assertions throw what is wrong', async (t) => {
  assert(true, 'fine');
  t.throws(() => assert(false, 'commit exceeds last index'), AssertionError);
  t.throws(() => assertNever('x' as never, 'role'), /unexpected role: "x"/);
  t.equal(must(0, 'zero'), 0);
  t.throws(() => must(undefined, 'the leader'), /the leader is missing/);
});

t.test('node names are letters, digits, dots, dashes and underscores', async (t) => {
  for (const name of ['n1', 'A', 'rack-3_b.x', 'x'.repeat(64)]) t.equal(nodeId(name), name);
  for (const name of ['', '-n', '.n', 'n 1', 'n/1', 'ñ', 'x'.repeat(65), 'n\n']) {
    t.throws(() => nodeId(name), { code: 'BAD_NAME' }, JSON.stringify(name));
  }
});

t.test('a gate lets so many in, in the order of arrival, and survives failures', async (t) => {
  const gate = new Gate(2);
  let inside = 0;
  let most = 0;
  const order: number[] = [];
  const work = (n: number) =>
    gate.run(async () => {
      order.push(n);
      most = Math.max(most, ++inside);
      await Promise.resolve();
      inside--;
      if (n % 3 === 0) throw new Error(`failed ${n}`);
      return n;
    });
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => work(n)));
  t.equal(most, 2);
  t.equal(gate.load, 0);
  t.same(
    order,
    Array.from({ length: 20 }, (_, n) => n),
  );
  t.equal(results.filter((result) => result.status === 'rejected').length, 7);
});

t.test('an ordered map agrees with a sorted list, and clones are moments', async (t) => {
  const rng = createSeededRng('ordered');
  const map = new OrderedMap();
  const model = new Map<number, number>();
  let snapshot = map.clone();
  let then: [number, number][] = [];
  const rows = (from: OrderedMap) => [...from.range({})].map(([k, v]) => [k[0], v[0]]);
  for (let i = 0; i < 2000; i++) {
    const key = rng.int(60);
    if (rng.int(3) === 0) {
      map.delete(Uint8Array.of(key));
      model.delete(key);
    } else {
      map.set(Uint8Array.of(key), Uint8Array.of(i & 255));
      model.set(key, i & 255);
    }
    if (rng.int(50) === 0) {
      snapshot = map.clone();
      then = [...model].sort(([a], [b]) => a - b);
    }
  }
  t.same(
    rows(map),
    [...model].sort(([a], [b]) => a - b),
  );
  t.same(rows(snapshot), then);
  t.equal(map.size, model.size);
});

t.test('hints are near words only', async (t) => {
  t.equal(editDistance('kitten', 'sitting'), 3);
  t.equal(editDistance('', 'abc'), 3);
  t.equal(nearest('coordinatros', ['cluster', 'coordinators', 'nodes']), 'coordinators');
  t.equal(nearest('PORT', ['port', 'host']), 'port');
  t.equal(nearest('xyzzy', ['port', 'host']), undefined);
  t.equal(nearest('x', []), undefined);
});
