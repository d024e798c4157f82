/**
 * Bytes from outside to a Bitmap, or a BAD_IMAGE that says what was wrong with them.
 *
 * Invariants: the native decoder sees only whole PNG and JPEG files, and no memory is taken for
 * pixels before the header has been checked against the cap. The work is synchronous inside
 * (node-canvas has no other way) and takes milliseconds: call it from a model host, never from a
 * node's main thread.
 */
import { IdunnoError } from '../base/index.js';
import type { Bitmap } from './bitmap.js';
import { createDrawing, type DecodedPicture, decodePicture, readPixels } from './canvas.js';
import { findIncompleteness, readImageHeader } from './header.js';

/**
 * Largest picture that is decoded: 64 megapixels, 256 MiB as RGBA. Above it a single picture
 * could end a model host that shares a small machine. Raising it raises that host's peak memory
 * by 8 bytes per pixel (surface and copy).
 */
export const PIXELS_MAX = 64 * 1024 * 1024;

/** Longest side that cairo's surfaces take. */
const SIDE_MAX = 32_767;

/** Why a picture was refused: `data.reason` of a BAD_IMAGE. */
export type BadImageReason = 'unknown-format' | 'unreadable' | 'too-large';

/**
 * Decodes a PNG or a JPEG (turned upright as its EXIF says).
 *
 * Rejects with IdunnoError `BAD_IMAGE`, a BadImageReason in `data.reason`. The same bytes are
 * refused again.
 */
export async function decodeImage(bytes: Uint8Array): Promise<Bitmap> {
  const { image, width, height } = openPicture(bytes);
  const drawing = createDrawing(width, height);
  drawing.context.drawImage(image, 0, 0);
  return { width, height, rgba: readPixels(drawing) };
}

/** A picture ready to be drawn, for the renderers of this module; throws like decodeImage. */
export function openPicture(bytes: Uint8Array): DecodedPicture {
  const header = readImageHeader(bytes);
  if (header === undefined) {
    const found = describeBytes(bytes);
    throw badImage('unknown-format', `${found}: not a PNG or JPEG; convert it first`);
  }
  const named = `${header.format.toUpperCase()} of ${bytes.length} bytes`;
  if (header.size === undefined) {
    throw badImage('unreadable', `${named}: it ends inside its header`);
  }
  const { width, height } = header.size;
  if (width === 0 || height === 0) {
    throw badImage('unreadable', `${named}: its size is ${width}×${height}`);
  }
  if (width * height > PIXELS_MAX || Math.max(width, height) > SIDE_MAX) {
    const cap = `the cap of ${PIXELS_MAX} pixels or ${SIDE_MAX} per side`;
    throw badImage('too-large', `${named}: ${width}×${height} is over ${cap}; scale it down first`);
  }
  const gap = findIncompleteness(bytes, header.format);
  if (gap !== undefined) throw badImage('unreadable', `${named}: ${gap}; copy it again`);
  try {
    return decodePicture(bytes);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw badImage('unreadable', `${named}: ${why}`, error);
  }
}

function badImage(reason: BadImageReason, text: string, cause?: unknown): IdunnoError {
  return new IdunnoError('BAD_IMAGE', `cannot decode ${text}`, { reason }, cause);
}

function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file';
  const first = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0'));
  return `${bytes.length} bytes that begin ${first.join(' ')}`;
}
