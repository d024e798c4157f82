/** What every Network promises, asked of the machine's and of the one in memory. */
import t from 'tap';
import {
  type Connection,
  createSeededRng,
  isIdunnoError,
  type Listener,
  type Network,
  VirtualClock,
} from '../../src/base/index.js';
import { createRealNetwork, MemoryNetwork } from '../../src/net/index.js';

interface Subject {
  /** Two nodes' views of one world. */
  readonly a: Network;
  readonly b: Network;
  until<T>(promise: Promise<T>): Promise<T>;
}

const HOST = '127.0.0.1';
const MIB = 2 ** 20;

const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  'the real network': () => {
    const network = createRealNetwork();
    return { a: network, b: network, until: (promise) => promise };
  },
  'the memory network': () => {
    const clock = new VirtualClock();
    const world = new MemoryNetwork({ clock, rng: createSeededRng(1) });
    const until = <T>(promise: Promise<T>) => clock.runUntil(promise);
    return { a: world.node('a'), b: world.node('b'), until };
  },
};

/** A connection from a to a listener of b, both ends. */
async function connected(subject: Subject): Promise<{
  near: Connection;
  far: Connection;
  listener: Listener;
}> {
  let accept: (connection: Connection) => void = () => undefined;
  const accepted = new Promise<Connection>((resolve) => {
    accept = resolve;
  });
  const listener = await subject.until(subject.b.listen(HOST, 0, (c) => accept(c)));
  const near = await subject.until(subject.a.connect(HOST, listener.port, 5000));
  return { near, far: await subject.until(accepted), listener };
}

function closing(connection: Connection): Promise<string | undefined> {
  return new Promise((resolve) => connection.onClose(resolve));
}

/** All that arrives until the connection ends. */
function collect(connection: Connection): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  connection.onData((bytes) => pieces.push(bytes.slice()));
  return closing(connection).then(() => Buffer.concat(pieces));
}

const bytes = (text: string) => new TextEncoder().encode(text);

for (const [name, create] of Object.entries(SUBJECTS)) {
  t.test(`${name}: a listener that refuses keeps what it has accepted`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    listener.refuse();
    const refused = subject.until(subject.a.connect(HOST, listener.port, 5000));
    await t.rejects(refused, { code: 'CONNECTION_LOST', data: { reason: 'refused' } });
    const atFar = collect(far);
    near.write(bytes('still here'));
    near.end();
    t.equal(Buffer.from(await subject.until(atFar)).toString(), 'still here');
    await subject.until(listener.close());
  });

  t.test(`${name}: bytes arrive whole and in order, in both directions`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    const atFar = collect(far);
    const atNear = collect(near);
    for (let i = 0; i < 100; i++) near.write(bytes(`${i},`));
    far.write(bytes('answer'));
    await subject.until(
      new Promise<void>((resolve) => {
        near.onDrain(resolve);
        setImmediate(resolve);
      }),
    );
    near.end();
    t.equal(
      Buffer.from(await subject.until(atFar)).toString(),
      Array.from({ length: 100 }, (_, i) => `${i},`).join(''),
    );
    far.end();
    await subject.until(atNear);
    await subject.until(listener.close());
  });

  t.test(`${name}: a reader that pauses holds the writer back, and loses nothing`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    far.pause();
    const received = collect(far);
    const piece = new Uint8Array(256 * 1024).fill(7);
    let written = 0;
    while (near.write(piece)) {
      written += piece.length;
      t.ok(written < 256 * MIB, 'write asks for patience some time');
    }
    written += piece.length;
    t.ok(near.bufferedBytes > 0);
    const drained = new Promise<void>((resolve) => near.onDrain(resolve));
    far.resume();
    await subject.until(drained);
    t.equal(near.bufferedBytes, 0);
    near.end();
    t.equal((await subject.until(received)).length, written);
    await subject.until(listener.close());
  });

  t.test(`${name}: both ends hear of the end exactly once, also of their own`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    let count = 0;
    const nearClosed = closing(near).then((reason) => {
      count++;
      return reason;
    });
    const farClosed = closing(far).then(() => count++);
    near.onData(() => undefined);
    far.onData(() => undefined);
    near.destroy('enough');
    near.destroy('again');
    t.equal(await subject.until(nearClosed), 'enough');
    await subject.until(farClosed);
    t.equal(count, 2);
    t.notOk(near.write(bytes('late')), 'writing after the end is harmless');
    await subject.until(listener.close());
  });

  t.test(`${name}: onClose comes also when it is set after the end`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    far.onData(() => undefined);
    near.destroy();
    await subject.until(closing(far));
    await subject.until(closing(near));
    t.pass();
    await subject.until(listener.close());
  });

  t.test(`${name}: connecting where nobody listens is refused, and says so`, async (t) => {
    const subject = create();
    const listener = await subject.until(subject.b.listen(HOST, 0, () => undefined));
    await subject.until(listener.close());
    await subject.until(listener.close());
    const error = await subject.until(
      subject.a.connect(HOST, listener.port, 5000).catch((e: unknown) => e),
    );
    t.ok(isIdunnoError(error, 'CONNECTION_LOST'));
    t.match(error, { data: { reason: 'refused', port: listener.port } });
  });

  t.test(`${name}: a port is given once, to one listener and one socket`, async (t) => {
    const subject = create();
    const listener = await subject.until(subject.a.listen(HOST, 0, () => undefined));
    t.ok(listener.port > 0);
    const again = subject.b.listen(HOST, listener.port, () => undefined);
    await t.rejects(subject.until(again), { code: 'PORT_TAKEN' });
    const socket = await subject.until(subject.a.openDatagram(HOST, 0));
    await t.rejects(subject.until(subject.b.openDatagram(HOST, socket.port)), {
      code: 'PORT_TAKEN',
    });
    await subject.until(listener.close());
    await subject.until(socket.close());
    const reused = await subject.until(subject.b.listen(HOST, listener.port, () => undefined));
    await subject.until(reused.close());
  });

  t.test(`${name}: a listener that closes ends its connections`, async (t) => {
    const subject = create();
    const { near, far, listener } = await connected(subject);
    near.onData(() => undefined);
    far.onData(() => undefined);
    const closed = closing(near);
    await subject.until(listener.close());
    await subject.until(closed);
    t.pass();
  });

  t.test(`${name}: datagrams arrive with their sender, and closing is idempotent`, async (t) => {
    const subject = create();
    const a = await subject.until(subject.a.openDatagram(HOST, 0));
    const b = await subject.until(subject.b.openDatagram(HOST, 0));
    const arrived = new Promise<[string, string, number]>((resolve) => {
      b.onPacket((packet, host, port) => resolve([Buffer.from(packet).toString(), host, port]));
    });
    a.send(HOST, b.port, bytes('ping'));
    t.same(await subject.until(arrived), ['ping', HOST, a.port]);
    await subject.until(a.close());
    await subject.until(a.close());
    a.send(HOST, b.port, bytes('late'));
    await subject.until(b.close());
  });
}
