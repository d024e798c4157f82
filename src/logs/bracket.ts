/**
 * Bracket expressions, `[^[:digit:]a-f]`, as GNU grep reads them in the C locale: a backslash is
 * itself, `]` is itself when it comes first, `-` when it comes first or last; `[.a.]` and `[=a=]`
 * stand for one byte.
 */
import { addAll, addRange, type ByteSet, CLASSES, emptySet, folded, inverted } from './byte-set.js';
import { badPattern } from './pattern-error.js';

export interface Bracket {
  readonly set: ByteSet;
  /** Behind the closing bracket. */
  readonly end: number;
}

interface Element {
  readonly end: number;
  /** One byte that may begin or end a range, or a whole class. */
  readonly value: number | ByteSet;
}

const UNMATCHED = 'a [ without its ]';

/** `at`: behind the opening bracket. The text holds one byte in each character. */
export function parseBracket(text: string, at: number, ignoreCase: boolean): Bracket {
  const isNegated = text[at] === '^';
  const start = isNegated ? at + 1 : at;
  const set = emptySet();
  let next = start;
  do {
    next = addElement(set, text, next, next === start);
  } while (text[next] !== ']' && next < text.length);
  if (text[next] !== ']') throw badPattern(UNMATCHED);
  checkForgottenBrackets(text.slice(start, next));
  const both = ignoreCase ? folded(set) : set;
  return { set: isNegated ? inverted(both) : both, end: next + 1 };
}

function addElement(set: ByteSet, text: string, at: number, isFirst: boolean): number {
  const from = readElement(text, at);
  const isRange =
    text[from.end] === '-' && from.end + 1 < text.length && text[from.end + 1] !== ']';
  // Anywhere but first, last, or as the end of a range a hyphen means nothing.
  if (text[at] === '-' && !isFirst && text[from.end] !== ']')
    throw badPattern('a range without end');
  if (!isRange) {
    if (typeof from.value === 'number') set[from.value] = 1;
    else addAll(set, from.value);
    return from.end;
  }
  const to = readElement(text, from.end + 1);
  if (typeof from.value !== 'number' || typeof to.value !== 'number') {
    throw badPattern('a range that begins or ends with a class');
  }
  if (to.value < from.value) throw badPattern(`a range that ends before it begins`);
  addRange(set, from.value, to.value);
  return to.end;
}

function readElement(text: string, at: number): Element {
  const code = text.charCodeAt(at);
  if (Number.isNaN(code)) throw badPattern(UNMATCHED);
  const opener = text[at + 1];
  if (text[at] !== '[' || (opener !== ':' && opener !== '.' && opener !== '=')) {
    return { value: code, end: at + 1 };
  }
  const close = text.indexOf(`${opener}]`, at + 2);
  if (close < 0) throw badPattern(UNMATCHED);
  const name = text.slice(at + 2, close);
  return { value: opener === ':' ? classOf(name) : collatingByte(name), end: close + 2 };
}

function classOf(name: string): ByteSet {
  const set = CLASSES.get(name);
  if (set === undefined) throw badPattern(`no class is called [:${name}:]`);
  return set;
}

function collatingByte(name: string): number {
  if (name.length !== 1) throw badPattern(`"${name}" is not one byte`);
  return name.charCodeAt(0);
}

/** `[:space:]` is nearly always meant as `[[:space:]]`; with ranges or classes in it it is not. */
function checkForgottenBrackets(inner: string): void {
  if (inner.length > 2 && /^:[^[-]*:$/.test(inner)) {
    throw badPattern(`a class is written [[:space:]], not [:space:]`);
  }
}
