/**
 * One call to many nodes: who is tried, when, and how it ends. Virtual time, and a network that is
 * a function per node.
 */
import t from 'tap';
import { IdunnoError, isIdunnoError, settle, VirtualClock } from '../../src/base/index.js';
import { ApiTransport, type TransportCall } from '../../src/cli/api-transport.js';
import type { CallResult, Rpc, Wire } from '../../src/net/index.js';

type Behaviour = (signal: AbortSignal | undefined) => Promise<Wire>;

const PORTS = { n1: 1, n2: 2, n3: 3 } as const;
type Name = keyof typeof PORTS;

const silent: Behaviour = () => new Promise(() => {});
const refused: Behaviour = async () => {
  throw new IdunnoError('CONNECTION_LOST', 'refused', { reason: 'refused' });
};
const lost: Behaviour = async () => {
  throw new IdunnoError('CONNECTION_LOST', 'the connection was lost', { reason: 'closed' });
};
const answers =
  (value: Wire): Behaviour =>
  async () =>
    value;

function failing(code: 'NO_LEADER' | 'JOB_NOT_FOUND' | 'BUSY'): Behaviour {
  return async () => {
    throw new IdunnoError(code, `says ${code}`);
  };
}

async function* noBody(): AsyncGenerator<Uint8Array> {}

function world(nodes: Record<Name, Behaviour>, preferred?: Name) {
  const clock = new VirtualClock();
  const tried: string[] = [];
  const signals: AbortSignal[] = [];
  const call: Rpc['call'] = async (to, _method, _args, options): Promise<CallResult> => {
    const port = typeof to === 'string' ? 0 : to.port;
    const name = (Object.keys(PORTS) as Name[]).find((key) => PORTS[key] === port) ?? 'n1';
    tried.push(`${name}@${clock.now()}`);
    if (options.signal !== undefined) signals.push(options.signal);
    return { value: await nodes[name](options.signal), body: noBody() };
  };
  const transport = new ApiTransport(
    {
      nodes: Object.entries(PORTS).map(([name, port]) => ({ name, host: 'h', port })),
      preferred,
      timeoutMs: 1_000,
      silenceMs: 200,
      nobodyThereMs: 2_000,
    },
    { rpc: { call, close: async () => {} }, clock },
  );
  const ask = (part: Partial<TransportCall> = {}) => {
    const outcome = transport.call({ method: 'api.x', args: [], kind: 'read', ...part });
    outcome.catch(() => {});
    return outcome;
  };
  return { clock, tried, signals, transport, ask, nodes };
}

/** Nodes that are asked two things: to take a body, and whether they are there. */
function uploadWorld(nodes: Record<Name, Behaviour>, isThere = false) {
  const clock = new VirtualClock();
  const tried: string[] = [];
  const call: Rpc['call'] = async (to, method, _args, { signal, timeoutMs }) => {
    const port = typeof to === 'string' ? 0 : to.port;
    const name = (Object.keys(PORTS) as Name[]).find((key) => PORTS[key] === port) ?? 'n1';
    tried.push(`${name} ${method}`);
    if (method === 'api.put') return { value: await nodes[name](signal), body: noBody() };
    if (!isThere) {
      await clock.sleep(timeoutMs);
      throw new IdunnoError('UNAVAILABLE', 'no connection', { reason: 'timeout' });
    }
    return { value: null, body: noBody() };
  };
  const transport = new ApiTransport(
    {
      nodes: Object.entries(PORTS).map(([name, port]) => ({ name, host: 'h', port })),
      preferred: undefined,
      timeoutMs: 1_000,
      silenceMs: 200,
      nobodyThereMs: 2_000,
    },
    { rpc: { call, close: async () => {} }, clock },
  );
  return { clock, tried, transport };
}

async function codeOf(outcome: Promise<unknown>): Promise<string> {
  try {
    await outcome;
    return 'answered';
  } catch (error) {
    return isIdunnoError(error) ? error.code : String(error);
  }
}

t.test('a refused connection sends the call to the next node at once', async (t) => {
  const { ask, tried, clock } = world({ n1: refused, n2: answers(7), n3: silent });
  const answer = await ask({ kind: 'repeatable' });
  t.equal(answer.value, 7);
  t.same(tried, ['n1@0', 'n2@0']);
  t.equal(clock.pending, 0, 'no timer is left behind');
});

t.test('a silent node gets company after 200 ms, and the first answer counts', async (t) => {
  const { ask, tried, clock, signals } = world({ n1: silent, n2: answers('b'), n3: silent });
  const outcome = ask({ kind: 'repeatable' });
  await clock.advanceSettled(199);
  t.same(tried, ['n1@0']);
  await clock.advanceSettled(1);
  t.same(tried, ['n1@0', 'n2@200']);
  t.equal((await outcome).value, 'b');
  t.equal(signals[0]?.aborted, true, 'the slow attempt is given up');
});

t.test('the node that answered last is asked first the next time', async (t) => {
  const { ask, tried } = world({ n1: refused, n2: answers(1), n3: answers(1) });
  await ask();
  await ask();
  t.same(tried, ['n1@0', 'n2@0', 'n2@0']);
});

t.test('a preferred node stays the first, whoever answers', async (t) => {
  const { ask, tried, nodes, clock } = world({ n1: answers(1), n2: answers(1), n3: refused }, 'n3');
  await ask();
  nodes.n3 = answers(3);
  t.equal((await ask()).value, 1, 'shunned for a moment after a failure');
  await clock.advanceSettled(1_000);
  t.equal((await ask()).value, 3);
  t.same(tried, ['n3@0', 'n1@0', 'n1@0', 'n3@1000']);
});

t.test('a refusal is final: nobody else is asked', async (t) => {
  const { ask, tried } = world({ n1: failing('JOB_NOT_FOUND'), n2: answers(1), n3: answers(1) });
  t.equal(await codeOf(ask()), 'JOB_NOT_FOUND');
  t.same(tried, ['n1@0']);
});

t.test(
  'while there is no leader the nodes are asked round and round until the deadline',
  async (t) => {
    const no = failing('NO_LEADER');
    const { ask, tried, clock } = world({ n1: no, n2: no, n3: no });
    const outcome = ask({ kind: 'repeatable' });
    await clock.advanceSettled(1_000);
    t.equal(await codeOf(outcome), 'UNAVAILABLE');
    t.ok(tried.length > 6 && tried.length < 40, `${tried.length} attempts`);
  },
);

t.test('a leader that appears meanwhile is found', async (t) => {
  const { ask, clock, nodes } = world({ n1: failing('NO_LEADER'), n2: silent, n3: silent });
  nodes.n2 = failing('NO_LEADER');
  nodes.n3 = failing('NO_LEADER');
  const outcome = ask({ kind: 'repeatable' });
  await clock.advanceSettled(50);
  nodes.n2 = answers('done');
  await clock.advanceSettled(300);
  t.equal((await outcome).value, 'done');
});

t.test('a write without any answer has an unknown outcome, a read is unavailable', async (t) => {
  for (const [kind, code] of [
    ['repeatable', 'UNKNOWN_OUTCOME'],
    ['once', 'UNKNOWN_OUTCOME'],
    ['read', 'UNAVAILABLE'],
  ] as const) {
    const { ask, clock } = world({ n1: silent, n2: silent, n3: silent });
    const outcome = ask({ kind });
    await clock.advanceSettled(1_000);
    t.equal(await codeOf(outcome), code, kind);
  }
});

t.test('a write that reached nobody is unavailable: nothing can have happened', async (t) => {
  const { ask, clock } = world({ n1: refused, n2: refused, n3: refused });
  const outcome = ask({ kind: 'repeatable' });
  await clock.advanceSettled(1_000);
  t.equal(await codeOf(outcome), 'UNAVAILABLE');
});

t.test('a call that must not be sent twice moves on after a refusal to connect only', async (t) => {
  const first = world({ n1: refused, n2: answers(2), n3: silent });
  t.equal((await first.ask({ kind: 'once' })).value, 2);
  const second = world({ n1: lost, n2: answers(2), n3: silent });
  t.equal(await codeOf(second.ask({ kind: 'once' })), 'CONNECTION_LOST');
  t.same(second.tried, ['n1@0']);
});

t.test('a call with a body is never sent to two nodes at a time', async (t) => {
  const { ask, tried, clock } = world({ n1: silent, n2: answers(1), n3: answers(1) });
  const outcome = ask({ kind: 'repeatable', body: () => new Uint8Array(1) });
  await clock.advanceSettled(900);
  t.same(tried, ['n1@0']);
  await clock.advanceSettled(100);
  t.equal(await codeOf(outcome), 'UNKNOWN_OUTCOME');
});

t.test('a frozen node that takes a body is left for another one', async (t) => {
  const frozen: Behaviour = (signal) =>
    new Promise((_, reject) => {
      const late = () => reject(new IdunnoError('TIMEOUT', 'nothing came'));
      signal?.addEventListener('abort', late);
    });
  const { transport, tried, clock } = uploadWorld({ n1: frozen, n2: answers('put'), n3: silent });
  const call = { method: 'api.put', args: [], timeoutMs: 60_000, kind: 'repeatable' } as const;
  const put = { ...call, body: () => new Uint8Array(1), probe: 'api.self' };
  const outcome = transport.call(put);
  await clock.advanceSettled(2_499);
  t.same(tried, ['n1 api.put', 'n1 api.self']);
  await clock.advanceSettled(1);
  t.equal((await outcome).value, 'put');
  t.same(tried, ['n1 api.put', 'n1 api.self', 'n2 api.put']);
  t.equal(clock.pending, 0, 'no timer is left behind');
});

t.test('a node that is at work on a body for long, and says so, is waited for', async (t) => {
  let finish: () => void = () => undefined;
  const slow: Behaviour = () => new Promise((resolve) => (finish = () => resolve('put')));
  const { transport, tried, clock } = uploadWorld({ n1: slow, n2: silent, n3: silent }, true);
  const call = { method: 'api.put', args: [], timeoutMs: 60_000, kind: 'repeatable' } as const;
  const outcome = transport.call({ ...call, body: () => new Uint8Array(1), probe: 'api.self' });
  for (let i = 0; i < 20; i += 1) await clock.advanceSettled(1_000);
  finish();
  t.equal((await outcome).value, 'put');
  t.ok(tried.every((each) => each.startsWith('n1 ')));
  t.equal(clock.pending, 0);
});

t.test('a call for one node asks nobody else, and an unknown name is not found', async (t) => {
  const { ask, tried, clock, transport } = world({ n1: answers(1), n2: refused, n3: answers(1) });
  const outcome = ask({ only: 'n2' });
  await clock.advanceSettled(1_000);
  t.equal(await codeOf(outcome), 'UNAVAILABLE');
  t.ok(tried.every((entry) => entry.startsWith('n2@')));
  t.equal(
    await codeOf(transport.call({ method: 'x', args: [], kind: 'read', only: 'n9' })),
    'NODE_NOT_FOUND',
  );
});

t.test('an evicted session is not asked about again', async (t) => {
  const evicted: Behaviour = async () => {
    throw new IdunnoError('UNKNOWN_OUTCOME', 'evicted', { reason: 'session-evicted' });
  };
  const { ask, tried } = world({ n1: evicted, n2: answers(1), n3: answers(1) });
  t.equal(await codeOf(ask({ kind: 'repeatable' })), 'UNKNOWN_OUTCOME');
  t.equal(tried.length, 1);
});

t.test('the caller can give up; its signal ends the attempts', async (t) => {
  const { ask, signals } = world({ n1: silent, n2: silent, n3: silent });
  const abort = new AbortController();
  const outcome = ask({ signal: abort.signal });
  await settle();
  abort.abort();
  t.equal(await codeOf(outcome), 'ABORTED');
  t.equal(signals[0]?.aborted, true);
});
