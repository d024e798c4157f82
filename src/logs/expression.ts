/**
 * A pattern as a tree. Which line matches is all that is asked, so nothing is captured, and how
 * long a match is does not matter.
 */
import type { ByteSet } from './byte-set.js';

export type Assertion =
  | 'line-start'
  | 'line-end'
  | 'word-start'
  | 'word-end'
  | 'word-edge'
  | 'no-word-edge';

export type Expression =
  | { readonly kind: 'empty' }
  | { readonly kind: 'set'; readonly set: ByteSet }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | { readonly kind: 'choice'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'repeat';
      readonly body: Expression;
      readonly min: number;
      /** Undefined: any number. */
      readonly max: number | undefined;
    };

export const EMPTY: Expression = { kind: 'empty' };

export function concatOf(parts: readonly Expression[]): Expression {
  const [only] = parts;
  if (only === undefined) return EMPTY;
  return parts.length === 1 ? only : { kind: 'concat', parts };
}

export function choiceOf(parts: readonly Expression[]): Expression {
  const [only] = parts;
  if (only === undefined) return EMPTY;
  return parts.length === 1 ? only : { kind: 'choice', parts };
}
