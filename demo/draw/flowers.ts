/**
 * Drawn flowers of five kinds, made so that only their shape tells them apart.
 *
 * | Kind | What makes it one |
 * |---|---|
 * | daisy | one ring of 12 to 20 slim petals with gaps, round a small smooth disc |
 * | dandelion | a ball of fine rays: a ragged dense head, or a clock of fluff |
 * | roses | broad petals wound into each other, spiral in the middle, no disc |
 * | sunflowers | a large disc of seeds, two rows of short pointed petals |
 * | tulips | a cup seen from the side, three points, on a stem with long leaves |
 *
 * Petals of all kinds take their colour from one palette, centres from another, and grounds from
 * a third; a nearest-centroid on colour histograms stays under 60 % (a test says so). Heads vary
 * in place, size, turn, squash and light, and are partly hidden by blades or leaves.
 */
import { createDrawing, type DrawingContext, encodePng } from '../../src/image/index.js';
import { type Pen, paintGround, paintLight, paintOcclusion, paintStem } from './flower-scene.js';
import type { LabelledDrawing } from './digits.js';
import { addGrain } from './noise.js';
import { type Color, CENTERS, css, PETALS, shade, vary } from './palette.js';
import { between, happens, pick, type Rng, wholeBetween } from './rng.js';

/** The labels of this kind, in the order of the model's outputs. */
export const FLOWER_LABELS = ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'] as const;

/** One of the five kinds. */
export type FlowerLabel = (typeof FLOWER_LABELS)[number];

/** Side of a drawing in pixels. */
export const FLOWER_SIDE = 96;

/** What nature does more often; a third of the drawings take it, so photographs and drawings meet. */
const USUAL: Record<FlowerLabel, readonly Color[]> = {
  daisy: [[50, 10, 94]],
  dandelion: [
    [50, 90, 58],
    [50, 8, 90],
  ],
  roses: [
    [355, 78, 45],
    [335, 70, 72],
  ],
  sunflowers: [[46, 92, 55]],
  tulips: [
    [355, 78, 45],
    [32, 92, 55],
    [285, 45, 55],
  ],
};

const SHAPES: Record<FlowerLabel, (pen: Pen, color: Color) => void> = {
  daisy: paintDaisy,
  dandelion: paintDandelion,
  roses: paintRose,
  sunflowers: paintSunflower,
  tulips: paintTulip,
};

/** Draws one flower, 96×96. The label comes from `rng` unless it is given. */
export function drawFlower(
  rng: Rng,
  label: FlowerLabel = pick(rng, FLOWER_LABELS),
): LabelledDrawing {
  const side = FLOWER_SIDE;
  const drawing = createDrawing(side, side);
  const { context } = drawing;
  const pen: Pen = { context, rng };
  paintGround(pen, side);

  const radius = side * between(rng, 0.24, 0.46);
  const reach = Math.max(0.04, 0.5 - radius / side) * 0.7;
  const x = side * (0.5 + between(rng, -reach, reach));
  const y = side * (0.5 + between(rng, -reach, reach));
  const color = vary(rng, pick(rng, happens(rng, 0.33) ? USUAL[label] : PETALS));

  context.save();
  context.translate(x, y);
  context.scale(radius, radius);
  context.lineCap = 'round';
  // A tulip stands; heads seen from above may be turned any way.
  if (label === 'tulips') context.rotate(between(rng, -0.5, 0.5));
  else if (happens(rng, 0.7)) paintStem(pen);
  if (label !== 'tulips') {
    context.rotate(between(rng, 0, 2 * Math.PI));
    context.scale(1, between(rng, 0.7, 1));
    context.rotate(between(rng, 0, 2 * Math.PI));
  }
  SHAPES[label](pen, color);
  context.restore();

  paintOcclusion(pen, side);
  paintLight(pen, side);
  addGrain(drawing, rng, between(rng, 0, 30));
  return { png: encodePng(drawing), label };
}

/** One ring of slim petals with gaps, a small disc. */
function paintDaisy({ context, rng }: Pen, color: Color): void {
  const count = wholeBetween(rng, 12, 20);
  const width = between(rng, 0.55, 0.8) * (Math.PI / count) * 0.8;
  for (let i = 0; i < count; i += 1) {
    const angle = (2 * Math.PI * i) / count + between(rng, -0.05, 0.05);
    const length = between(rng, 0.9, 1.02);
    context.save();
    context.rotate(angle);
    context.fillStyle = css(vary(rng, color, 0.4));
    context.beginPath();
    context.ellipse(length * 0.58, 0, length * 0.42, width, 0, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = css(shade(color, -22), 0.5);
    context.lineWidth = 0.02;
    context.stroke();
    context.restore();
  }
  const radius = between(rng, 0.2, 0.29);
  paintDome(context, radius, vary(rng, pick(rng, CENTERS)));
}

/** Either a dense head of ragged rays, or a clock: fine spokes that end in stars. */
function paintDandelion({ context, rng }: Pen, color: Color): void {
  const isClock = happens(rng, 0.4);
  if (!isClock) {
    for (let ring = 4; ring >= 0; ring -= 1) {
      const outer = 0.35 + 0.16 * ring;
      const count = 14 + ring * 11;
      for (let i = 0; i < count; i += 1) {
        const angle = (2 * Math.PI * (i + between(rng, -0.4, 0.4))) / count;
        const length = outer * between(rng, 0.8, 1.12);
        context.strokeStyle = css(shade(vary(rng, color, 0.5), between(rng, -14, 8) - 2 * ring));
        context.lineWidth = between(rng, 0.03, 0.06);
        ray(context, angle, outer * 0.15, length);
      }
    }
    return;
  }
  context.fillStyle = css(shade(color, 5), 0.22);
  circle(context, 0.95);
  context.strokeStyle = css(color, 0.75);
  const count = wholeBetween(rng, 45, 80);
  for (let i = 0; i < count; i += 1) {
    const angle = between(rng, 0, 2 * Math.PI);
    const length = Math.sqrt(between(rng, 0.25, 1));
    context.lineWidth = 0.018;
    ray(context, angle, 0.1, length * 0.9);
    context.save();
    context.translate(Math.cos(angle) * length * 0.9, Math.sin(angle) * length * 0.9);
    context.rotate(angle);
    for (let spoke = -3; spoke <= 3; spoke += 1) ray(context, spoke * 0.45, 0, 0.13);
    context.restore();
  }
  context.fillStyle = css(vary(rng, pick(rng, CENTERS)));
  circle(context, between(rng, 0.1, 0.16));
}

/** Broad petals in closing rings, each a third over the last, and a spiral in the middle. */
function paintRose({ context, rng }: Pen, color: Color): void {
  const rings = wholeBetween(rng, 4, 5);
  for (let ring = rings; ring >= 1; ring -= 1) {
    const far = ring / rings;
    const count = Math.min(6, ring + 2);
    const start = between(rng, 0, 2 * Math.PI);
    for (let i = 0; i < count; i += 1) {
      const angle = start + (2 * Math.PI * i) / count;
      context.save();
      context.rotate(angle);
      context.translate(far * 0.5, 0);
      context.scale(far * between(rng, 0.44, 0.5), far * between(rng, 0.6, 0.72));
      const tone = shade(vary(rng, color, 0.3), between(rng, -6, 6) - 14 * (1 - far));
      const fold = context.createRadialGradient(-0.6, 0, 0.1, 0, 0, 1.1);
      fold.addColorStop(0, css(shade(tone, -18)));
      fold.addColorStop(0.8, css(tone));
      fold.addColorStop(1, css(shade(tone, 10)));
      context.fillStyle = fold;
      circle(context, 1);
      context.strokeStyle = css(shade(tone, -22), 0.7);
      context.lineWidth = 0.07;
      context.stroke();
      context.restore();
    }
  }
  context.strokeStyle = css(shade(color, -28));
  context.lineWidth = 0.045;
  context.beginPath();
  const turn = between(rng, 0, 2 * Math.PI);
  for (let i = 0; i <= 40; i += 1) {
    const angle = turn + i * 0.3;
    const far = 0.02 + i * 0.007;
    context.lineTo(Math.cos(angle) * far, Math.sin(angle) * far);
  }
  context.stroke();
}

/** A large disc of seeds (Vogel's spiral) and two rows of short pointed petals. */
function paintSunflower({ context, rng }: Pen, color: Color): void {
  const disc = between(rng, 0.46, 0.58);
  const count = wholeBetween(rng, 17, 24);
  for (let row = 0; row < 2; row += 1) {
    for (let i = 0; i < count; i += 1) {
      const angle = (2 * Math.PI * (i + row / 2 + between(rng, -0.15, 0.15))) / count;
      const tip = between(rng, 0.92, 1.06) - row * 0.08;
      const half = (Math.PI / count) * 0.95 * disc;
      context.save();
      context.rotate(angle);
      context.fillStyle = css(shade(vary(rng, color, 0.4), row === 0 ? -12 : 0));
      context.beginPath();
      context.moveTo(disc * 0.8, -half);
      context.quadraticCurveTo(disc + (tip - disc) * 0.5, -half * 1.7, tip, 0);
      context.quadraticCurveTo(disc + (tip - disc) * 0.5, half * 1.7, disc * 0.8, half);
      context.fill();
      context.strokeStyle = css(shade(color, -28), 0.5);
      context.lineWidth = 0.02;
      context.stroke();
      context.restore();
    }
  }
  const center = vary(rng, pick(rng, CENTERS));
  paintDome(context, disc, center);
  const seeds = 90;
  for (let i = 0; i < seeds; i += 1) {
    const far = disc * 0.95 * Math.sqrt(i / seeds);
    const angle = i * 2.39996;
    context.fillStyle = css(shade(center, i % 2 === 0 ? 18 : -16), 0.8);
    context.beginPath();
    context.arc(Math.cos(angle) * far, Math.sin(angle) * far, 0.03, 0, 2 * Math.PI);
    context.fill();
  }
}

/** A cup from the side: two outer petals, one in front, a stem and long leaves. */
function paintTulip({ context, rng }: Pen, color: Color): void {
  const green: Color = vary(rng, [115, 38, 34]);
  context.strokeStyle = css(green);
  context.lineWidth = between(rng, 0.09, 0.14);
  context.beginPath();
  context.moveTo(0, 0.4);
  context.quadraticCurveTo(between(rng, -0.2, 0.2), 1.2, between(rng, -0.3, 0.3), 3);
  context.stroke();
  for (const sign of [-1, 1]) {
    if (happens(rng, 0.35)) continue;
    context.fillStyle = css(vary(rng, green, 0.6));
    context.beginPath();
    context.moveTo(0, 2.4);
    context.quadraticCurveTo(sign * 0.9, 1.6, sign * between(rng, 0.6, 1), between(rng, 0.2, 0.9));
    context.quadraticCurveTo(sign * 0.4, 1.5, 0, 2.4);
    context.fill();
  }
  const wide = between(rng, 0.5, 0.68);
  const open = between(rng, 0.85, 1.2);
  const back = shade(color, -16);
  // The petal behind fills the gap between the two at the sides.
  petal(context, 0, wide * 0.75, -0.85, css(back), css(shade(back, -15)));
  for (const sign of [-1, 1]) {
    const tone = shade(vary(rng, color, 0.3), sign * 4 - 3);
    context.fillStyle = css(tone);
    context.beginPath();
    context.moveTo(0, 0.62);
    context.bezierCurveTo(
      sign * wide * 1.5,
      0.6,
      sign * wide * 1.25,
      -0.3,
      sign * wide * open,
      -0.92,
    );
    context.bezierCurveTo(sign * wide * 0.3, -0.6, 0, -0.2, 0, 0.62);
    context.fill();
    context.strokeStyle = css(shade(tone, -20), 0.7);
    context.lineWidth = 0.03;
    context.stroke();
  }
  const front = shade(vary(rng, color, 0.3), 5);
  petal(context, 0, wide * 0.72, between(rng, -0.8, -0.6), css(front), css(shade(front, -20)));
}

/** A pointed upright petal from the foot of a cup to `tip`. */
function petal(
  context: DrawingContext,
  x: number,
  half: number,
  tip: number,
  fill: string,
  edge: string,
): void {
  context.fillStyle = fill;
  context.strokeStyle = edge;
  context.lineWidth = 0.03;
  context.beginPath();
  context.moveTo(x, 0.64);
  context.bezierCurveTo(x - half * 1.3, 0.4, x - half, -0.3, x, tip);
  context.bezierCurveTo(x + half, -0.3, x + half * 1.3, 0.4, x, 0.64);
  context.fill();
  context.stroke();
}

/** A disc lit from above left. */
function paintDome(context: DrawingContext, radius: number, color: Color): void {
  const dome = context.createRadialGradient(-radius / 3, -radius / 3, 0, 0, 0, radius);
  dome.addColorStop(0, css(shade(color, 12)));
  dome.addColorStop(1, css(shade(color, -12)));
  context.fillStyle = dome;
  circle(context, radius);
}

function circle(context: DrawingContext, radius: number): void {
  context.beginPath();
  context.arc(0, 0, radius, 0, 2 * Math.PI);
  context.fill();
}

function ray(context: DrawingContext, angle: number, from: number, to: number): void {
  context.beginPath();
  context.moveTo(Math.cos(angle) * from, Math.sin(angle) * from);
  context.lineTo(Math.cos(angle) * to, Math.sin(angle) * to);
  context.stroke();
}
