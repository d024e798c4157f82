/** Bodies that are streamed with a call or its answer: order, back-pressure, ends of all kinds. */
import t from 'tap';
import { IdunnoError, nodeId } from '../../src/base/index.js';
import { readBody } from '../../src/net/index.js';
import { type Process, World } from './world.js';

const N2 = nodeId('n2');
const MIB = 2 ** 20;
const LONG = { timeoutMs: 10_000, lane: 'bulk' } as const;
const WINDOW = 4 * MIB;

async function pair(): Promise<{ world: World; a: Process; b: Process }> {
  const world = new World();
  return { world, a: await world.start('n1'), b: await world.start('n2') };
}

/** Pieces whose bytes say where they belong; counts what was taken from it. */
function source(pieces: number, bytes: number) {
  const state = { taken: 0, isReleased: false };
  const body = (async function* () {
    try {
      for (let n = 0; n < pieces; n++) {
        state.taken += bytes;
        yield new Uint8Array(bytes).fill(n);
      }
    } finally {
      state.isReleased = true;
    }
  })();
  return { state, body };
}

/** The sum of all bytes, by position, so that a swap or loss is seen. */
async function digest(body: AsyncIterable<Uint8Array>): Promise<[length: number, sum: number]> {
  let length = 0;
  let sum = 0;
  for await (const piece of body) {
    // Every 1009th byte: enough to see a piece that is missing, doubled or moved.
    const first = (1009 - (length % 1009)) % 1009;
    for (let at = first; at < piece.length; at += 1009) {
      sum = (Math.imul(sum, 31) + (piece[at] ?? 0) + length + at) >>> 0;
    }
    length += piece.length;
  }
  return [length, sum];
}

for (const bytes of [0, 1, 65_536, 65_537, 3 * MIB]) {
  t.test(`a body of ${bytes} bytes goes there and comes back whole`, async (t) => {
    const { world, a, b } = await pair();
    b.rpc.handle('echo', async (_, body) => ({ value: 1, body: await readBody(body, 4 * MIB) }));
    const sent = new Uint8Array(bytes).map((_, i) => i * 7);
    const answer = await world.until(a.rpc.call(N2, 'echo', [], { ...LONG, body: sent }));
    const received = await world.until(readBody(answer.body, 4 * MIB));
    t.equal(Buffer.compare(received, sent), 0);
  });
}

t.test('long streams in both directions at once arrive in order', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('pipe', (_, body) => ({ value: null, body }));
  const expected = await digest(source(12, MIB).body);
  const { body } = await world.until(
    a.rpc.call(N2, 'pipe', [], { ...LONG, body: source(12, MIB).body }),
  );
  t.same(await world.until(digest(body)), expected);
});

t.test('a handler that does not read holds its sender back within the window', async (t) => {
  const { world, a, b } = await pair();
  let release: () => void = () => undefined;
  b.rpc.handle('slow', async (_, body) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    return { value: (await digest(body))[0] };
  });
  const { state, body } = source(16, MIB);
  const call = a.rpc.call(N2, 'slow', [], { ...LONG, body });
  await world.pass(1000);
  t.ok(state.taken >= WINDOW && state.taken <= WINDOW + 2 * MIB, `${state.taken / MIB} MiB taken`);
  release();
  t.equal((await world.until(call)).value, 16 * MIB);
});

t.test('a caller that does not read holds the handler back, and only this stream', async (t) => {
  const { world, a, b } = await pair();
  const sources: ReturnType<typeof source>[] = [];
  b.rpc.handle('get', () => {
    const made = source(10, MIB);
    sources.push(made);
    return { value: 0, body: made.body };
  });
  const stuck = await world.until(a.rpc.call(N2, 'get', [], LONG));
  await world.pass(500);
  const quick = await world.until(a.rpc.call(N2, 'get', [], LONG));
  t.equal((await world.until(digest(quick.body)))[0], 10 * MIB);
  const taken = sources[0]?.state.taken ?? 0;
  t.ok(taken <= WINDOW + 2 * MIB, `${taken / MIB} MiB taken from the stuck one`);
  t.equal((await world.until(digest(stuck.body)))[0], 10 * MIB, 'it goes on when read');
});

t.test(
  'many streams share one budget: together they are not much further ahead than a few',
  async (t) => {
    const { world, a, b } = await pair();
    const sources: ReturnType<typeof source>[] = [];
    b.rpc.handle('get', () => {
      const made = source(3, MIB);
      sources.push(made);
      return { value: 0, body: made.body };
    });
    const answers = await world.until(
      Promise.all(Array.from({ length: 64 }, () => a.rpc.call(N2, 'get', [], LONG))),
    );
    await world.pass(1000);
    const ahead = sources.reduce((sum, { state }) => sum + state.taken, 0);
    // The budget of 64 MiB, and for each its initial window and the piece in hand.
    t.ok(ahead <= 64 * MIB + 64 * 1.25 * MIB, `${ahead / MIB} MiB ahead`);
    const lengths = await world.until(Promise.all(answers.map(({ body }) => digest(body))));
    t.ok(lengths.every(([length]) => length === 3 * MIB));
  },
);

t.test('a small call passes a transfer that is under way', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('sink', async (_, body) => ({ value: (await digest(body))[0] }));
  b.rpc.handle('echo', (args) => ({ value: args }));
  const transfer = a.rpc.call(N2, 'sink', [], { ...LONG, body: source(12, MIB).body });
  const first = await world.until(
    Promise.race([
      transfer.then(() => 'transfer'),
      a.rpc.call(N2, 'echo', [], { timeoutMs: 1000 }).then(() => 'echo'),
    ]),
  );
  t.equal(first, 'echo');
  t.equal((await world.until(transfer)).value, 12 * MIB);
});

t.test('a reader that stops early ends the call and frees the source', async (t) => {
  const { world, a, b } = await pair();
  const made = source(64, MIB);
  let isAborted = false;
  b.rpc.handle('get', (_, __, { signal }) => {
    signal.addEventListener('abort', () => {
      isAborted = true;
    });
    return { value: 0, body: made.body };
  });
  const { body } = await world.until(a.rpc.call(N2, 'get', [], LONG));
  await world.until(
    (async () => {
      for await (const _ of body) break;
    })(),
  );
  await world.pass(10);
  t.ok(made.state.isReleased);
  t.ok(isAborted);
});

t.test('an aborted call frees the source of its body', async (t) => {
  const { world, a, b } = await pair();
  let ended: unknown;
  b.rpc.handle('sink', async (_, body) => {
    try {
      return { value: (await digest(body))[0] };
    } catch (error) {
      ended = error;
      throw error;
    }
  });
  const made = source(10_000, 1000);
  const controller = new AbortController();
  const call = a.rpc.call(N2, 'sink', [], {
    ...LONG,
    signal: controller.signal,
    body: (async function* () {
      for await (const piece of made.body) {
        await world.clock.sleep(1);
        yield piece;
      }
    })(),
  });
  world.clock.setTimer(50, () => controller.abort());
  t.match(await world.failure(call), { code: 'ABORTED' });
  await world.pass(10);
  t.ok(made.state.isReleased);
  t.match(ended, { code: 'ABORTED' }, 'the handler learns it while reading');
});

t.test('a source that fails fails the call, on either side', async (t) => {
  const { world, a, b } = await pair();
  // biome-ignore lint/correctness/useYield: it fails before its first piece
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    throw new IdunnoError('DISK_ERROR', 'cannot read /data/x');
  };
  b.rpc.handle('sink', async (_, body) => ({ value: (await digest(body))[0] }));
  b.rpc.handle('get', () => ({ value: 0, body: broken() }));
  const sent = a.rpc.call(N2, 'sink', [], { ...LONG, body: broken() });
  t.match(await world.failure(sent), { code: 'DISK_ERROR' });
  const got = await world.until(a.rpc.call(N2, 'get', [], LONG));
  t.match(await world.failure(digest(got.body)), { code: 'DISK_ERROR' });
});

t.test(
  'a body that moves keeps its call alive beyond the timeout; one that stops does not',
  async (t) => {
    const { world, a, b } = await pair();
    b.rpc.handle('trickle', ([pieces]) => ({
      value: 0,
      body: (async function* () {
        for (let n = 0; n < Number(pieces); n++) {
          await world.clock.sleep(60);
          yield Uint8Array.of(n);
        }
        await world.clock.sleep(pieces === 5 ? 1000 : 0);
      })(),
    }));
    const limit = { timeoutMs: 100 };
    const slow = await world.until(a.rpc.call(N2, 'trickle', [20], limit));
    t.equal((await world.until(readBody(slow.body, 100))).length, 20, '1200 ms in all');
    const stuck = await world.until(a.rpc.call(N2, 'trickle', [5], limit));
    t.match(await world.failure(readBody(stuck.body, 100)), { code: 'TIMEOUT' });
  },
);

t.test('a lost connection ends both ends of a stream', async (t) => {
  const { world, a, b } = await pair();
  const made = source(1000, MIB);
  b.rpc.handle('get', () => ({ value: 0, body: made.body }));
  const { body } = await world.until(a.rpc.call(N2, 'get', [], LONG));
  const reading = world.failure(digest(body));
  world.clock.setTimer(3, () => world.network.crash('n2'));
  t.match(await reading, { code: 'CONNECTION_LOST' });
});

t.test('an answer without reading the body drops the rest of it', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('ignore', () => ({ value: 'done' }));
  const made = source(100, MIB);
  const { value } = await world.until(a.rpc.call(N2, 'ignore', [], { ...LONG, body: made.body }));
  t.equal(value, 'done');
  await world.pass(10);
  t.ok(made.state.isReleased);
  t.ok(made.state.taken < 10 * MIB);
});

t.test('more bodies than a peer may have open are BUSY', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('hold', () => new Promise(() => undefined));
  const never = () => ({
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }),
  });
  const codes: string[] = [];
  for (let n = 0; n < 260; n++) {
    a.rpc
      .call(N2, 'hold', [], { timeoutMs: 500, body: never() })
      .catch((error: IdunnoError) => codes.push(error.code));
  }
  await world.pass(100);
  t.same(codes, ['BUSY', 'BUSY', 'BUSY', 'BUSY']);
  await world.pass(1000);
  t.equal(codes.length, 260, 'every call settles');
});
