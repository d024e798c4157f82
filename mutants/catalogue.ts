/**
 * The mistakes. M1 to M20 are classic ones, found in real systems or named by the papers; the
 * others are ours. Each is a few characters that a tired person could write, in a place where it
 * matters. Code that moves takes its mutation with it: a test checks that every one still fits.
 */
import { CLASSIC } from './catalogue-classic.js';
import { OWN } from './catalogue-own.js';
import type { Mutation } from './types.js';

export const CATALOGUE: readonly Mutation[] = [...CLASSIC, ...OWN];
