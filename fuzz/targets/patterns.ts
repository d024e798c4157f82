/**
 * src/logs: POSIX patterns, compared with JavaScript's own on the subset where both mean the same. A
 * case is `pattern newline lines…`.
 */
import type { Rng } from '../../src/base/index.js';
import { LineMatcher } from '../../src/logs/line-matcher.js';
import { PatternError } from '../../src/logs/pattern-error.js';
import type { FuzzTarget } from '../types.js';
import { dictionaryOf, pick } from './support.js';

/** Longer patterns and lines show nothing new, and JavaScript backtracks. */
const COMPARED_PATTERN_MAX = 24;
const COMPARED_LINE_MAX = 24;

function expression(rng: Rng, depth: number): string {
  switch (rng.int(depth === 0 ? 4 : 8)) {
    case 0:
      return pick(rng, ['a', 'b', 'c', '0']);
    case 1:
      return pick(rng, ['.', '[ab]', '[^a]', '[a-c]', '[0-9b]']);
    case 2:
      return pick(rng, ['ab', 'abc', 'ca']);
    case 3:
      return pick(rng, ['b', '\\.', '\\*']);
    case 4:
      return `(${expression(rng, depth - 1)}|${expression(rng, depth - 1)})`;
    case 5:
      return `(${expression(rng, depth - 1)})${pick(rng, ['*', '+', '?', '{1,2}', '{2}'])}`;
    default:
      return expression(rng, depth - 1) + expression(rng, depth - 1);
  }
}

/** Where the two dialects agree: plain atoms, groups, alternatives, one repetition behind an atom. */
const ATOM = String.raw`(?:[a-c0-9]|\.|\\[.*+?|()]|\[\^?[a-c0-9]+(?:-[a-c0-9])?\])`;
const COMPARABLE = new RegExp(
  String.raw`^(?:\((?!\||\))|\)(?:[*+?]|\{[1-3]\})?(?![*+?{])|\|(?![|)]|$)|${ATOM}(?:[*+?]|\{[1-3]\})?(?![*+?{]))+$`,
);

function javascriptOf(pattern: string): RegExp | undefined {
  if (pattern.length > COMPARED_PATTERN_MAX || !COMPARABLE.test(pattern)) return undefined;
  if (pattern.startsWith('|')) return undefined;
  try {
    return new RegExp(pattern, 's');
  } catch {
    return undefined;
  }
}

export const patterns: FuzzTarget = {
  name: 'patterns',
  summary: "patterns of log queries, against JavaScript's (src/logs)",
  cases: 20_000,
  casesInTests: 1_000,
  dictionary: dictionaryOf(
    '[[:digit:]]',
    '[[:',
    ':]]',
    '[[.a.]]',
    '[[=a=]]',
    '{1,',
    '{,3}',
    '{9999}',
    '{2}{3}',
    '\\1',
    '\\w',
    '\\<',
    '\\b',
    '^',
    '$',
    '()',
    '||',
    '**',
    '[z-a]',
    '[]a]',
    '\\',
    '\u0000',
    'ÿ',
  ),
  sample(rng) {
    const lines = Array.from({ length: 4 }, () =>
      Array.from({ length: rng.int(9) }, () => pick(rng, ['a', 'b', 'c', '0', '.', '*'])).join(''),
    );
    return Buffer.from([expression(rng, 3), ...lines].join('\n'), 'latin1');
  },
  check(input) {
    const newline = input.indexOf(0x0a);
    const end = newline < 0 ? input.length : newline;
    const pattern = Buffer.from(input.subarray(0, end)).toString();
    const rest = Buffer.from(input.subarray(end + 1)).toString('latin1');
    const lines = rest.split('\n');
    const reference = javascriptOf(pattern);
    let matcher: LineMatcher;
    try {
      matcher = new LineMatcher(pattern, { syntax: 'extended', ignoreCase: false });
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      if (reference !== undefined) throw new Error(`${pattern} was refused: ${error.message}`);
      return 'refused';
    }
    const text = Buffer.from(`${rest}\n`, 'latin1');
    const found = new Set<number>();
    matcher.search(text, 0, text.length, (from) => found.add(from) !== undefined);
    let at = 0;
    for (const line of lines) {
      const isCompared = reference !== undefined && line.length <= COMPARED_LINE_MAX;
      if (isCompared && reference.test(line) !== found.has(at)) {
        const said = found.has(at) ? 'matches' : 'does not match';
        throw new Error(`${JSON.stringify(pattern)} ${said} ${JSON.stringify(line)}`);
      }
      at += line.length + 1;
    }
    return 'accepted';
  },
};
