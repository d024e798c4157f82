/** Decoding: good files give exact pixels, bad ones a reason, and nothing brings the process down. */
import { Buffer } from 'node:buffer';
import t from 'tap';
import { createRng } from '../../demo/draw/rng.js';
import { decodeImage, PIXELS_MAX, readImageHeader } from '../../src/image/index.js';
import { IdunnoError } from '../../src/base/index.js';
import { halves, pixelAt, pngClaiming } from './support.js';

async function reasonOf(bytes: Uint8Array): Promise<unknown> {
  try {
    await decodeImage(bytes);
    return 'decoded';
  } catch (error) {
    if (!(error instanceof IdunnoError) || error.code !== 'BAD_IMAGE') throw error;
    return error.data['reason'];
  }
}

t.test('a PNG is decoded to its exact pixels', async (t) => {
  const bitmap = await decodeImage(halves(10, 6, 'png'));
  t.equal(bitmap.width, 10);
  t.equal(bitmap.height, 6);
  t.equal(bitmap.rgba.length, 240);
  t.same(pixelAt(bitmap, 0, 0), [255, 0, 0, 255]);
  t.same(pixelAt(bitmap, 4, 5), [255, 0, 0, 255]);
  t.same(pixelAt(bitmap, 5, 5), [0, 0, 255, 255]);
});

t.test('a JPEG is decoded to nearly its pixels', async (t) => {
  const bitmap = await decodeImage(halves(64, 32, 'jpeg'));
  t.equal(bitmap.width, 64);
  const [red = 0, green = 0, blue = 0, alpha = 0] = pixelAt(bitmap, 8, 8);
  t.ok(red > 240 && green < 16 && blue < 16 && alpha === 255);
});

t.test('a view into a larger buffer is decoded from its own bytes only', async (t) => {
  const png = halves(10, 6, 'png');
  const large = Buffer.alloc(png.length + 64, 0xab);
  png.copy(large, 32);
  const bitmap = await decodeImage(large.subarray(32, 32 + png.length));
  t.equal(bitmap.width, 10);
});

t.test('what is no picture is refused with what it begins with', async (t) => {
  await t.rejects(decodeImage(Buffer.from('hello, world')), {
    code: 'BAD_IMAGE',
    message: /12 bytes that begin 68 65 6c 6c 6f.*not a PNG or JPEG/,
  });
  await t.rejects(decodeImage(new Uint8Array(0)), { message: /an empty file/ });
});

t.test('an SVG, a GIF and a BMP are refused before any decoder sees them', async (t) => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"></svg>';
  t.equal(await reasonOf(Buffer.from(svg)), 'unknown-format');
  t.equal(await reasonOf(Buffer.from('GIF89a....')), 'unknown-format');
  t.equal(await reasonOf(Buffer.from('BM........')), 'unknown-format');
});

t.test('a PNG cut off anywhere is refused, even where its own rest lies behind it', async (t) => {
  const png = halves(64, 64, 'png');
  for (let end = 8; end < png.length; end += 1) {
    // The view's buffer goes on: a decoder that reads past the end would find the true bytes.
    t.equal(await reasonOf(png.subarray(0, end)), 'unreadable', `${end} of ${png.length} bytes`);
  }
  await t.rejects(decodeImage(png.subarray(0, 60)), {
    message: /runs past the end|before its IEND/,
  });
});

t.test('a JPEG cut off anywhere is refused instead of filled with grey', async (t) => {
  const jpeg = halves(64, 64, 'jpeg');
  for (let end = 4; end < jpeg.length; end += 1) {
    if ((await reasonOf(jpeg.subarray(0, end))) !== 'unreadable') t.fail(`${end} bytes`);
  }
  await t.rejects(decodeImage(jpeg.subarray(0, jpeg.length - 2)), { message: /end-of-image/ });
  t.equal(await reasonOf(Buffer.concat([jpeg, Buffer.from('trailer')])), 'decoded');
});

t.test('a PNG whose chunk claims more than the file holds is refused', async (t) => {
  const png = Buffer.from(halves(64, 64, 'png'));
  png.writeUInt32BE(0x7fffffff, 33);
  t.equal(await reasonOf(png), 'unreadable');
  t.equal(await reasonOf(pngClaiming(4, 4)), 'unreadable');
});

t.test('a picture over the pixel cap is refused from its header', async (t) => {
  t.equal(await reasonOf(pngClaiming(8192, PIXELS_MAX / 8192 + 1)), 'too-large');
  t.equal(await reasonOf(pngClaiming(0xffffffff, 0xffffffff)), 'too-large');
  t.equal(await reasonOf(pngClaiming(32_768, 1)), 'too-large');
  t.equal(
    await reasonOf(pngClaiming(8192, PIXELS_MAX / 8192)),
    'unreadable',
    'cut off, not too large',
  );
  t.equal(await reasonOf(pngClaiming(0, 10)), 'unreadable');
  await t.rejects(decodeImage(pngClaiming(100_000, 100_000)), { message: /100000×100000/ });
});

t.test('headers tell format and size', (t) => {
  t.same(readImageHeader(halves(31, 17, 'jpeg')), {
    format: 'jpeg',
    size: { width: 31, height: 17 },
  });
  t.same(readImageHeader(pngClaiming(3, 5)), { format: 'png', size: { width: 3, height: 5 } });
  t.same(readImageHeader(pngClaiming(3, 5).subarray(0, 20)), { format: 'png' });
  t.equal(readImageHeader(Buffer.from('RIFF....WEBP')), undefined);
  t.end();
});

t.test(
  'flipped and cut bytes are decoded or refused, never anything else (seeds 1 to 300)',
  async (t) => {
    const originals = [halves(24, 24, 'png'), halves(24, 24, 'jpeg')];
    const outcomes = new Set<unknown>();
    for (let seed = 1; seed <= 300; seed += 1) {
      const rng = createRng(seed);
      const original = originals[seed % 2] ?? Buffer.alloc(0);
      const bytes = Buffer.from(
        original.subarray(0, Math.ceil(original.length * (0.2 + rng.next()))),
      );
      for (let flips = Math.floor(rng.next() * 6); flips > 0; flips -= 1) {
        bytes[Math.floor(rng.next() * bytes.length)] = Math.floor(rng.next() * 256);
      }
      outcomes.add(await reasonOf(bytes));
    }
    t.ok(outcomes.has('decoded') && outcomes.has('unreadable'), [...outcomes].join(', '));
  },
);
