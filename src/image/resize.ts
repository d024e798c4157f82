/**
 * Resampling of a bitmap to float RGB, with an antialiased triangle filter.
 *
 * Enlarging, this is bilinear interpolation; shrinking, each output pixel averages the area that
 * it covers, so that thin strokes do not vanish. It is the filter of Pillow's BILINEAR and of
 * torchvision's `antialias=True`, without their rounding to 8 bits between the passes, so models
 * trained with either see what they were trained on, to within one grey level.
 *
 * Pure and deterministic: plain arithmetic in a fixed order, no native resampler whose result
 * changes with its version. Transparent pixels are blended over white first.
 */
import type { Bitmap } from './bitmap.js';

/** Where to sample: the picture is scaled to `full`, and the rectangle `crop` of that is made. */
export interface ResizePlan {
  readonly fullWidth: number;
  readonly fullHeight: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** For each output coordinate: first source coordinate, and weights that sum to 1. */
interface FilterTaps {
  readonly first: Int32Array;
  readonly weights: readonly Float64Array[];
}

/** RGB, interleaved, 0..255 as float, `width × height × 3` elements. */
export function resizeToRgb(bitmap: Bitmap, plan: ResizePlan): Float32Array {
  const columns = filterTaps(bitmap.width, plan.fullWidth, plan.left, plan.width);
  const rows = filterTaps(bitmap.height, plan.fullHeight, plan.top, plan.height);
  const top = rows.first[0] ?? 0;
  const last = plan.height - 1;
  const bottom = (rows.first[last] ?? 0) + (rows.weights[last]?.length ?? 0);

  const stride = plan.width * 3;
  const squeezed = new Float32Array((bottom - top) * stride);
  const line = new Float32Array(bitmap.width * 3);
  for (let y = top; y < bottom; y += 1) {
    blendRow(bitmap, y, line);
    filterRow(line, columns, squeezed, (y - top) * stride);
  }
  return filterColumns(squeezed, stride, rows, top);
}

/** One source row as RGB over white. */
function blendRow(bitmap: Bitmap, y: number, line: Float32Array): void {
  const { rgba, width } = bitmap;
  let from = y * width * 4;
  for (let to = 0; to < width * 3; to += 3, from += 4) {
    const alpha = rgba[from + 3] ?? 255;
    const red = rgba[from] ?? 0;
    const green = rgba[from + 1] ?? 0;
    const blue = rgba[from + 2] ?? 0;
    if (alpha === 255) {
      line[to] = red;
      line[to + 1] = green;
      line[to + 2] = blue;
    } else {
      const part = alpha / 255;
      line[to] = 255 + (red - 255) * part;
      line[to + 1] = 255 + (green - 255) * part;
      line[to + 2] = 255 + (blue - 255) * part;
    }
  }
}

function filterRow(line: Float32Array, taps: FilterTaps, out: Float32Array, offset: number): void {
  let to = offset;
  for (let x = 0; x < taps.weights.length; x += 1) {
    const weights = taps.weights[x] as Float64Array;
    let from = (taps.first[x] as number) * 3;
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let tap = 0; tap < weights.length; tap += 1, from += 3) {
      const weight = weights[tap] as number;
      red += weight * (line[from] as number);
      green += weight * (line[from + 1] as number);
      blue += weight * (line[from + 2] as number);
    }
    out[to] = red;
    out[to + 1] = green;
    out[to + 2] = blue;
    to += 3;
  }
}

function filterColumns(
  rows: Float32Array,
  stride: number,
  taps: FilterTaps,
  top: number,
): Float32Array {
  const out = new Float32Array(taps.weights.length * stride);
  const sums = new Float64Array(stride);
  for (let y = 0; y < taps.weights.length; y += 1) {
    const weights = taps.weights[y] as Float64Array;
    const first = (taps.first[y] as number) - top;
    sums.fill(0);
    for (let tap = 0; tap < weights.length; tap += 1) {
      const weight = weights[tap] as number;
      const from = (first + tap) * stride;
      for (let i = 0; i < stride; i += 1) {
        sums[i] = (sums[i] as number) + weight * (rows[from + i] as number);
      }
    }
    out.set(sums, y * stride);
  }
  return out;
}

/**
 * Taps of the triangle filter for outputs `offset .. offset + count` of `full`, from `source`
 * pixels. Pixel centres lie at half-integers; taps beyond the edge are left out and the rest
 * scaled up, as Pillow does.
 */
function filterTaps(source: number, full: number, offset: number, count: number): FilterTaps {
  const ratio = source / full;
  const support = Math.max(1, ratio);
  const first = new Int32Array(count);
  const weights: Float64Array[] = [];
  for (let i = 0; i < count; i += 1) {
    const center = (offset + i + 0.5) * ratio;
    const from = Math.max(0, Math.floor(center - support + 0.5));
    const to = Math.min(source, Math.floor(center + support + 0.5));
    const taps = new Float64Array(Math.max(1, to - from));
    let sum = 0;
    for (let tap = 0; tap < taps.length; tap += 1) {
      const distance = Math.abs(from + tap + 0.5 - center) / support;
      const weight = Math.max(0, 1 - distance);
      taps[tap] = weight;
      sum += weight;
    }
    first[i] = from;
    weights.push(taps.map((weight) => weight / sum));
  }
  return { first, weights };
}
