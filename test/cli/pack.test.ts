/** Packed bodies and JSON lines: what goes in comes out, and nothing else is taken in. */
import t from 'tap';
import { createSeededRng, isIdunnoError } from '../../src/base/index.js';
import {
  type PackedFile,
  type PackLimits,
  packFiles,
  unpackFiles,
  writeJsonLines,
} from '../../src/cli/index.js';
import { readJsonLines } from '../../src/cli/json-lines.js';

const LIMITS: PackLimits = { fileBytesMax: 1_000, filesMax: 50, totalBytesMax: 20_000 };

async function* inPieces(bytes: Uint8Array, sizes: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(1, sizes());
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function unpack(bytes: Uint8Array, limits = LIMITS, size = 7): Promise<PackedFile[]> {
  const files: PackedFile[] = [];
  for await (const file of unpackFiles(
    inPieces(bytes, () => size),
    limits,
  ))
    files.push(file);
  return files;
}

const pack = (files: readonly PackedFile[]): Buffer => Buffer.concat(packFiles(files));

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'taken';
  } catch (error) {
    return isIdunnoError(error) ? error.code : String(error);
  }
}

t.test('files come out as they went in, however the body is cut', async (t) => {
  const rng = createSeededRng('pack');
  for (let round = 0; round < 200; round += 1) {
    const files = Array.from({ length: rng.int(20) }, (_, at) => ({
      name: `${'ä'.repeat(rng.int(5))}${at}`,
      bytes: Buffer.alloc(rng.int(300), at),
    }));
    const out: PackedFile[] = [];
    const body = inPieces(pack(files), () => rng.int(rng.int(2) === 0 ? 5 : 500));
    for await (const file of unpackFiles(body, LIMITS)) out.push(file);
    t.same(
      out.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('hex')]),
      files.map(({ name, bytes }) => [name, bytes.toString('hex')]),
    );
  }
});

t.test('a body that ends inside a file is refused at every length', async (t) => {
  const whole = pack([
    { name: 'a', bytes: Buffer.from('first') },
    { name: 'b', bytes: Buffer.from('second') },
  ]);
  const boundary = pack([{ name: 'a', bytes: Buffer.from('first') }]).length;
  for (let length = 1; length < whole.length; length += 1) {
    const code = await codeOf(unpack(whole.subarray(0, length)));
    t.equal(code, length === boundary ? 'taken' : 'PROTOCOL', `${length} bytes`);
  }
});

t.test('names and files beyond the bounds are refused', async (t) => {
  const long = { name: 'n'.repeat(1_025), bytes: Buffer.alloc(1) };
  t.throws(() => packFiles([long]), { code: 'BAD_NAME' });
  const big = pack([{ name: 'a', bytes: Buffer.alloc(1_001) }]);
  t.equal(await codeOf(unpack(big)), 'PROTOCOL');
  const empty = pack([{ name: '', bytes: Buffer.alloc(1) }]);
  t.equal(await codeOf(unpack(empty)), 'PROTOCOL');
  const many = pack(Array.from({ length: 51 }, () => ({ name: 'a', bytes: Buffer.alloc(0) })));
  t.equal(await codeOf(unpack(many)), 'PROTOCOL');
  const total = pack(Array.from({ length: 30 }, () => ({ name: 'a', bytes: Buffer.alloc(900) })));
  t.equal(await codeOf(unpack(total)), 'PROTOCOL');
  const notText = pack([{ name: 'ab', bytes: Buffer.alloc(0) }]);
  notText[6] = 0xff;
  t.equal(await codeOf(unpack(notText)), 'PROTOCOL');
});

t.test('random bytes never do more than be refused or unpacked', async (t) => {
  const rng = createSeededRng('garbage');
  const outcomes = new Set<string>();
  for (let round = 0; round < 2_000; round += 1) {
    const bytes = Buffer.from(
      Array.from({ length: rng.int(60) }, () => (rng.int(3) === 0 ? rng.int(256) : 0)),
    );
    outcomes.add(await codeOf(unpack(bytes)));
  }
  t.same([...outcomes].sort(), ['PROTOCOL', 'taken']);
});

t.test('JSON lines are read back one by one, however the body is cut', async (t) => {
  const rng = createSeededRng('lines');
  const values = Array.from({ length: 500 }, (_, at) => ({ at, text: 'ü\n"'.repeat(rng.int(20)) }));
  async function* source(): AsyncGenerator<unknown> {
    yield* values;
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeJsonLines(source())) chunks.push(chunk);
  const read: unknown[] = [];
  const body = inPieces(Buffer.concat(chunks), () => rng.int(100));
  for await (const value of readJsonLines(body)) read.push(value);
  t.same(read, values);
});

t.test('a line that is no JSON is refused', async (t) => {
  const read = async (): Promise<void> => {
    for await (const _ of readJsonLines(inPieces(Buffer.from('{"a":1}\nno\n'), () => 3)));
  };
  t.equal(await codeOf(read()), 'PROTOCOL');
});
