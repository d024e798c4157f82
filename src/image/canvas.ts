/**
 * The one file that imports node-canvas.
 *
 * Everything else in the project draws and decodes through what is exported here, so that the
 * native module can be replaced, counted and audited in one place. This file adds no behaviour
 * of its own beyond types that are awkward in the package: it decodes bytes that `decode.ts` has
 * already judged, makes surfaces, and registers font files.
 *
 * It refuses strings as image sources: node-canvas would open them as paths or URLs.
 */
import { Buffer } from 'node:buffer';
import {
  type Canvas,
  type CanvasRenderingContext2D,
  createCanvas,
  Image,
  registerFont,
} from 'canvas';

/** The drawing context of node-canvas: the browser's 2D context, near enough. */
export type DrawingContext = CanvasRenderingContext2D;

/** A surface and its context. Pixels are transparent black at first. */
export interface Drawing {
  readonly canvas: Canvas;
  readonly context: DrawingContext;
  readonly width: number;
  readonly height: number;
}

/** A decoded picture that can be drawn onto a surface. Sizes in pixels, after EXIF rotation. */
export interface DecodedPicture {
  readonly image: Image;
  readonly width: number;
  readonly height: number;
}

/** Zeros behind the bytes that the native decoder gets. */
const DECODER_SLACK_BYTES = 64;

/** Makes an empty surface; sizes in whole pixels, at least 1. */
export function createDrawing(width: number, height: number): Drawing {
  const canvas = createCanvas(width, height);
  return { canvas, context: canvas.getContext('2d'), width, height };
}

/** PNG bytes of a surface. Level 6 is zlib's default; pictures here are small. */
export function encodePng(drawing: Drawing): Buffer {
  return drawing.canvas.toBuffer('image/png', { compressionLevel: 6 });
}

/** JPEG bytes of a surface, `quality` 0 to 1. Transparency becomes black. */
export function encodeJpeg(drawing: Drawing, quality: number): Buffer {
  return drawing.canvas.toBuffer('image/jpeg', { quality });
}

/**
 * Decodes a whole picture, synchronously, on the calling thread (about 5 ms for an ImageNet
 * photograph). Throws what the native decoder says; `decode.ts` turns that into a BAD_IMAGE.
 */
export function decodePicture(bytes: Uint8Array): DecodedPicture {
  const image = new Image();
  const outcome: { error?: Error; loaded: boolean } = { loaded: false };
  image.onload = () => {
    outcome.loaded = true;
  };
  image.onerror = (error) => {
    outcome.error = error;
  };
  // The EXIF reader may look a few bytes past the end: let it find zeros that are ours.
  const padded = Buffer.alloc(bytes.length + DECODER_SLACK_BYTES);
  padded.set(bytes);
  image.src = padded.subarray(0, bytes.length);
  if (outcome.error !== undefined) throw outcome.error;
  if (!outcome.loaded) throw new Error('the decoder gave no picture');
  return { image, width: image.width, height: image.height };
}

/** Pixels of a surface, RGBA, not premultiplied, row by row. */
export function readPixels(drawing: Drawing): Uint8ClampedArray {
  return drawing.context.getImageData(0, 0, drawing.width, drawing.height).data;
}

/** Makes a font file known under `family` and `weight`, for surfaces created afterwards. */
export function registerFontFile(path: string, family: string, weight: number): void {
  registerFont(path, { family, weight: String(weight) });
}
