/** Frames out of a byte stream: cut anywhere, broken in every way. */
import t from 'tap';
import { createSeededRng, isIdunnoError } from '../../src/base/index.js';
import {
  encodeFrame,
  FRAME_BYTES_MAX,
  FRAME_KIND,
  type Frame,
  FrameParser,
} from '../../src/net/frame.js';

function frameBytes(header: readonly (number | string)[], body = new Uint8Array(0)): Uint8Array {
  return Buffer.concat(encodeFrame(FRAME_KIND.notice, header, body));
}

function parseAll(parser: FrameParser, ...pieces: Uint8Array[]): Frame[] {
  return pieces.flatMap((piece) => [...parser.push(piece)]);
}

t.test('a frame comes back with its kind, header and body', async (t) => {
  const body = Uint8Array.from([1, 2, 3]);
  const [frame, ...rest] = parseAll(new FrameParser(), frameBytes([7, 'note'], body));
  t.match(frame, { kind: FRAME_KIND.notice, header: [7, 'note'] });
  t.same(frame?.body, body);
  t.equal(frame?.body.constructor, Uint8Array);
  t.same(rest, []);
});

t.test('a stream may be cut anywhere', async (t) => {
  const stream = Buffer.concat([
    frameBytes([1]),
    frameBytes([2, 'two'], new Uint8Array(300).fill(2)),
    frameBytes([3]),
  ]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const parser = new FrameParser();
    const frames = parseAll(parser, stream.subarray(0, cut), stream.subarray(cut));
    if (frames.length !== 3 || parser.heldBytes !== 0) {
      t.fail(`cut at ${cut}`);
      return;
    }
  }
  const bytewise = parseAll(
    new FrameParser(),
    ...Array.from(stream, (byte) => Uint8Array.of(byte)),
  );
  t.same(
    bytewise.map((frame) => frame.header[0]),
    [1, 2, 3],
  );
});

t.test('random cuts of random frames give the same frames', async (t) => {
  const rng = createSeededRng('frame/cuts');
  for (let round = 0; round < 100; round++) {
    const bodies = Array.from({ length: 1 + rng.int(8) }, () =>
      new Uint8Array(rng.int(5000)).fill(rng.int(256)),
    );
    const stream = Buffer.concat(bodies.map((body, i) => frameBytes([i], body)));
    const parser = new FrameParser();
    const frames: Frame[] = [];
    for (let at = 0; at < stream.length; ) {
      const length = 1 + rng.int(rng.int(2) === 0 ? 10 : 4000);
      frames.push(...parser.push(stream.subarray(at, at + length)));
      at += length;
    }
    const isSame = frames.every(
      (frame, i) => Buffer.compare(frame.body, bodies[i] ?? frame.body) === 0,
    );
    if (frames.length !== bodies.length || !isSame) {
      t.fail(`round ${round}`);
      return;
    }
  }
  t.pass('100 rounds');
});

t.test('a long frame in tiny pieces costs about its bytes', async (t) => {
  const body = new Uint8Array(400_000).fill(5);
  const stream = frameBytes([1], body);
  const parser = new FrameParser();
  const frames: Frame[] = [];
  for (let at = 0; at < stream.length; at += 3)
    frames.push(...parser.push(stream.slice(at, at + 3)));
  t.equal(frames.length, 1);
  t.equal(Buffer.compare(frames[0]?.body ?? new Uint8Array(0), body), 0);
});

function reasonOf(bytes: Uint8Array, parser = new FrameParser()): unknown {
  try {
    parseAll(parser, bytes);
    return undefined;
  } catch (error) {
    return isIdunnoError(error, 'PROTOCOL') ? error.data['reason'] : error;
  }
}

t.test('each kind of fault has its name', async (t) => {
  const good = () => frameBytes([1, 'a'], new Uint8Array(10));
  const changed = (at: number, value: number) => {
    const bytes = good();
    bytes[at] = value;
    return bytes;
  };
  t.equal(
    reasonOf(Uint8Array.from([0xff, 0xff, 0xff, 0xff])),
    'too-long',
    'before anything more is read',
  );
  t.equal(reasonOf(Uint8Array.from([0, 0, 0, 4])), 'too-short');
  t.equal(reasonOf(changed(4, 0x2b)), 'version');
  t.equal(reasonOf(changed(4, 0x1f)), 'kind');
  t.equal(reasonOf(changed(5, 0)), 'checksum');
  t.equal(reasonOf(changed(12, 99)), 'checksum');
  t.equal(reasonOf(changed(20, 99)), 'checksum');
  t.equal(reasonOf(good().subarray(0, 12)), undefined, 'a part is no fault');
  t.equal(reasonOf(good(), new FrameParser(16)), 'too-long', 'the bound is the parser’s');
  const [head] = encodeFrame(FRAME_KIND.call, { not: 'an array' } as never);
  t.equal(reasonOf(head), 'header');
});

t.test('what is too long is refused by the sender already', async (t) => {
  t.throws(() => encodeFrame(FRAME_KIND.notice, [1], new Uint8Array(FRAME_BYTES_MAX)), {
    code: 'BAD_ARGUMENT',
  });
});

t.test('mutated streams give typed faults only, and hold less than a frame', async (t) => {
  const rng = createSeededRng('frame/fuzz');
  const reasons = new Map<unknown, number>();
  for (let i = 0; i < 3000; i++) {
    const stream = Buffer.concat([
      frameBytes([i, 'x'], new Uint8Array(rng.int(50))),
      frameBytes([i], new Uint8Array(rng.int(50))),
    ]);
    for (let n = rng.int(4); n > 0; n--) stream[rng.int(stream.length)] = rng.int(256);
    const parser = new FrameParser();
    const reason = reasonOf(stream, parser);
    if (reason !== undefined && typeof reason !== 'string') {
      t.fail(`${i}: ${String(reason)}`);
      return;
    }
    if (parser.heldBytes > stream.length) {
      t.fail(`${i}: holds ${parser.heldBytes}`);
      return;
    }
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  for (const reason of ['checksum', 'version', 'too-long', undefined]) {
    t.ok((reasons.get(reason) ?? 0) > 10, `${String(reason)} was seen`);
  }
});
