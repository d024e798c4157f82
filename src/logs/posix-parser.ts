/**
 * POSIX basic and extended regular expressions, with the extensions and in the reading of GNU grep,
 * so that the same pattern selects the same lines (test/logs compares with the real one):
 *
 *     extended   ( ) { } | + ? are operators, with a backslash they are themselves
 *     basic      the same with a backslash, without one they are themselves; * is itself where an
 *                expression begins, ^ and $ where none begins or ends
 *     both       . [ ] * ^ $ \w \W \s \S \< \> \b \B and one alternative in each line
 *
 * Refused, besides what grep refuses: back-references, because with them no bound of time can be
 * given (the question is NP-complete), and patterns that are too deep or too large.
 *
 * The parser's text holds one byte in each character.
 */
import { ANY, folded, inverted, single, SPACE, WORD } from './byte-set.js';
import { parseBracket } from './bracket.js';
import { type Assertion, choiceOf, concatOf, EMPTY, type Expression } from './expression.js';
import { badPattern } from './pattern-error.js';

export type Syntax = 'basic' | 'extended' | 'fixed';

export interface ParseOptions {
  readonly syntax: Syntax;
  readonly ignoreCase: boolean;
}

/** Parentheses within parentheses: the parser's own stack. */
const DEPTH_MAX = 250;
/** POSIX's own limit of a bounded repetition, RE_DUP_MAX. */
const REPEAT_MAX = 32_767;

type Token =
  | { readonly kind: 'atom'; readonly expression: Expression }
  | { readonly kind: 'repeat'; readonly min: number; readonly max: number | undefined }
  | { readonly kind: 'open' }
  | { readonly kind: 'close' }
  | { readonly kind: 'or' }
  | { readonly kind: 'end' };

const OPEN: Token = { kind: 'open' };
const CLOSE: Token = { kind: 'close' };
const OR: Token = { kind: 'or' };
const END: Token = { kind: 'end' };

/** `pattern` is taken byte by byte, as UTF-8. Throws PatternError. */
export function parsePattern(pattern: string, options: ParseOptions): Expression {
  const lines = Buffer.from(pattern).toString('latin1').split('\n');
  return choiceOf(
    lines.map((line) =>
      options.syntax === 'fixed' ? literalOf(line, options) : new Parser(line, options).parse(),
    ),
  );
}

function literalOf(text: string, options: ParseOptions): Expression {
  return concatOf([...Buffer.from(text, 'latin1')].map((byte) => byteAtom(byte, options)));
}

function byteAtom(byte: number, { ignoreCase }: ParseOptions): Expression {
  const set = single(byte);
  return { kind: 'set', set: ignoreCase ? folded(set) : set };
}

class Parser {
  readonly #text: string;
  readonly #options: ParseOptions;
  readonly #isExtended: boolean;
  #at = 0;
  #depth = 0;
  #token: Token = END;
  /** In a basic expression: nothing has been read that could be repeated. */
  #isStart = true;

  constructor(text: string, options: ParseOptions) {
    this.#text = text;
    this.#options = options;
    this.#isExtended = options.syntax === 'extended';
  }

  parse(): Expression {
    this.#advance();
    const expression = this.#choice();
    if (this.#token.kind === 'close') throw badPattern('a ) without its (');
    return expression;
  }

  // The grammar

  #choice(): Expression {
    const parts = [this.#branch()];
    while (this.#token.kind === 'or') {
      this.#advance();
      parts.push(this.#branch());
    }
    return choiceOf(parts);
  }

  #branch(): Expression {
    const parts: Expression[] = [];
    do {
      parts.push(this.#repetition());
    } while (!['close', 'or', 'end'].includes(this.#token.kind));
    return concatOf(parts);
  }

  #repetition(): Expression {
    let body = this.#atom();
    while (this.#token.kind === 'repeat') {
      const { min, max } = this.#token;
      body = max === 0 ? EMPTY : { kind: 'repeat', body, min, max };
      this.#advance();
    }
    return body;
  }

  /** Nothing, where an operator stands that has nothing to work on. */
  #atom(): Expression {
    const token = this.#token;
    if (token.kind === 'atom') {
      this.#advance();
      return token.expression;
    }
    if (token.kind !== 'open') return EMPTY;
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) {
      throw badPattern(`more than ${DEPTH_MAX} parentheses within each other`);
    }
    this.#advance();
    const inner = this.#choice();
    if (this.#token.kind !== 'close') throw badPattern('a ( without its )');
    this.#depth -= 1;
    this.#advance();
    return inner;
  }

  // The tokens

  #advance(): void {
    this.#token = this.#read();
    this.#isStart =
      this.#token.kind === 'open' || this.#token.kind === 'or' || this.#isAnchorAtStart();
  }

  /** In `^*` of a basic expression nothing has been read yet that the star could repeat. */
  #isAnchorAtStart(): boolean {
    const token = this.#token;
    const isAnchor =
      token.kind === 'atom' &&
      token.expression.kind === 'assert' &&
      token.expression.assertion === 'line-start';
    return isAnchor && this.#isStart;
  }

  #read(): Token {
    const character = this.#text[this.#at];
    if (character === undefined) return END;
    this.#at += 1;
    if (character === '\\') return this.#escaped();
    switch (character) {
      case '^':
        return this.#isExtended || this.#mayAnchor() ? assert('line-start') : this.#byte(character);
      case '$':
        return this.#isExtended || this.#endsHere() ? assert('line-end') : this.#byte(character);
      case '.':
        return { kind: 'atom', expression: { kind: 'set', set: ANY } };
      case '[':
        return this.#bracket();
      case '*':
        if (!this.#isExtended && this.#isStart) return this.#byte(character);
        return { kind: 'repeat', min: 0, max: undefined };
      default:
        return this.#isExtended ? this.#operator(character) : this.#byte(character);
    }
  }

  #escaped(): Token {
    const character = this.#text[this.#at];
    if (character === undefined) throw badPattern('a \\ at the end');
    this.#at += 1;
    if (character >= '1' && character <= '9') {
      throw badPattern(`back-references as \\${character} cannot be searched in bounded time`);
    }
    const special = this.#gnuEscape(character);
    if (special !== undefined) return special;
    return this.#isExtended ? this.#byte(character) : this.#operator(character);
  }

  #gnuEscape(character: string): Token | undefined {
    switch (character) {
      case '<':
        return assert('word-start');
      case '>':
        return assert('word-end');
      case 'b':
        return assert('word-edge');
      case 'B':
        return assert('no-word-edge');
      case '`':
        return assert('line-start');
      case "'":
        return assert('line-end');
      case 'w':
        return { kind: 'atom', expression: { kind: 'set', set: WORD } };
      case 'W':
        return { kind: 'atom', expression: { kind: 'set', set: inverted(WORD) } };
      case 's':
        return { kind: 'atom', expression: { kind: 'set', set: SPACE } };
      case 'S':
        return { kind: 'atom', expression: { kind: 'set', set: inverted(SPACE) } };
      default:
        return undefined;
    }
  }

  /** A character that is an operator in this syntax; others are themselves. */
  #operator(character: string): Token {
    const mayRepeat = this.#isExtended || !this.#isStart;
    switch (character) {
      case '(':
        return OPEN;
      case ')':
        // Without its partner an extended one is itself.
        return this.#isExtended && this.#depth === 0 ? this.#byte(character) : CLOSE;
      case '|':
        return OR;
      case '+':
        return mayRepeat ? { kind: 'repeat', min: 1, max: undefined } : this.#byte(character);
      case '?':
        return mayRepeat ? { kind: 'repeat', min: 0, max: 1 } : this.#byte(character);
      case '{':
        return mayRepeat ? this.#interval() : this.#byte(character);
      default:
        return this.#byte(character);
    }
  }

  /** `{3}`, `{3,}`, `{3,5}`, `{,5}`, `{,}`; what is none of them is itself in an extended one. */
  #interval(): Token {
    const close = this.#isExtended ? '\\}' : '\\\\\\}';
    const found = new RegExp(`^(\\d*)(,?)(\\d*)${close}`).exec(this.#text.slice(this.#at));
    const [whole = '', low = '', comma = '', high = ''] = found ?? [];
    if (found === null || (low === '' && comma === '')) {
      if (this.#isExtended) return this.#byte('{');
      throw badPattern('the content of \\{ \\} is no bound');
    }
    const min = Number(low);
    const max = comma === '' ? min : high === '' ? undefined : Number(high);
    if (max !== undefined && max < min) throw badPattern(`{${low},${high}} ends before it begins`);
    if (Math.max(min, max ?? 0) > REPEAT_MAX) {
      throw badPattern(`{${low}${comma}${high}} is more than ${REPEAT_MAX}`);
    }
    this.#at += whole.length;
    return { kind: 'repeat', min, max };
  }

  #bracket(): Token {
    const { set, end } = parseBracket(this.#text, this.#at, this.#options.ignoreCase);
    this.#at = end;
    return { kind: 'atom', expression: { kind: 'set', set } };
  }

  #byte(character: string): Token {
    return { kind: 'atom', expression: byteAtom(character.charCodeAt(0), this.#options) };
  }

  /** A basic expression begins: `^` is an anchor here. The token before is still the current one. */
  #mayAnchor(): boolean {
    const { kind } = this.#token;
    return this.#at === 1 || kind === 'open' || kind === 'or';
  }

  /** A basic expression ends: `$` is an anchor here. */
  #endsHere(): boolean {
    const rest = this.#text.slice(this.#at, this.#at + 2);
    return rest === '' || rest === '\\)' || rest === '\\|';
  }
}

function assert(assertion: Assertion): Token {
  return { kind: 'atom', expression: { kind: 'assert', assertion } };
}
