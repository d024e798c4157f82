/** A client's small writes on their way: who travels with whom, and what each caller learns. */
import t from 'tap';
import { IdunnoError } from '../../src/base/index.js';
import { type Setting, SettingWrites } from '../../src/cli/setting-writes.js';

interface Request {
  readonly settings: readonly Setting[];
  resolve(index: number): void;
  reject(error: unknown): void;
}

function setUp(): { requests: Request[]; writes: SettingWrites; turn(): Promise<void> } {
  const requests: Request[] = [];
  const writes = new SettingWrites(
    (settings) =>
      new Promise((resolve, reject) => {
        requests.push({ settings, resolve, reject });
      }),
  );
  return { requests, writes, turn: () => new Promise((resolve) => setImmediate(resolve)) };
}

const sizes = (requests: readonly Request[]): number[] =>
  requests.map(({ settings }) => settings.length);

t.test('a lone write leaves at once; what comes meanwhile shares the next request', async (t) => {
  const { requests, writes, turn } = setUp();
  const first = writes.put(['a', '1']);
  await turn();
  const others = ['b', 'c', 'd'].map((key) => writes.put([key, '2']));
  await turn();
  t.same(sizes(requests), [1]);
  requests[0]?.resolve(7);
  t.equal(await first, 7);
  await turn();
  t.same(requests[1]?.settings, [
    ['b', '2'],
    ['c', '2'],
    ['d', '2'],
  ]);
  requests[1]?.resolve(8);
  t.same(await Promise.all(others), [8, 8, 8]);
});

t.test('a request takes so many writes and so many characters', async (t) => {
  const { requests, writes, turn } = setUp();
  const all = Array.from({ length: 300 }, (_, i) => writes.put([`k${i}`, 'v']));
  const large = [1, 2].map((i) => writes.put([`large${i}`, 'v'.repeat(100_000)]));
  for (let at = 0; at < 5; at += 1) {
    await turn();
    requests[at]?.resolve(at);
  }
  await Promise.all([...all, ...large]);
  t.same(sizes(requests), [128, 128, 45, 1]);
});

t.test('the refusal of one write is that of nobody else', async (t) => {
  const { requests, writes, turn } = setUp();
  void writes.put(['first', '']);
  await turn();
  const good = writes.put(['good', '']);
  const bad = t.rejects(writes.put(['bad', '']), { code: 'BAD_ARGUMENT' });
  requests[0]?.resolve(1);
  await turn();
  requests[1]?.reject(new IdunnoError('BAD_ARGUMENT', 'one of them'));
  await turn();
  t.same(sizes(requests), [1, 2, 1, 1]);
  requests[2]?.resolve(5);
  requests[3]?.reject(new IdunnoError('BAD_ARGUMENT', 'this one'));
  t.equal(await good, 5);
  await bad;
});

t.test('an unknown outcome is everybody’s, and nothing is sent again', async (t) => {
  const { requests, writes, turn } = setUp();
  void writes.put(['first', '']);
  await turn();
  const rejected = ['a', 'b'].map((key) =>
    t.rejects(writes.put([key, '']), { code: 'UNKNOWN_OUTCOME' }),
  );
  requests[0]?.resolve(1);
  await turn();
  requests[1]?.reject(new IdunnoError('UNKNOWN_OUTCOME', 'no answer'));
  await Promise.all(rejected);
  t.equal(requests.length, 2);
});
