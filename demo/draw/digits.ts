/**
 * Drawn digits 0 to 9: light ink on a dark ground as in MNIST, in twelve faces, with random size,
 * place, turn, slant, stroke and grain.
 *
 * Faces are handwritten and printed; the model is trained on MNIST too, so that a set of these
 * and scanned digits need one manifest. Ink is always at least 90 grey levels above the ground:
 * fainter ones are hard for people as well.
 */
import type { Buffer } from 'node:buffer';
import {
  createDrawing,
  type DrawingContext,
  encodePng,
  FONT_FACES,
  registerFonts,
} from '../../src/image/index.js';
import { addGrain } from './noise.js';
import { between, happens, pick, type Rng, wholeBetween } from './rng.js';

/** A drawing and what it shows. */
export interface LabelledDrawing {
  readonly png: Buffer;
  readonly label: string;
}

/** The labels of this kind, in the order of the model's outputs. */
export const DIGIT_LABELS = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] as const;

/** Draws one digit on 28×28 to 64×64 pixels. The label comes from `rng` unless it is given. */
export function drawDigit(rng: Rng, label: string = pick(rng, DIGIT_LABELS)): LabelledDrawing {
  registerFonts();
  const side = wholeBetween(rng, 28, 64);
  const drawing = createDrawing(side, side);
  const { context } = drawing;
  const ground = between(rng, 0, 60);
  const ink = between(rng, Math.max(150, ground + 90), 255);
  paintGround(context, rng, side, ground);

  const glyphHeight = side * between(rng, 0.5, 0.8);
  context.translate(
    side * (0.5 + between(rng, -0.08, 0.08)),
    side * (0.5 + between(rng, -0.08, 0.08)),
  );
  context.rotate(between(rng, -0.3, 0.3));
  context.transform(between(rng, 0.85, 1.2), 0, between(rng, -0.2, 0.2), 1, 0, 0);
  paintGlyph(context, rng, label, glyphHeight, grey(ink));

  context.setTransform(1, 0, 0, 1, 0, 0);
  if (happens(rng, 0.3)) paintSpecks(context, rng, side);
  addGrain(drawing, rng, between(rng, 0, 45));
  return { png: encodePng(drawing), label };
}

function paintGround(context: DrawingContext, rng: Rng, side: number, level: number): void {
  const slope = context.createLinearGradient(0, 0, side * rng.next(), side);
  slope.addColorStop(0, grey(level));
  slope.addColorStop(1, grey(Math.max(0, level + between(rng, -20, 20))));
  context.fillStyle = slope;
  context.fillRect(0, 0, side, side);
}

/** Filled, outlined or both; scaled by the glyph's own box, since faces differ in digit height. */
function paintGlyph(
  context: DrawingContext,
  rng: Rng,
  label: string,
  height: number,
  color: string,
): void {
  const { family, weight } = pick(rng, FONT_FACES);
  context.font = `${weight} 100px "${family}"`;
  context.textAlign = 'center';
  context.textBaseline = 'alphabetic';
  const box = context.measureText(label);
  const tall = box.actualBoundingBoxAscent + box.actualBoundingBoxDescent;
  const wide = box.actualBoundingBoxRight + box.actualBoundingBoxLeft;
  // As tall as asked for, but not wider than tall: a broad face would leave the picture.
  const scale = height / Math.max(1, tall, wide);
  context.scale(scale, scale);
  const middle = (box.actualBoundingBoxLeft - box.actualBoundingBoxRight) / 2;
  const baseline = (box.actualBoundingBoxAscent - box.actualBoundingBoxDescent) / 2;
  const style = rng.next();
  context.fillStyle = color;
  context.strokeStyle = color;
  context.lineJoin = 'round';
  if (style < 0.8) context.fillText(label, middle, baseline);
  if (style > 0.5) {
    // Outline alone (above 0.8) needs a stroke that survives shrinking to 28 pixels.
    context.lineWidth = between(rng, 1, 2.5) / scale;
    context.strokeText(label, middle, baseline);
  }
}

/** A few short scratches and dots at the rim, where they cannot turn one digit into another. */
function paintSpecks(context: DrawingContext, rng: Rng, side: number): void {
  for (let i = wholeBetween(rng, 1, 4); i > 0; i -= 1) {
    const angle = between(rng, 0, 2 * Math.PI);
    const far = side * between(rng, 0.46, 0.6);
    const x = side / 2 + Math.cos(angle) * far;
    const y = side / 2 + Math.sin(angle) * far;
    context.fillStyle = grey(between(rng, 90, 220));
    context.fillRect(x, y, side * between(rng, 0.02, 0.06), side * between(rng, 0.02, 0.06));
  }
}

function grey(level: number): string {
  const whole = Math.round(Math.min(255, Math.max(0, level)));
  return `rgb(${whole}, ${whole}, ${whole})`;
}
