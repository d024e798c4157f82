import t from 'tap';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import {
  afterPrefix,
  decodeKey,
  encodeKey,
  justAfter,
  KEY_BYTES_MAX,
  keyFromBytes,
  keyToBytes,
} from '../../src/store/keys.js';

type Part = string | number;

const TEXTS = [
  '',
  'a',
  'a\u0000',
  'a\u0000b',
  'a\u0001',
  'aa',
  'b',
  'ä',
  '日本',
  '😀',
  '\u00ff',
  '~',
];
const NUMBERS = [0, 1, 255, 256, 65_535, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, 2 ** 53 - 1];

function randomParts(rng: Rng): Part[] {
  return Array.from({ length: rng.int(4) }, () =>
    rng.int(2) === 0
      ? (NUMBERS[rng.int(NUMBERS.length)] ?? 0)
      : (TEXTS[rng.int(TEXTS.length)] ?? ''),
  );
}

/** The obvious order: numbers before texts, texts by code points, a prefix before what extends it. */
function compareParts(a: readonly Part[], b: readonly Part[]): number {
  for (let at = 0; ; at += 1) {
    const x = a[at];
    const y = b[at];
    if (x === undefined || y === undefined) {
      return (x === undefined ? 0 : 1) - (y === undefined ? 0 : 1);
    }
    if (x === y) continue;
    if (typeof x === 'number' && typeof y === 'number') return x - y;
    if (typeof x === 'number') return -1;
    if (typeof y === 'number') return 1;
    return Buffer.compare(Buffer.from(x), Buffer.from(y));
  }
}

t.test('the order of the bytes is the order of the parts', (t) => {
  const rng = createSeededRng('keys');
  for (let round = 0; round < 20_000; round += 1) {
    const a = randomParts(rng);
    const b = randomParts(rng);
    const bytes = Buffer.compare(keyToBytes(encodeKey(7, a)), keyToBytes(encodeKey(7, b)));
    const parts = Math.sign(compareParts(a, b));
    if (bytes !== parts) t.fail(`${JSON.stringify(a)} and ${JSON.stringify(b)}`);
    const x = encodeKey(7, a);
    const y = encodeKey(7, b);
    if ((x < y ? -1 : x > y ? 1 : 0) !== parts) t.fail(`as texts: ${JSON.stringify([a, b])}`);
  }
  t.pass('20,000 pairs');
  t.end();
});

t.test('a key is decoded to what it was made of, also by way of bytes', (t) => {
  const rng = createSeededRng('round trip');
  for (let round = 0; round < 2_000; round += 1) {
    const parts = randomParts(rng);
    const key = encodeKey(200, parts);
    const again = decodeKey(keyFromBytes(keyToBytes(key)));
    if (JSON.stringify(again) !== JSON.stringify({ bucket: 200, parts })) t.fail(`round ${round}`);
  }
  t.pass('2,000 keys');
  t.end();
});

t.test('the range of a prefix holds exactly the keys that extend it', (t) => {
  const rng = createSeededRng('prefix');
  for (let round = 0; round < 5_000; round += 1) {
    const prefix = randomParts(rng).slice(0, 2);
    const parts = rng.int(2) === 0 ? [...prefix, ...randomParts(rng)] : randomParts(rng);
    const from = encodeKey(9, prefix);
    const key = encodeKey(9, parts);
    const isInside = key >= from && key < afterPrefix(from);
    const extendsIt = prefix.every((part, at) => parts[at] === part);
    if (isInside !== extendsIt) t.fail(JSON.stringify({ prefix, parts }));
  }
  const key = encodeKey(9, ['a']);
  t.ok(key < justAfter(key) && justAfter(key) < encodeKey(9, ['a', 0]));
  t.end();
});

t.test('what cannot be a key is refused as a bad argument', (t) => {
  for (const part of [-1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => encodeKey(1, [part]), { code: 'BAD_ARGUMENT' }, String(part));
  }
  t.throws(() => encodeKey(1, ['half a \ud83d']), { code: 'BAD_ARGUMENT' });
  t.throws(() => encodeKey(1, ['x'.repeat(KEY_BYTES_MAX)]), { code: 'BAD_ARGUMENT' });
  t.throws(() => encodeKey(1, [1, 2, 3, 4, 5, 6, 7, 8, 9]), { code: 'BAD_ARGUMENT' });
  t.end();
});
