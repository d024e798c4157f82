/**
 * The colours of drawn flowers: one palette for the petals of all kinds, one for their centres, one
 * for what is behind them. That no kind has colours of its own is the point.
 */
import { between, type Rng } from './rng.js';

/** Hue 0..360, saturation and lightness 0..100, jittered for each use. */
export type Color = readonly [hue: number, saturation: number, lightness: number];

/** Petals of every kind: white, yellow, orange, pink, red, violet. */
export const PETALS: readonly Color[] = [
  [50, 10, 94],
  [50, 90, 58],
  [32, 92, 55],
  [335, 70, 72],
  [355, 78, 45],
  [285, 45, 55],
];

/** Centres of all kinds: yellow, brown, green, nearly black. */
export const CENTERS: readonly Color[] = [
  [48, 85, 50],
  [30, 60, 28],
  [75, 45, 40],
  [20, 45, 15],
];

/** What is behind: greens, sky, earth, night, sand, violet haze. */
export const GROUNDS: readonly Color[] = [
  [110, 35, 28],
  [95, 30, 45],
  [205, 55, 68],
  [30, 25, 30],
  [0, 0, 12],
  [45, 20, 80],
  [260, 15, 50],
];

/** A near colour; `amount` 1 is the usual spread between two flowers, less within one. */
export function vary(rng: Rng, [hue, saturation, lightness]: Color, amount = 1): Color {
  return [
    hue + between(rng, -12, 12) * amount,
    saturation + between(rng, -10, 10) * amount,
    lightness + between(rng, -9, 9) * amount,
  ];
}

/** The same colour, `by` points lighter (or darker, below 0). */
export function shade([hue, saturation, lightness]: Color, by: number): Color {
  return [hue, saturation, lightness + by];
}

/** As CSS writes it; out-of-range parts are clamped, the hue wraps. */
export function css([hue, saturation, lightness]: Color, alpha = 1): string {
  const turn = (((hue % 360) + 360) % 360).toFixed(1);
  const s = Math.min(100, Math.max(0, saturation)).toFixed(1);
  const l = Math.min(100, Math.max(0, lightness)).toFixed(1);
  return `hsla(${turn}, ${s}%, ${l}%, ${alpha.toFixed(3)})`;
}
