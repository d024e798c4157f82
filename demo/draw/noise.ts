/** Grain over a finished drawing: what a cheap sensor adds, and what defeats exact matching. */
import type { Drawing } from '../../src/image/index.js';
import type { Rng } from './rng.js';

/** Adds to each pixel a random grey between −amount and amount (0..255 units), in place. */
export function addGrain(drawing: Drawing, rng: Rng, amount: number): void {
  const data = drawing.context.getImageData(0, 0, drawing.width, drawing.height);
  const pixels = data.data;
  for (let i = 0; i < pixels.length; i += 4) {
    // Sum of two: triangular, closer to a sensor's noise than a flat one.
    const grain = (rng.next() + rng.next() - 1) * amount;
    pixels[i] = (pixels[i] ?? 0) + grain;
    pixels[i + 1] = (pixels[i + 1] ?? 0) + grain;
    pixels[i + 2] = (pixels[i + 2] ?? 0) + grain;
  }
  drawing.context.putImageData(data, 0, 0);
}
