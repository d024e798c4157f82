/** The drawings of demo/draw: they follow from their seed, differ, and show every label. */
import { Buffer } from 'node:buffer';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { drawDigit } from '../../demo/draw/digits.js';
import { drawFlower, FLOWER_SIDE } from '../../demo/draw/flowers.js';
import { main } from '../../demo/draw/main.js';
import { createRng, pick } from '../../demo/draw/rng.js';
import { DRAWING_KINDS, drawItem, drawSet, labelsOf } from '../../demo/draw/sets.js';
import { decodeImage, readImageHeader } from '../../src/image/index.js';

for (const kind of DRAWING_KINDS) {
  t.test(`${kind}: one seed gives the same bytes, another seed others`, (t) => {
    const [once, again, other] = [5, 5, 6].map((seed) => [...drawSet(kind, 20, seed)]);
    t.same(once, again);
    t.notSame(
      once?.map(({ png }) => png.toString('base64')),
      other?.map(({ png }) => png.toString('base64')),
    );
    t.equal(new Set(once?.map(({ png }) => png.toString('base64'))).size, 20, 'all differ');
    t.end();
  });

  t.test(`${kind}: item n is the same whatever the size of the set`, (t) => {
    const set = [...drawSet(kind, 10, 3)];
    t.same(set[7], drawItem(kind, 3, 7));
    t.end();
  });

  t.test(`${kind}: every label comes about as often as the others`, (t) => {
    const counts = new Map<string, number>();
    for (const { label } of drawSet(kind, 400, 11)) counts.set(label, (counts.get(label) ?? 0) + 1);
    const expected = 400 / labelsOf(kind).length;
    t.same([...counts.keys()].sort(), [...labelsOf(kind)].sort());
    for (const [label, count] of counts) {
      t.ok(count > expected * 0.5 && count < expected * 1.6, `${label}: ${count}`);
    }
    t.end();
  });
}

t.test('a digit is 28 to 64 pixels square, light on dark', async (t) => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const { width, height, rgba } = await decodeImage(drawDigit(createRng(seed)).png);
    t.ok(width === height && width >= 28 && width <= 64, `${width}×${height}`);
    const levels = Array.from({ length: width * height }, (_, i) => rgba[i * 4] ?? 0).sort(
      (a, b) => a - b,
    );
    const median = levels[levels.length >> 1] ?? 0;
    const top = levels[Math.floor(levels.length * 0.99)] ?? 0;
    t.ok(median < 110 && top - median > 60, `seed ${seed}: ground ${median}, ink ${top}`);
  }
});

t.test('a flower is 96 pixels square and can be asked for by kind', (t) => {
  const { png, label } = drawFlower(createRng(1), 'tulips');
  t.equal(label, 'tulips');
  t.same(readImageHeader(png)?.size, { width: FLOWER_SIDE, height: FLOWER_SIDE });
  t.end();
});

t.test('the random numbers are even enough and follow from the seed', (t) => {
  const rng = createRng(42);
  const numbers = Array.from({ length: 10_000 }, () => rng.next());
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  t.ok(Math.abs(mean - 0.5) < 0.01, `${mean}`);
  t.ok(numbers.every((value) => value >= 0 && value < 1));
  const again = createRng(42);
  t.equal(again.next(), numbers[0]);
  t.throws(() => pick(rng, []), RangeError);
  t.end();
});

t.test('the command writes files and labels, and says how it is used', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'idunno-draw-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.equal(main([folder, 'digits', '3', '9']), 0);
  const labels: unknown = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8'));
  const names = readdirSync(folder).filter((name) => name.endsWith('.png'));
  t.same(names.sort(), Object.keys(labels as object).sort());
  t.ok(
    names.every((name) => /^digits_\d_000[012]\.png$/.test(name)),
    names.join(' '),
  );
  const [first] = [...drawSet('digits', 1, 9)];
  t.ok(
    readFileSync(join(folder, `digits_${first?.label}_0000.png`)).equals(
      first?.png ?? Buffer.alloc(0),
    ),
  );
  for (const wrong of [
    [],
    [folder, 'cats', '1', '1'],
    [folder, 'digits', '0', '1'],
    [folder, 'digits', '1', 'x'],
  ]) {
    t.equal(main(wrong), 2, wrong.join(' '));
  }
  t.end();
});
