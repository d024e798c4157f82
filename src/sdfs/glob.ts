/**
 * Glob patterns over flat names, matched in O(pattern × name) without regular expressions, so that
 * no pattern can stall a coordinator.
 *
 *   *        any characters, also none, also `/` (names are flat)
 *   ?        one character
 *   [abc]    one of these; [a-z] a range; [!abc] or [^abc] none of these; `]` first is itself
 *   \x       x itself
 *
 * A `[` that is never closed is an ordinary character.
 */

type Part =
  | { readonly kind: 'char'; readonly char: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'star' }
  | {
      readonly kind: 'set';
      readonly negated: boolean;
      readonly ranges: readonly (readonly [string, string])[];
    };

export interface Glob {
  /** Every match starts with it: where a scan begins and when it may stop. */
  readonly prefix: string;
  matches(name: string): boolean;
}

/** Compiles a pattern. Every text is a pattern; nothing is refused. */
export function compileGlob(pattern: string): Glob {
  const parts = parse([...pattern]);
  let prefix = '';
  for (const part of parts) {
    if (part.kind !== 'char') break;
    prefix += part.char;
  }
  return { prefix, matches: (name) => matchParts(parts, [...name]) };
}

function parse(chars: readonly string[]): Part[] {
  const parts: Part[] = [];
  let at = 0;
  while (at < chars.length) {
    const char = chars[at] as string;
    if (char === '*') {
      // Two stars in a row match what one does.
      if (parts.at(-1)?.kind !== 'star') parts.push({ kind: 'star' });
    } else if (char === '?') {
      parts.push({ kind: 'any' });
    } else if (char === '\\' && at + 1 < chars.length) {
      at += 1;
      parts.push({ kind: 'char', char: chars[at] as string });
    } else {
      const set = char === '[' ? parseSet(chars, at) : undefined;
      parts.push(set?.part ?? { kind: 'char', char });
      if (set !== undefined) at = set.last;
    }
    at += 1;
  }
  return parts;
}

/** The set that opens at `from`, and the place of its `]`; undefined where it never closes. */
function parseSet(
  chars: readonly string[],
  from: number,
): { part: Part; last: number } | undefined {
  let at = from + 1;
  const negated = chars[at] === '!' || chars[at] === '^';
  if (negated) at += 1;
  const first = at;
  const ranges: [string, string][] = [];
  for (; at < chars.length; at += 1) {
    const low = chars[at] as string;
    if (low === ']' && at > first) return { part: { kind: 'set', negated, ranges }, last: at };
    const high = chars[at + 2];
    if (chars[at + 1] === '-' && high !== undefined && high !== ']') {
      ranges.push([low, high]);
      at += 2;
    } else {
      ranges.push([low, low]);
    }
  }
  return undefined;
}

/**
 * Greedy with one point of return: when a mismatch follows a star, the last star takes one more
 * character. Earlier stars need no return, since the last one can take whatever they could.
 */
function matchParts(parts: readonly Part[], chars: readonly string[]): boolean {
  let part = 0;
  let char = 0;
  let star = -1;
  let starChar = 0;
  while (char < chars.length) {
    const here = parts[part];
    if (here?.kind === 'star') {
      star = part;
      starChar = char;
      part += 1;
    } else if (here !== undefined && matchOne(here, chars[char] as string)) {
      part += 1;
      char += 1;
    } else if (star >= 0) {
      starChar += 1;
      char = starChar;
      part = star + 1;
    } else {
      return false;
    }
  }
  while (parts[part]?.kind === 'star') part += 1;
  return part === parts.length;
}

function matchOne(part: Exclude<Part, { kind: 'star' }>, char: string): boolean {
  switch (part.kind) {
    case 'any':
      return true;
    case 'char':
      return part.char === char;
    case 'set': {
      const code = char.codePointAt(0) ?? 0;
      const isIn = part.ranges.some(
        ([low, high]) => code >= (low.codePointAt(0) ?? 0) && code <= (high.codePointAt(0) ?? 0),
      );
      return isIn !== part.negated;
    }
  }
}
