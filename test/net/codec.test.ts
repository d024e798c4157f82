/** Values as bytes and back, and what must not come through. */
import msgpack from 'msgpack-lite';
import t from 'tap';
import { createSeededRng, isIdunnoError, type Rng } from '../../src/base/index.js';
import { decode, decodePrefix, encode, type Wire } from '../../src/net/index.js';

const VALUES: readonly Wire[] = [
  null,
  true,
  false,
  0,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  -1,
  -32,
  -33,
  -128,
  -129,
  -32_768,
  -32_769,
  -(2 ** 31),
  -(2 ** 53) + 1,
  0.5,
  -1e-300,
  Number.POSITIVE_INFINITY,
  '',
  'a'.repeat(31),
  'a'.repeat(32),
  'ä'.repeat(300),
  '😀 and 中文',
  'x'.repeat(70_000),
  [],
  [1, [2, [3]]],
  Array.from({ length: 70_000 }, (_, i) => i % 7),
  {},
  { a: 1, b: { c: [null] } },
  new Uint8Array(0),
  new Uint8Array(255).fill(1),
  new Uint8Array(70_000).fill(2),
];

t.test('values come back as they were', async (t) => {
  const short = VALUES.filter((value) => encode(value).length < 1000);
  for (const value of short) t.same(decode(encode(value)), value);
  t.same(decode(encode(short)), short);
  // Long ones are compared as bytes: showing a difference in them would take seconds.
  for (const value of VALUES) t.ok(isSame(decode(encode(value)), value));
});

t.test('bytes come back as Uint8Array, from any view', async (t) => {
  const memory = Uint8Array.from([9, 1, 2, 3, 9]);
  const [view, buffer] = decode(encode([memory.subarray(1, 4), Buffer.from([4, 5])])) as [
    Uint8Array,
    Uint8Array,
  ];
  t.equal(view.constructor, Uint8Array);
  t.equal(buffer.constructor, Uint8Array);
  t.same([...view], [1, 2, 3]);
  t.same([...buffer], [4, 5]);
  const encoded = encode(view);
  t.equal(encoded.constructor, Uint8Array);
});

t.test('undefined becomes null, wherever it stands', async (t) => {
  t.equal(decode(encode(undefined)), null);
  t.same(decode(encode([undefined, 1] as unknown as Wire)), [null, 1]);
  t.same(decode(encode({ a: undefined } as unknown as Wire)), { a: null });
});

t.test('integers that no double holds are bugs where they are encoded', async (t) => {
  t.throws(() => encode(2 ** 53), /too large an integer/);
  t.throws(() => encode([1, { a: -(2 ** 60) }]), /too large an integer/);
  t.throws(() => encode(1n as unknown as Wire), /no form on the wire/);
  t.same(decode(encode([1, 2])), [1, 2], 'and what follows is not disturbed');
});

const REFUSED: Readonly<Record<string, readonly number[]>> = {
  nothing: [],
  'bytes after the value': [0xc0, 0xc0],
  'an unused type': [0xc1],
  'an extension': [0xd4, 1, 0],
  'a long extension': [0xc9, 0, 0, 0, 1, 5, 0],
  'an unsigned integer above 2^53': [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
  'a signed integer below -2^53': [0xd3, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  'a text that is cut': [0xa5, 0x61],
  'a text of 4 GiB': [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61],
  'bytes of 4 GiB': [0xc6, 0xff, 0xff, 0xff, 0xff],
  'an array of 4 billion': [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0],
  'a map of 4 billion': [0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0],
  'a length that is cut': [0xda, 1],
  'a text that is not UTF-8': [0xa2, 0xc3, 0x28],
  'a surrogate in UTF-8': [0xa3, 0xed, 0xa0, 0x80],
  'a key that is a number': [0x81, 1, 1],
  'a key that is an array': [0x81, 0x90, 1],
  'nesting beyond the bound': [...Array<number>(40).fill(0x91), 0xc0],
};

for (const [what, bytes] of Object.entries(REFUSED)) {
  t.test(`${what} is refused`, async (t) => {
    t.throws(() => decode(Uint8Array.from(bytes)), { code: 'PROTOCOL' });
  });
}

t.test('a key cannot replace a prototype', async (t) => {
  const text = '__proto__';
  const key = [0xa0 + text.length, ...Buffer.from(text)];
  t.throws(() => decode(Uint8Array.from([0x81, ...key, 0x80])), { code: 'PROTOCOL' });
  t.same(decode(encode({ x__proto: 1, proto__: 2 })), { x__proto: 1, proto__: 2 });
});

t.test('a value is cut out of what follows it', async (t) => {
  const whole = Buffer.concat([Buffer.from([0xff]), encode([1, 'a']), Buffer.from([1, 2, 3])]);
  const [value, end] = decodePrefix(whole, 1);
  t.same(value, [1, 'a']);
  t.equal(end, whole.length - 3);
});

t.test('integers of other encoders are understood', async (t) => {
  t.equal(
    decode(Uint8Array.from([0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    2 ** 53 - 1,
  );
  t.equal(decode(Uint8Array.from([0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])), -1);
  t.equal(decode(Uint8Array.from([0xca, 0x3f, 0, 0, 0])), 0.5);
});

/** A random value of bounded size. */
function draw(rng: Rng, depth: number): Wire {
  const kind = rng.int(depth > 3 ? 5 : 7);
  if (kind === 0) return null;
  if (kind === 1) return rng.int(2) === 1;
  if (kind === 2) return (rng.int(3) - 1) * rng.int(2 ** rng.int(52));
  if (kind === 3)
    return String.fromCodePoint(...Array.from({ length: rng.int(40) }, () => 32 + rng.int(900)));
  if (kind === 4) return Uint8Array.from({ length: rng.int(60) }, () => rng.int(256));
  const inner = Array.from({ length: rng.int(6) }, () => draw(rng, depth + 1));
  return kind === 5 ? inner : Object.fromEntries(inner.map((value, i) => [`k${i}`, value]));
}

t.test('random values survive, and agree with msgpack-lite itself', async (t) => {
  const rng = createSeededRng('codec/values');
  for (let i = 0; i < 1000; i++) {
    const value = draw(rng, 0);
    const encoded = encode(value);
    const back = decode(encoded);
    if (!isSame(back, value)) {
      t.same(back, value, `value ${i}`);
      return;
    }
    msgpack.decode(Buffer.from(encoded));
  }
  t.pass('1000 values');
});

t.test('mutated and random bytes never throw anything but PROTOCOL', async (t) => {
  const rng = createSeededRng('codec/fuzz');
  let refused = 0;
  for (let i = 0; i < 8000; i++) {
    const bytes = i % 3 === 0 ? noise(rng) : mutate(rng, encode(draw(rng, 0)));
    try {
      decode(bytes);
    } catch (error) {
      refused++;
      if (!isIdunnoError(error, 'PROTOCOL')) {
        t.fail(`input ${i}: ${String(error)}`);
        return;
      }
    }
  }
  t.ok(refused > 2000 && refused < 8000, `${refused} of 8000 refused`);
});

function noise(rng: Rng): Uint8Array {
  return Uint8Array.from({ length: rng.int(64) }, () => rng.int(256));
}

function mutate(rng: Rng, bytes: Uint8Array): Uint8Array {
  const mutated = bytes.slice(0, rng.int(4) === 0 ? rng.int(bytes.length + 1) : bytes.length);
  for (let n = rng.int(3); n >= 0 && mutated.length > 0; n--) {
    mutated[rng.int(mutated.length)] = rng.int(256);
  }
  return mutated;
}

function isSame(a: Wire, b: Wire): boolean {
  return Buffer.compare(encode(a), encode(b)) === 0;
}
