/** The same calls over real sockets: what only the machine's network can show. */
import { once } from 'node:events';
import { Socket } from 'node:net';
import t from 'tap';
import { createMemoryLogger, createRealClock, nodeId } from '../../src/base/index.js';
import { createRealNetwork, createRpc, type RpcServer } from '../../src/net/index.js';

const HOST = '127.0.0.1';
const N2 = nodeId('n2');
const GUARD = { timeoutMs: 60_000 };
const MIB = 2 ** 20;

function process(name: string): RpcServer {
  const clock = createRealClock();
  return createRpc({
    self: { name, kind: 'node', bootEpoch: 1 },
    cluster: 'test',
    fingerprint: 'f',
    network: createRealNetwork(),
    clock,
    logger: createMemoryLogger(clock),
  });
}

async function pair(): Promise<{ a: RpcServer; b: RpcServer; port: number }> {
  const [a, b] = [process('n1'), process('n2')];
  const port = await b.listen(HOST, 0);
  a.setAddress(N2, { host: HOST, port });
  b.handle('echo', (args) => ({ value: args }));
  return { a, b, port };
}

async function close(...all: RpcServer[]): Promise<void> {
  await Promise.all(all.map((rpc) => rpc.close()));
}

t.test('neither end of a connection holds small pieces back for company', async (t) => {
  const told: (boolean | undefined)[] = [];
  const { setNoDelay } = Socket.prototype;
  t.teardown(() => {
    Socket.prototype.setNoDelay = setNoDelay;
  });
  Socket.prototype.setNoDelay = function (isOn) {
    if (!this.connecting) told.push(isOn);
    return setNoDelay.call(this, isOn);
  };
  const { a, b } = await pair();
  await a.call(N2, 'echo', [], GUARD);
  t.same(told, [true, true]);
  await close(a, b);
});

t.test('thousands of calls at once are answered, each with its own', async (t) => {
  const { a, b } = await pair();
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, n) => a.call(N2, 'echo', [n, 'x'.repeat(n)], GUARD)),
  );
  const wrong = answers.filter(({ value }, n) => (value as unknown[])[0] !== n);
  t.same(wrong, []);
  await close(a, b);
});

t.test('a file’s worth of bytes goes both ways while memory stays within the window', async (t) => {
  const { a, b } = await pair();
  b.handle('pipe', (_, body) => ({ value: null, body }));
  const piece = new Uint8Array(MIB).fill(7);
  let ahead = 0;
  let mostAhead = 0;
  const source = async function* () {
    for (let n = 0; n < 48; n++) {
      ahead += MIB;
      mostAhead = Math.max(mostAhead, ahead);
      yield piece;
    }
  };
  const { body } = await a.call(N2, 'pipe', [], { ...GUARD, lane: 'bulk', body: source() });
  let length = 0;
  for await (const bytes of body) {
    length += bytes.length;
    ahead -= bytes.length;
  }
  t.equal(length, 48 * MIB);
  // Two windows of 4 MiB, the sockets' own buffers and a few pieces in hand.
  t.ok(mostAhead <= 24 * MIB, `${mostAhead / MIB} MiB were under way at most`);
  await close(a, b);
});

t.test('noise on the port is closed, and honest calls go on', async (t) => {
  const { a, b, port } = await pair();
  for (const noise of ['GET / HTTP/1.1\r\n\r\n', '\u0000\u0000\u0000\u0005\u0011....', '{}']) {
    const socket = new Socket();
    socket.on('error', () => undefined);
    socket.connect(port, HOST);
    await once(socket, 'connect');
    socket.end(noise);
    socket.resume();
    await once(socket, 'close');
  }
  t.same((await a.call(N2, 'echo', [1], GUARD)).value, [1]);
  await close(a, b);
});

t.test('closing a node refuses the calls that come later', async (t) => {
  const { a, b } = await pair();
  await a.call(N2, 'echo', [1], GUARD);
  const down = new Promise<string>((resolve) => {
    a.onPeer({ down: (_, reason) => resolve(reason) });
  });
  await b.close();
  t.match(await down, /^(refused|silent)$/);
  await t.rejects(a.call(N2, 'echo', [1], { timeoutMs: 1000 }), { code: 'UNAVAILABLE' });
  await a.close();
});
