/** src/image/decode.ts: damaged pictures. The decoders are native: always in a child process. */
import type { Rng } from '../../src/base/index.js';
import { createDrawing, encodeJpeg, encodePng } from '../../src/image/canvas.js';
import { crc32 } from 'node:zlib';
import { decodeImage } from '../../src/image/decode.js';
import type { FuzzTarget } from '../types.js';
import { dictionaryOf, refusedWith } from './support.js';

function picture(rng: Rng): Buffer {
  const drawing = createDrawing(1 + rng.int(24), 1 + rng.int(24));
  const { context, width, height } = drawing;
  context.fillStyle = `rgb(${rng.int(256)}, ${rng.int(256)}, ${rng.int(256)})`;
  context.fillRect(0, 0, width, height);
  context.fillStyle = '#fff';
  context.fillRect(rng.int(width), rng.int(height), 5, 5);
  return rng.int(2) === 0 ? encodePng(drawing) : encodeJpeg(drawing, 0.3 + rng.int(7) / 10);
}

const PNG_SIGNATURE_BYTES = 8;

/** Each chunk of a PNG gets the checksum of what it holds; a JPEG has none. */
function withChecksums(bytes: Uint8Array): Uint8Array {
  const made = Buffer.from(bytes);
  if (made.readUInt8(0) !== 0x89) return bytes;
  for (let at = PNG_SIGNATURE_BYTES; at + 12 <= made.length; ) {
    const end = at + 8 + made.readUInt32BE(at);
    if (end + 4 > made.length) break;
    made.writeUInt32BE(crc32(made.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return Uint8Array.from(made);
}

export const images: FuzzTarget = {
  name: 'images',
  summary: 'pictures that are damaged (src/image/decode.ts)',
  cases: 5_000,
  casesInTests: 150,
  dictionary: [
    ...dictionaryOf('IHDR', 'IDAT', 'IEND', 'PLTE', 'tRNS', 'Exif\0\0MM', 'JFIF'),
    Uint8Array.of(0xff, 0xd9),
    Uint8Array.of(0xff, 0xc0),
    Uint8Array.of(0xff, 0xc2),
    Uint8Array.of(0xff, 0xda),
    Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  ],
  sample: (rng) => Uint8Array.from(picture(rng)),
  repair: (bytes) => (bytes.length === 0 ? bytes : withChecksums(bytes)),
  async check(input) {
    try {
      const { width, height, rgba } = await decodeImage(input);
      if (rgba.length !== width * height * 4) throw new Error(`${rgba.length} bytes of pixels`);
      return 'accepted';
    } catch (error) {
      return refusedWith(error, 'BAD_IMAGE');
    }
  },
};
