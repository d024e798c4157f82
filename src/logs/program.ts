/**
 * A pattern as a program of small steps (Thompson's construction): it may be at many steps at once,
 * and is at one of them for each way in which the bytes so far can be read.
 *
 *     set     goes on when the next byte is in the set
 *     split   goes on in two ways
 *     assert  goes on where the assertion holds
 *     accept  the line matches
 */
import type { ByteSet } from './byte-set.js';
import type { Assertion, Expression } from './expression.js';
import { badPattern } from './pattern-error.js';

export type Step =
  | { readonly kind: 'set'; readonly set: ByteSet; readonly next: number }
  | { readonly kind: 'split'; next: number; readonly other: number }
  | { readonly kind: 'assert'; readonly assertion: Assertion; readonly next: number }
  | { readonly kind: 'accept' };

export interface Program {
  readonly steps: readonly Step[];
  readonly start: number;
}

/** Repetitions are written out, so a short pattern may become a long program. */
const STEPS_MAX = 20_000;

/** Throws PatternError where it would be too large. */
export function compileProgram(expression: Expression): Program {
  const steps: Step[] = [];
  const accept = add(steps, { kind: 'accept' });
  return { steps, start: compile(steps, expression, accept) };
}

/** The step at which the expression begins, when `next` follows it. */
function compile(steps: Step[], expression: Expression, next: number): number {
  switch (expression.kind) {
    case 'empty':
      return next;
    case 'set':
      return add(steps, { kind: 'set', set: expression.set, next });
    case 'assert':
      return add(steps, { kind: 'assert', assertion: expression.assertion, next });
    case 'concat':
      return expression.parts.reduceRight((after, part) => compile(steps, part, after), next);
    case 'choice':
      return expression.parts
        .map((part) => compile(steps, part, next))
        .reduce((other, entry) => add(steps, { kind: 'split', next: entry, other }));
    case 'repeat':
      return compileRepeat(steps, expression, next);
  }
}

function compileRepeat(
  steps: Step[],
  { body, min, max }: Extract<Expression, { kind: 'repeat' }>,
  next: number,
): number {
  let entry = next;
  if (max === undefined) {
    const loop: Step = { kind: 'split', next: 0, other: next };
    entry = add(steps, loop);
    loop.next = compile(steps, body, entry);
  } else {
    // Each copy may be the last: x{0,2} is (x(x|)|).
    for (let copy = min; copy < max; copy += 1) {
      entry = add(steps, { kind: 'split', next: compile(steps, body, entry), other: next });
    }
  }
  for (let copy = 0; copy < min; copy += 1) entry = compile(steps, body, entry);
  return entry;
}

function add(steps: Step[], step: Step): number {
  if (steps.length >= STEPS_MAX) {
    throw badPattern(`with its repetitions written out it has more than ${STEPS_MAX} steps`);
  }
  return steps.push(step) - 1;
}
