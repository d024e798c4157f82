/** What surrounds a drawn flower: ground, grass, stem, what hides a part of it, and the light. */
import type { DrawingContext } from '../../src/image/index.js';
import { CENTERS, css, GROUNDS, PETALS, shade, vary } from './palette.js';
import { between, happens, pick, type Rng, wholeBetween } from './rng.js';

/** What is painted with. Flower heads scale the context first, so that their radius is 1. */
export interface Pen {
  readonly context: DrawingContext;
  readonly rng: Rng;
}

/** A plain or graded ground with soft blots, out of focus, and often blades of grass. */
export function paintGround(pen: Pen, side: number): void {
  const { context, rng } = pen;
  const color = vary(rng, pick(rng, GROUNDS));
  const slope = context.createLinearGradient(0, 0, side * between(rng, -1, 1), side);
  slope.addColorStop(0, css(shade(color, between(rng, -12, 12))));
  slope.addColorStop(1, css(shade(color, between(rng, -12, 12))));
  context.fillStyle = slope;
  context.fillRect(0, 0, side, side);
  for (let i = wholeBetween(rng, 0, 12); i > 0; i -= 1) {
    const palette = happens(rng, 0.3) ? PETALS : happens(rng, 0.5) ? GROUNDS : CENTERS;
    const blot = vary(rng, pick(rng, palette));
    const x = between(rng, 0, side);
    const y = between(rng, 0, side);
    const radius = side * between(rng, 0.05, 0.25);
    const soft = context.createRadialGradient(x, y, 0, x, y, radius);
    soft.addColorStop(0, css(blot, between(rng, 0.2, 0.7)));
    soft.addColorStop(1, css(blot, 0));
    context.fillStyle = soft;
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
  }
  if (happens(rng, 0.5))
    for (let i = wholeBetween(rng, 2, 10); i > 0; i -= 1) blade(pen, side, 0.8);
}

/** Up to three blades, or a leaf from the rim, over a part of the head. */
export function paintOcclusion(pen: Pen, side: number): void {
  const { context, rng } = pen;
  if (happens(rng, 0.4))
    for (let i = wholeBetween(rng, 1, 3); i > 0; i -= 1) blade(pen, side, 0.95);
  if (!happens(rng, 0.3)) return;
  const angle = between(rng, 0, 2 * Math.PI);
  context.save();
  context.translate(
    side / 2 + Math.cos(angle) * side * 0.6,
    side / 2 + Math.sin(angle) * side * 0.6,
  );
  context.rotate(angle + between(rng, -0.7, 0.7));
  context.fillStyle = css(vary(rng, [110, 35, 35]));
  context.beginPath();
  context.ellipse(0, 0, side * between(rng, 0.2, 0.33), side * between(rng, 0.07, 0.15), 0, 0, 7);
  context.fill();
  context.restore();
}

/** A blade of grass from the lower rim. */
function blade({ context, rng }: Pen, side: number, alpha: number): void {
  const x = between(rng, 0, side);
  const top = between(rng, -0.1, 0.6) * side;
  context.strokeStyle = css(vary(rng, [105, 40, 38]), alpha);
  context.lineWidth = between(rng, 0.8, 3);
  context.beginPath();
  context.moveTo(x, side);
  context.quadraticCurveTo(
    x + between(rng, -14, 14),
    (top + side) / 2,
    x + between(rng, -30, 30),
    top,
  );
  context.stroke();
}

/** Sun or shadow from one side over everything. */
export function paintLight({ context, rng }: Pen, side: number): void {
  const light = context.createLinearGradient(between(rng, 0, side), 0, between(rng, 0, side), side);
  const tone = happens(rng, 0.5) ? 255 : 0;
  light.addColorStop(0, `rgba(${tone}, ${tone}, ${tone}, ${between(rng, 0, 0.3).toFixed(3)})`);
  light.addColorStop(1, `rgba(${tone}, ${tone}, ${tone}, 0)`);
  context.fillStyle = light;
  context.fillRect(0, 0, side, side);
}

/** The stem of a head seen from above, in units of the head. */
export function paintStem({ context, rng }: Pen): void {
  context.strokeStyle = css(vary(rng, [110, 38, 32]));
  context.lineWidth = between(rng, 0.06, 0.13);
  context.beginPath();
  context.moveTo(0, 0);
  context.quadraticCurveTo(between(rng, -0.4, 0.4), 1.2, between(rng, -0.8, 0.8), 4);
  context.stroke();
}
