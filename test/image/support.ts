/** Builds bitmaps and encoded pictures for the tests of src/image. */
import { Buffer } from 'node:buffer';
import { type Bitmap, createDrawing, encodeJpeg, encodePng } from '../../src/image/index.js';
import { createRng } from '../../demo/draw/rng.js';

/** Opaque pixels with every channel at random. */
export function randomBitmap(width: number, height: number, seed: number): Bitmap {
  const rng = createRng(seed);
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < rgba.length; i += 1)
    rgba[i] = i % 4 === 3 ? 255 : Math.floor(rng.next() * 256);
  return { width, height, rgba };
}

/** A bitmap of one colour. */
export function plainBitmap(
  width: number,
  height: number,
  pixel: readonly [number, number, number, number],
): Bitmap {
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < rgba.length; i += 4) rgba.set(pixel, i);
  return { width, height, rgba };
}

/** Left half red, right half blue, encoded. */
export function halves(width: number, height: number, kind: 'png' | 'jpeg'): Buffer {
  const drawing = createDrawing(width, height);
  drawing.context.fillStyle = 'rgb(255, 0, 0)';
  drawing.context.fillRect(0, 0, width / 2, height);
  drawing.context.fillStyle = 'rgb(0, 0, 255)';
  drawing.context.fillRect(width / 2, 0, width / 2, height);
  return kind === 'png' ? encodePng(drawing) : encodeJpeg(drawing, 0.95);
}

/** Red, green, blue, alpha at a place. */
export function pixelAt({ width, rgba }: Bitmap, x: number, y: number): number[] {
  return Array.from(rgba.subarray((y * width + x) * 4, (y * width + x) * 4 + 4));
}

/** A PNG header that claims any size, without pixels behind it. */
export function pngClaiming(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(33);
  Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex').copy(bytes);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.set([8, 6, 0, 0, 0], 24);
  return bytes;
}
