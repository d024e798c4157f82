/** The real grep on the same bytes, and patterns and lines made by chance. */
import { spawnSync } from 'node:child_process';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import { LineMatcher } from '../../src/logs/line-matcher.js';
import type { ParseOptions, Syntax } from '../../src/logs/posix-parser.js';

/** Selected lines, or `refused` for a pattern that cannot be used. */
export type Selection = readonly string[] | 'refused';

const FLAG: Readonly<Record<Syntax, string>> = { basic: '-G', extended: '-E', fixed: '-F' };

export function grep(
  pattern: string,
  { syntax, ignoreCase }: ParseOptions,
  text: Buffer,
  flags: readonly string[] = [],
): Selection {
  const args = ['-a', FLAG[syntax], ...(ignoreCase ? ['-i'] : []), ...flags, '-e', pattern];
  const ran = spawnSync('grep', args, { input: text, env: { ...process.env, LC_ALL: 'C' } });
  // One that refuses the pattern may be gone before the text is written.
  if (ran.status === 2) return 'refused';
  if (ran.error !== undefined) throw ran.error;
  return linesOf(ran.stdout);
}

export function ours(pattern: string, options: ParseOptions, text: Buffer): Selection {
  let matcher: LineMatcher;
  try {
    matcher = new LineMatcher(pattern, options);
  } catch {
    return 'refused';
  }
  const found: string[] = [];
  matcher.search(text, 0, text.length, (from, to) => {
    found.push(text.subarray(from, to).toString('latin1'));
    return true;
  });
  return found;
}

export function linesOf(bytes: Uint8Array): string[] {
  return Buffer.from(bytes).toString('latin1').split('\n').slice(0, -1);
}

const LETTERS = ['a', 'b', 'A', '_', ' ', '1', '-', '.', 'é', ':', ']'];

/** Short lines over few letters, so that patterns match often, and neither always nor never. */
export function randomText(rng: Rng, lines: number): Buffer {
  const all = Array.from({ length: lines }, () =>
    Array.from({ length: rng.int(9) }, () => LETTERS[rng.int(LETTERS.length)]).join(''),
  );
  return Buffer.from(`${all.join('\n')}\n`);
}

const ATOMS = ['a', 'b', 'A', '1', ' ', '_', '.', '[ab]', '[^a]', '[[:alpha:]]', '[a-c1]', '[]a]'];
const MORE_ATOMS = ['[[:digit:][:upper:]_]', '[^[:alnum:]]', '[a-]', '\\w', '\\W', '\\s', '\\S'];
const EDGES = ['^', '$', '\\<', '\\>', '\\b', '\\B'];
const REPEATS = ['*', '+', '?', '{2}', '{1,3}', '{0,1}', '{2,}', '{,2}', '{0}'];

/** A pattern as a tree would be written: always well formed. */
export function randomPattern(rng: Rng, isExtended: boolean, depth = 3): string {
  const operator = (text: string): string => (isExtended ? text : `\\${text}`);
  const pick = (from: readonly string[]): string => from[rng.int(from.length)] ?? '';
  const repeat = (): string => {
    const text = pick(REPEATS);
    if (text === '*' || isExtended) return text;
    return text.replace(/^([+?{])/, '\\$1').replace(/}$/, '\\}');
  };
  const piece = (): string => {
    const kind = rng.int(10);
    if (kind < 5 || depth === 0) return pick([...ATOMS, ...MORE_ATOMS]);
    if (kind < 7) return `${pick(ATOMS)}${repeat()}`;
    if (kind < 8) return pick(EDGES);
    const inner = randomPattern(rng, isExtended, depth - 1);
    const group = `${operator('(')}${inner}${operator(')')}`;
    return rng.int(2) === 0 ? group : `${group}${repeat()}`;
  };
  const branch = (): string => Array.from({ length: 1 + rng.int(4) }, piece).join('');
  return rng.int(5) === 0 ? `${branch()}${operator('|')}${branch()}` : branch();
}

const JUNK = ['[', ']', '(', ')', '{', '}', '\\', '*', '+', '?', '|', '^', '$', '-', ':', '1', ','];

/** Well formed by luck only. */
export function randomJunk(rng: Rng): string {
  const letters = [
    ...JUNK,
    'a',
    'b',
    '[:',
    ':]',
    '[.',
    '.]',
    '{1',
    '1}',
    '\\(',
    '\\)',
    '\\{',
    '\\}',
  ];
  return Array.from({ length: 1 + rng.int(7) }, () => letters[rng.int(letters.length)]).join('');
}

export function seeded(seed: string): Rng {
  return createSeededRng(seed);
}
