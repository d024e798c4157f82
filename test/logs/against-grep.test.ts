/** Selects the lines that GNU grep selects, for patterns by hand and by chance. */
import t from 'tap';
import type { Syntax } from '../../src/logs/posix-parser.js';
import { grep, ours, randomJunk, randomPattern, randomText, seeded } from './grep-oracle.js';

const TEXT = Buffer.from(
  [
    '{"level":"info","event":"job.change","job":7,"after":"running"}',
    'alpha beta gamma',
    'foo bar 192.168.0.1 e-mail a@b.de',
    '',
    ' leading blank',
    'a',
    'aa aaa aaaa',
    'ab abab ABAB',
    '*a a* ^a a$ a|b a{1} (a) [a] \\d {,2} {',
    'naïve café ÿ',
    'tab\there',
    'x_y-z under_score',
    ':-]',
    'CR at end\r',
    '',
  ].join('\n'),
);
// Bytes that are no text: not UTF-8, and a zero.
const BYTES = Buffer.concat([
  TEXT,
  Buffer.from([0xff, 0xfe, 0x0a, 0x61, 0x00, 0x62, 0x0a, 0xe9, 0x0a]),
]);

const EXTENDED = [
  'a',
  '^a',
  'a$',
  '^$',
  '.',
  '..*',
  'a+',
  'a?',
  'a*',
  '(ab)+',
  '(ab){2}',
  'a{2,3}',
  'a{2,}',
  'a{,2}',
  'a{,}',
  'a{0}b',
  'a{0}',
  'a{1}{2}',
  '(a|b)c?',
  'a||b',
  '()',
  '(|a)',
  'a|',
  '|a',
  '[[:digit:]]+',
  '[^[:alnum:][:space:]]',
  '[[:upper:]]{2}',
  '[[:punct:]]$',
  '[[:cntrl:]]',
  '[[:blank:]]',
  '[[:xdigit:]]{3}',
  '[]a]',
  '[^]a]',
  '[a-]',
  '[-a]',
  '[a\\]',
  '[+--]',
  '[[.a.]]',
  '[[=a=]]',
  '[[.a.]-c]',
  '[[.-.]]',
  '\\<a\\>',
  '\\bbar\\b',
  '\\Ba',
  'a\\B',
  '\\B',
  '\\b',
  '\\w+-\\w+',
  '\\W\\W',
  '\\s\\S',
  'a\\{1\\}',
  'a{1',
  '{',
  '{1}',
  'a{x}',
  '*a',
  '+a',
  '?',
  'a|*b',
  '(*a)',
  '^*a',
  '(^a)',
  'a^',
  '$a',
  '(^|x)a',
  'a($|b)',
  '^^a',
  'a$$',
  '\\.',
  '\\*a',
  'a)',
  '"event":"(job|task)[.]',
  '([0-9]{1,3}[.]){3}[0-9]{1,3}',
  'a\nbar',
  '\n',
  '',
  'é',
  '[é]',
  'caf.$',
  'caf..$',
  'na..ve',
  '[[:print:]]é',
  '^.{3}$',
  '\\`a',
  "a\\'",
  '[:a]',
  '[::]',
  '[:-:]',
  'a\\d',
  '\\^a',
  '[$]',
  '[^^]',
  'b*$',
];
const BASIC = [
  'a',
  'a*',
  '*a',
  '^*a',
  '\\(*a\\)',
  '\\(ab\\)\\{2\\}',
  'a\\{2,\\}',
  'a\\{,2\\}',
  'a+',
  'a\\+',
  'a?',
  'a\\?',
  'a|b',
  'a\\|b',
  'a{1}',
  '(a)',
  '\\(a\\)',
  'a^',
  '^a',
  'a$',
  '$a',
  '\\(^a\\)',
  'a\\|^b',
  'x\\|*a',
  '\\{1\\}',
  '\\+a',
  'a**',
  'a\\{0\\}b',
  '[[:alpha:]]\\{5\\}',
  '\\(a\\|ab\\)\\(c\\|bcd\\)*',
  'a\\',
  '\\(',
  '[^',
  'a\\{1',
  'a\\{2,1\\}',
  'a\\)',
  'a$b',
  '\\(a$\\)',
  '^',
  '$',
];
const REFUSED = [
  'a(',
  '(',
  '(a',
  '[a',
  '[',
  '[]',
  '[^]',
  'a\\',
  '[b-a]',
  '[a-c-e]',
  '[[:foo:]]',
  '[[:alpha:]-z]',
  '[a-[:digit:]]',
  '[[.space.]]',
  '[:space:]',
  'a{2,1}',
  'a{40000}',
  '[[:alpha]',
  '[[.a]',
  '[[=a]',
];

function compare(
  t: Pick<typeof import('tap').t, 'same'>,
  pattern: string,
  syntax: Syntax,
  ignoreCase: boolean,
): void {
  const options = { syntax, ignoreCase };
  const title = `${JSON.stringify(pattern)} ${syntax}${ignoreCase ? ' -i' : ''}`;
  t.same(ours(pattern, options, BYTES), grep(pattern, options, BYTES), title);
}

t.test('extended, basic and fixed patterns written by hand', async (t) => {
  for (const pattern of EXTENDED) {
    compare(t, pattern, 'extended', false);
    compare(t, pattern, 'extended', true);
  }
  for (const pattern of BASIC) compare(t, pattern, 'basic', false);
  for (const pattern of ['a', 'a.b', '', '^a', 'a*', 'job.change', 'A', 'a\nbar', 'é', '\\']) {
    compare(t, pattern, 'fixed', false);
    compare(t, pattern, 'fixed', true);
  }
});

t.test('patterns that grep refuses are refused, with a reason', async (t) => {
  for (const pattern of REFUSED) {
    const options = { syntax: 'extended', ignoreCase: false } as const;
    t.equal(grep(pattern, options, TEXT), 'refused', `grep: ${pattern}`);
    t.equal(ours(pattern, options, TEXT), 'refused', pattern);
  }
});

t.test('patterns by chance, well formed and not', async (t) => {
  const rng = seeded('against-grep');
  for (let round = 0; round < 250; round += 1) {
    const isExtended = rng.int(2) === 0;
    const syntax = isExtended ? 'extended' : 'basic';
    const options = { syntax, ignoreCase: rng.int(4) === 0 } as const;
    const text = randomText(rng, 60);
    const pattern = round % 2 === 0 ? randomPattern(rng, isExtended) : randomJunk(rng);
    // grep has back-references, which cannot be searched in bounded time.
    if (/\\[1-9]/.test(pattern)) continue;
    t.same(ours(pattern, options, text), grep(pattern, options, text), `${pattern} ${syntax}`);
  }
});
