/** Whole sets of drawings: what the demonstration, the tests and the training all draw from. */
import { DIGIT_LABELS, drawDigit, type LabelledDrawing } from './digits.js';
import { drawFlower, FLOWER_LABELS } from './flowers.js';
import { createItemRng } from './rng.js';

/** The two kinds of drawing. */
export type DrawingKind = 'digits' | 'flowers';

/** All kinds, for messages and parsing. */
export const DRAWING_KINDS: readonly DrawingKind[] = ['digits', 'flowers'];

/** The labels of a kind, in the order of its model's outputs. */
export function labelsOf(kind: DrawingKind): readonly string[] {
  return kind === 'digits' ? DIGIT_LABELS : FLOWER_LABELS;
}

/** Drawing number `index` of the set with this seed; the same whatever the set's size. */
export function drawItem(kind: DrawingKind, seed: number, index: number): LabelledDrawing {
  const rng = createItemRng(seed, index);
  return kind === 'digits' ? drawDigit(rng) : drawFlower(rng);
}

/** `count` drawings one after another, made as they are asked for. */
export function* drawSet(
  kind: DrawingKind,
  count: number,
  seed: number,
): Generator<LabelledDrawing, void, undefined> {
  for (let index = 0; index < count; index += 1) yield drawItem(kind, seed, index);
}
