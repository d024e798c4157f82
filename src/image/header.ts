/**
 * Judges the bytes of a picture before the native decoder sees them: format, size, and whether the
 * file is whole.
 *
 * Why before: (1) formats that we do not serve must not reach it (SVG can name other files;
 * node-canvas's GIF and BMP readers trust offsets and palette indices in the file); (2) a few
 * kilobytes can unfold into gigabytes; (3) node-canvas reads a PNG from memory without comparing
 * with its end (`Image::readPNG` in canvas 3.2), so a cut-off PNG makes it read foreign memory and
 * may even "succeed"; (4) libjpeg fills a cut-off JPEG with grey, which a model then classifies.
 *
 * Pure; never throws; never reads past the end.
 * Sources: PNG 3rd edition §5.2, §5.3 and §11.2.1, JPEG T.81 annex B.
 */

/** Formats that are decoded. */
export type ImageFormat = 'png' | 'jpeg';

/** What the header says. `size` is absent when the format is known but the size is cut off. */
export interface ImageHeader {
  readonly format: ImageFormat;
  readonly size?: { readonly width: number; readonly height: number };
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** The header of a picture, or undefined when the first bytes are of no format that we decode. */
export function readImageHeader(bytes: Uint8Array): ImageHeader | undefined {
  if (startsWith(bytes, PNG_SIGNATURE)) {
    if (bytes.length < 24) return { format: 'png' };
    const view = viewOf(bytes);
    return { format: 'png', size: { width: view.getUint32(16), height: view.getUint32(20) } };
  }
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) {
    const { frame } = walkJpeg(viewOf(bytes));
    return frame === undefined ? { format: 'jpeg' } : { format: 'jpeg', size: frame };
  }
  return undefined;
}

/** What keeps a picture with a good header from being whole, or undefined when it is. */
export function findIncompleteness(bytes: Uint8Array, format: ImageFormat): string | undefined {
  return format === 'png' ? findPngGap(viewOf(bytes)) : findJpegGap(bytes);
}

/**
 * Walks the chunks: each must lie within the file, the first be IHDR and the last IEND. This is
 * what bounds the decoder's reads; sums and contents are its own business.
 */
function findPngGap(view: DataView): string | undefined {
  let at = PNG_SIGNATURE.length;
  let isFirst = true;
  while (at + 12 <= view.byteLength) {
    const length = view.getUint32(at);
    const type = view.getUint32(at + 4);
    if (isFirst && (type !== 0x49484452 || length !== 13)) return 'its first chunk is not IHDR';
    if (at + 12 + length > view.byteLength) return `its chunk at byte ${at} runs past the end`;
    if (type === 0x49454e44) return undefined;
    isFirst = false;
    at += 12 + length;
  }
  return 'it ends before its IEND chunk';
}

/** Needs a start of scan, and an end-of-image marker somewhere behind it. */
function findJpegGap(bytes: Uint8Array): string | undefined {
  const { scanAt } = walkJpeg(viewOf(bytes));
  if (scanAt === undefined) return 'it ends before its first scan';
  for (let at = bytes.length - 2; at > scanAt; at -= 1) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return undefined;
  }
  return 'it ends inside its scan, without an end-of-image marker';
}

/** Size from the first start of frame, and where the first scan begins (T.81 §B.2.2, §B.2.3). */
function walkJpeg(view: DataView): {
  frame?: { width: number; height: number };
  scanAt?: number;
} {
  const found: { frame?: { width: number; height: number }; scanAt?: number } = {};
  let at = 2;
  while (at + 4 <= view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    if (marker === 0xda) {
      found.scanAt = at;
      break;
    }
    if (found.frame === undefined && isStartOfFrame(marker) && at + 9 <= view.byteLength) {
      found.frame = { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    const hasNoLength = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    at += hasNoLength ? 2 : 2 + view.getUint16(at + 2);
  }
  return found;
}

/** SOF0 to SOF15 without DHT (C4), JPG (C8) and DAC (CC), which share the range. */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}
