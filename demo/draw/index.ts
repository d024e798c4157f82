/** Seeded drawings of digits and flowers: the images of the demonstration, the tests and the training. */
export { DIGIT_LABELS, drawDigit, type LabelledDrawing } from './digits.js';
export { drawFlower, FLOWER_LABELS, FLOWER_SIDE, type FlowerLabel } from './flowers.js';
export { createItemRng, createRng, type Rng } from './rng.js';
export { DRAWING_KINDS, type DrawingKind, drawItem, drawSet, labelsOf } from './sets.js';
