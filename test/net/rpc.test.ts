/** Calls and notices between processes, on a network in memory under virtual time. */
import t from 'tap';
import { IdunnoError, isIdunnoError, nodeId } from '../../src/base/index.js';
import type { Wire } from '../../src/net/index.js';
import { type Process, World } from './world.js';

const N1 = nodeId('n1');
const N2 = nodeId('n2');
const SECOND = { timeoutMs: 1000 };

async function pair(seed = 1): Promise<{ world: World; a: Process; b: Process }> {
  const world = new World(seed);
  return { world, a: await world.start('n1'), b: await world.start('n2') };
}

t.test('a call brings arguments there and the answer back, in both directions', async (t) => {
  const { world, a, b } = await pair();
  for (const { rpc } of [a, b])
    rpc.handle('echo', (args, _, context) => ({ value: [...args, context.peer.name] }));
  const args: Wire[] = [1, -5, 2 ** 40, 'ü', null, true, [1, [2]], { k: 'v' }, Uint8Array.of(1, 2)];
  const there = await world.until(a.rpc.call(N2, 'echo', args, SECOND));
  t.same(there.value, [...args, 'n1']);
  const back = await world.until(b.rpc.call(N1, 'echo', ['x'], SECOND));
  t.same(back.value, ['x', 'n2']);
  t.equal(a.rpc.counters.connected, 1, 'both use one connection');
});

t.test('many calls at once each get their own answer', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('double', async ([n]) => {
    await world.clock.sleep(Number(n) % 7);
    return { value: Number(n) * 2 };
  });
  const calls = Array.from({ length: 300 }, (_, n) => a.rpc.call(N2, 'double', [n], SECOND));
  const answers = await world.until(Promise.all(calls));
  t.same(
    answers.map(({ value }) => value),
    calls.map((_, n) => n * 2),
  );
});

t.test('draining answers what clients have asked, and sends them elsewhere', async (t) => {
  const { world, a, b } = await pair();
  const client = world.create('cli', { kind: 'client' });
  b.rpc.handle('slow', async (args) => {
    await world.clock.sleep(50);
    return { value: args };
  });
  const ask = (text: string) => client.rpc.call(world.address('n2'), 'slow', [text], SECOND);
  await world.until(ask('connects'));
  const open = ask('before');
  await world.until(a.rpc.call(N2, 'slow', [], SECOND));
  const drained = b.rpc.drain(1000);
  await world.pass(5);
  t.match(await world.failure(ask('after')), { code: 'UNAVAILABLE', data: { reason: 'refused' } });
  t.same((await world.until(open)).value, ['before']);
  await world.until(drained);
  t.ok(world.clock.now() < 1000, 'it has waited for the answer, not for its time');
  t.same((await world.until(a.rpc.call(N2, 'slow', ['node'], SECOND))).value, ['node']);
});

t.test('draining waits no longer than it may', async (t) => {
  const { world, b } = await pair();
  const client = world.create('cli', { kind: 'client' });
  b.rpc.handle('never', () => new Promise(() => undefined));
  const open = client.rpc.call(world.address('n2'), 'never', [], { timeoutMs: 60_000 });
  open.catch(() => undefined);
  await world.pass(10);
  const since = world.clock.now();
  await world.until(b.rpc.drain(300));
  t.equal(Math.round(world.clock.now() - since), 300);
  await world.until(b.rpc.close());
  await t.rejects(open, { code: 'CONNECTION_LOST' });
});

t.test('a refusal keeps its code, text and data', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('refuse', () => {
    throw new IdunnoError('NOT_LEADER', 'n2 does not lead', { leader: 'n3' });
  });
  const error = await world.failure(a.rpc.call(N2, 'refuse', [], SECOND));
  t.ok(isIdunnoError(error, 'NOT_LEADER'));
  t.match(error, { message: 'n2 does not lead', data: { leader: 'n3' } });
});

t.test('anything else a handler throws is INTERNAL, and logged where it happened', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('sync', () => {
    throw new TypeError('oops');
  });
  b.rpc.handle('async', () => Promise.reject(new TypeError('oops')));
  for (const method of ['sync', 'async']) {
    const error = await world.failure(a.rpc.call(N2, method, [], SECOND));
    t.match(error, { code: 'INTERNAL', message: 'oops' });
  }
  t.same(
    b.logger.lines.map((line) => line.event),
    ['rpc.handler-failed', 'rpc.handler-failed'],
  );
});

t.test('an unknown method is refused by name', async (t) => {
  const { world, a } = await pair();
  t.match(await world.failure(a.rpc.call(N2, 'no.such', [], SECOND)), { code: 'NO_SUCH_METHOD' });
});

t.test('a call past its deadline ends with TIMEOUT on both sides', async (t) => {
  const { world, a, b } = await pair();
  let reason: unknown;
  b.rpc.handle('hang', (_, __, context) => {
    context.signal.addEventListener('abort', () => {
      reason = context.signal.reason;
    });
    return new Promise(() => undefined);
  });
  const start = world.clock.now();
  const error = await world.failure(a.rpc.call(N2, 'hang', [], { timeoutMs: 200 }));
  t.match(error, { code: 'TIMEOUT', message: /hang to n2 was not answered within \d+ ms/ });
  t.ok(world.clock.now() - start < 210);
  await world.pass(10);
  t.ok(isIdunnoError(reason), 'the handler is told to stop');
});

t.test('an aborted call ends at once and aborts the handler', async (t) => {
  const { world, a, b } = await pair();
  let isAborted = false;
  b.rpc.handle('hang', (_, __, { signal }) => {
    signal.addEventListener('abort', () => {
      isAborted = true;
    });
    return new Promise(() => undefined);
  });
  const controller = new AbortController();
  const call = a.rpc.call(N2, 'hang', [], { timeoutMs: 60_000, signal: controller.signal });
  world.clock.setTimer(50, () => controller.abort());
  t.match(await world.failure(call), { code: 'ABORTED' });
  await world.pass(5);
  t.ok(isAborted);
  const late = a.rpc.call(N2, 'hang', [], { timeoutMs: 1000, signal: controller.signal });
  t.match(await world.failure(late), { code: 'ABORTED' }, 'aborted before it began');
});

t.test('a call that nobody can take is UNAVAILABLE: nothing was sent', async (t) => {
  const world = new World();
  const a = await world.start('n1');
  const refused = await world.failure(a.rpc.call(N2, 'echo', [], SECOND));
  t.match(refused, { code: 'UNAVAILABLE', data: { reason: 'refused' } });
  const unknown = await world.failure(a.rpc.call(nodeId('n9'), 'echo', [], SECOND));
  t.match(unknown, { code: 'UNAVAILABLE', message: /its address is not known/ });
  await world.start('n2');
  world.network.cut('n1', 'n2');
  await world.pass(50);
  const silent = await world.failure(a.rpc.call(N2, 'echo', [], { timeoutMs: 300 }));
  t.match(silent, { code: 'UNAVAILABLE', data: { reason: 'timeout' } });
});

t.test(
  'calls whose connection is lost are CONNECTION_LOST: they may have taken effect',
  async (t) => {
    const { world, a, b } = await pair();
    b.rpc.handle('hang', () => new Promise(() => undefined));
    const call = a.rpc.call(N2, 'hang', [], { timeoutMs: 60_000 });
    await world.pass(5);
    world.network.crash('n2');
    t.match(await world.failure(call), { code: 'CONNECTION_LOST', effect: 'unknown' });
  },
);

t.test(
  'a connection on which a call got no answer is probed, and dropped when it is dead',
  async (t) => {
    const { world, a, b } = await pair();
    b.rpc.handle('echo', (args) => ({ value: args }));
    await world.until(a.rpc.call(N2, 'echo', [], SECOND));
    world.network.crash('n2', true);
    await world.failure(a.rpc.call(N2, 'echo', [], { timeoutMs: 100 }));
    await world.pass(2500);
    t.same(a.rpc.counters.closed, { silent: 1 });
  },
);

t.test(
  'more calls than a peer may have open are refused as BUSY, with a hint when to retry',
  async (t) => {
    const { world, a, b } = await pair();
    b.rpc.handle('hang', () => new Promise(() => undefined));
    const outcomes: string[] = [];
    for (let i = 0; i < 1030; i++) {
      a.rpc.call(N2, 'hang', [], { timeoutMs: 500 }).catch((error: IdunnoError) => {
        outcomes.push(`${error.code} ${error.data['retryAfterMs'] ?? ''}`);
      });
    }
    await world.pass(100);
    t.same(
      outcomes,
      Array.from({ length: 6 }, () => 'BUSY 50'),
    );
    await world.pass(1000);
    t.equal(outcomes.length, 1030, 'every call settles');
  },
);

t.test('notices arrive in order, without an answer', async (t) => {
  const { world, a, b } = await pair();
  const seen: Wire[] = [];
  b.rpc.handleNotice('note', ([n], body, peer) => {
    seen.push([n ?? null, body.length, peer.name]);
  });
  b.rpc.handle('echo', (args) => ({ value: args }));
  a.rpc.notify(N2, 'note', [0]);
  t.equal(a.rpc.counters.noticesDropped, 1, 'dropped while there is no connection');
  await world.until(a.rpc.call(N2, 'echo', [], SECOND));
  for (let n = 1; n <= 50; n++) a.rpc.notify(N2, 'note', [n], new Uint8Array(n));
  await world.pass(5);
  t.same(
    seen,
    Array.from({ length: 50 }, (_, i) => [i + 1, i + 1, 'n1']),
  );
});

t.test('notices to a peer that does not read are dropped, not heaped up', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('echo', (args) => ({ value: args }));
  b.rpc.handleNotice('note', () => undefined);
  await world.until(a.rpc.call(N2, 'echo', [], SECOND));
  world.network.pause('n2');
  for (let n = 0; n < 100; n++) a.rpc.notify(N2, 'note', [n], new Uint8Array(256 * 1024));
  t.ok(a.rpc.counters.noticesDropped >= 60, `dropped ${a.rpc.counters.noticesDropped}`);
  t.match(await world.failure(a.rpc.call(N2, 'echo', [], SECOND)), { code: 'BUSY' });
});

t.test('a handler of notices that throws is logged and harms nobody', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handleNotice('bad', () => {
    throw new Error('oops');
  });
  b.rpc.handle('echo', (args) => ({ value: args }));
  await world.until(a.rpc.call(N2, 'echo', [], SECOND));
  a.rpc.notify(N2, 'bad', []);
  await world.until(a.rpc.call(N2, 'echo', [], SECOND));
  t.same(
    b.logger.lines.map((line) => line.event),
    ['rpc.notice-failed'],
  );
});

t.test('what is too long for a frame is refused before it is sent', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('echo', (args) => ({ value: args }));
  b.rpc.handle('huge', () => ({ value: new Uint8Array(9 * 2 ** 20) }));
  const huge = a.rpc.call(N2, 'echo', [new Uint8Array(9 * 2 ** 20)], SECOND);
  t.match(await world.failure(huge), { code: 'BAD_ARGUMENT' });
  t.match(await world.failure(a.rpc.call(N2, 'huge', [], SECOND)), { code: 'BAD_ARGUMENT' });
  t.same((await world.until(a.rpc.call(N2, 'echo', [1], SECOND))).value, [1], 'the link goes on');
});

t.test('a node calls itself through the codec, with deadline and refusals', async (t) => {
  const { world, a } = await pair();
  const given = { list: [1, 2] };
  a.rpc.handle('keep', ([value]) => {
    t.not(value, given, 'nothing is shared');
    return { value: value ?? null, body: Uint8Array.of(7) };
  });
  a.rpc.handle('hang', () => new Promise(() => undefined));
  a.rpc.handle('refuse', () => {
    throw new IdunnoError('BUSY', 'later');
  });
  const { value, body } = await world.until(a.rpc.call(N1, 'keep', [given], SECOND));
  t.same(value, given);
  for await (const bytes of body) t.same(bytes, Uint8Array.of(7));
  t.match(await world.failure(a.rpc.call(N1, 'hang', [], SECOND)), { code: 'TIMEOUT' });
  t.match(await world.failure(a.rpc.call(N1, 'refuse', [], SECOND)), { code: 'BUSY' });
  t.match(await world.failure(a.rpc.call(N1, 'no', [], SECOND)), { code: 'NO_SUCH_METHOD' });
  const notes: Wire[] = [];
  a.rpc.handleNotice('note', (args) => notes.push(args));
  a.rpc.notify(N1, 'note', [1]);
  await world.pass(0);
  t.same(notes, [[1]]);
});

t.test('a client calls by address and is no member', async (t) => {
  const { world, a } = await pair();
  a.rpc.handle('who', (_, __, { peer }) => ({ value: [peer.kind, peer.name] }));
  const client = world.create('cli', { kind: 'client' });
  const answer = await world.until(client.rpc.call(world.address('n1'), 'who', [], SECOND));
  t.same(answer.value, ['client', 'cli']);
  await world.until(client.rpc.call(N1, 'who', [], SECOND));
  t.same(a.events, [], 'clients are no peers');
  const nobody = client.rpc.call(world.address('n3'), 'who', [], SECOND);
  t.match(await world.failure(nobody), { code: 'UNAVAILABLE', message: /is the node running/ });
});

t.test(
  'calls to a frozen address end at their own deadline or signal, long ones early',
  async (t) => {
    const { world, a } = await pair();
    a.rpc.handle('who', () => ({ value: 'n1' }));
    const client = world.create('cli', { kind: 'client' });
    world.network.pause('n1');
    const began = world.clock.now();
    const ended: string[] = [];
    const ask = (name: string, timeoutMs: number, signal?: AbortSignal): Promise<void> =>
      client.rpc
        .call(world.address('n1'), 'who', [], {
          timeoutMs,
          ...(signal === undefined ? {} : { signal }),
        })
        .then(
          () => void ended.push(name),
          ({ code }: { code: string }) =>
            void ended.push(`${name} ${code} ${world.clock.now() - began}`),
        );
    const abort = new AbortController();
    const all = [ask('upload', 1_800_000), ask('brief', 400), ask('left', 9_000, abort.signal)];
    world.clock.setTimer(700, () => abort.abort());
    await world.until(Promise.all(all));
    t.match(ended, ['brief UNAVAILABLE 400', 'left ABORTED 700', /^upload UNAVAILABLE 300\d/]);
    world.network.resume('n1');
    await world.until(ask('again', 1_000));
    t.equal(ended.at(-1), 'again');
  },
);

t.test('closing fails what is open, tells the peers, and settles', async (t) => {
  const { world, a, b } = await pair();
  b.rpc.handle('hang', () => new Promise(() => undefined));
  const call = a.rpc.call(N2, 'hang', [], { timeoutMs: 60_000 });
  await world.pass(5);
  const failure = call.catch((error: unknown) => error);
  await world.until(b.rpc.close());
  t.match(await world.until(failure), { code: 'CONNECTION_LOST' });
  await world.until(b.rpc.close());
  t.match(await world.failure(b.rpc.call(N1, 'x', [], SECOND)), { code: 'UNAVAILABLE' });
  await world.until(a.rpc.close());
  t.equal(a.rpc.counters.connected, 1);
});
