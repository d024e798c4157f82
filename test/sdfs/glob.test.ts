/** Glob patterns, and a slow twin that tries every way. */
import t from 'tap';
import { createSeededRng } from '../../src/base/index.js';
import { compileGlob } from '../../src/sdfs/glob.js';

t.test('patterns match what people expect', async (t) => {
  const cases: [pattern: string, name: string, matches: boolean][] = [
    ['*.png', 'a.png', true],
    ['*.png', 'd/a.png', true],
    ['*.png', 'a.png.txt', false],
    ['d/?.png', 'd/ä.png', true],
    ['d/?.png', 'd/🙂.png', true],
    ['d/?.png', 'd/ab.png', false],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[^a-c]x', 'dx', true],
    ['[]]', ']', true],
    ['[a-]', '-', true],
    ['[abc', '[abc', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['a**b', 'ab', true],
    ['a\\', 'a\\', true],
  ];
  for (const [pattern, name, matches] of cases) {
    t.equal(compileGlob(pattern).matches(name), matches, `${pattern} on ${name}`);
  }
});

t.test('the prefix is what every match starts with', async (t) => {
  t.equal(compileGlob('digits/7*.png').prefix, 'digits/7');
  t.equal(compileGlob('plain').prefix, 'plain');
  t.equal(compileGlob('*').prefix, '');
  t.equal(compileGlob('a\\*b[c]').prefix, 'a*b');
});

t.test('a pattern full of stars is matched in little time', async (t) => {
  const pattern = `${'*a'.repeat(200)}*b`;
  t.equal(compileGlob(pattern).matches('a'.repeat(5000)), false);
});

/** Only `*`, `?` and plain characters, by trying every way. */
function slowMatch(pattern: string, name: string): boolean {
  const head = pattern[0];
  if (head === undefined) return name === '';
  if (head === '*') {
    return slowMatch(pattern.slice(1), name) || (name !== '' && slowMatch(pattern, name.slice(1)));
  }
  if (name === '' || (head !== '?' && head !== name[0])) return false;
  return slowMatch(pattern.slice(1), name.slice(1));
}

t.test('agrees with a slow twin on random patterns', async (t) => {
  const rng = createSeededRng(11);
  const draw = (letters: string, length: number): string =>
    Array.from({ length }, () => letters[rng.int(letters.length)]).join('');
  let matches = 0;
  for (let round = 0; round < 5000; round += 1) {
    const pattern = draw('ab*?*', rng.int(7));
    const name = draw('ab', rng.int(8));
    const wanted = slowMatch(pattern, name);
    if (wanted) matches += 1;
    if (compileGlob(pattern).matches(name) !== wanted) t.fail(`${pattern} on ${name}`);
  }
  t.ok(matches > 500, `${matches} matches`);
});
