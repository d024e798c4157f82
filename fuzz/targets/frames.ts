/** src/net/frame.ts: frames of a byte stream, whole and in pieces. */
import { crc32c, isIdunnoError, type Rng } from '../../src/base/index.js';
import { encodeFrame, FRAME_KIND, FRAME_PREFIX_BYTES, FrameParser } from '../../src/net/frame.js';
import type { Wire } from '../../src/net/index.js';
import type { FuzzTarget } from '../types.js';
import { bytesOf, pick, piecesOf, randomWire, requireSame } from './support.js';

/** Small, so that too long is tried as well. */
const BYTES_MAX = 4_096;

function frame(rng: Rng): Buffer {
  const header = Array.from({ length: rng.int(5) }, () => randomWire(rng));
  return Buffer.concat(encodeFrame(pick(rng, Object.values(FRAME_KIND)), header, bytesOf(rng, 60)));
}

interface Reading {
  readonly frames: readonly Wire[];
  readonly fault: string | undefined;
}

/** Frames up to the first fault, each as one value. */
function readAll(pieces: Iterable<Uint8Array>): Reading {
  const frames: Wire[] = [];
  const parser = new FrameParser(BYTES_MAX);
  try {
    for (const piece of pieces) {
      for (const { kind, header, body } of parser.push(piece)) frames.push([kind, header, body]);
      if (parser.heldBytes > BYTES_MAX + 4) throw new Error(`${parser.heldBytes} bytes are held`);
    }
  } catch (error) {
    if (!isIdunnoError(error, 'PROTOCOL')) throw error;
    return { frames, fault: String(error.data['reason']) };
  }
  return { frames, fault: undefined };
}

export const frames: FuzzTarget = {
  name: 'frames',
  summary: 'frames of a connection (src/net/frame.ts)',
  cases: 50_000,
  casesInTests: 2_500,
  sample: (rng) =>
    Uint8Array.from(Buffer.concat(Array.from({ length: 1 + rng.int(3) }, () => frame(rng)))),
  /** The first frame is given the length and checksum of all that is there. */
  repair(bytes) {
    if (bytes.length < FRAME_PREFIX_BYTES) return bytes;
    const made = Buffer.from(bytes);
    made.writeUInt32BE(made.length - 4, 0);
    made[4] = 0x10 | ((made[4] ?? 0) & 0x0f);
    const kind = crc32c(made.subarray(4, 5));
    made.writeUInt32BE(crc32c(made.subarray(FRAME_PREFIX_BYTES), kind), 5);
    return Uint8Array.from(made);
  },
  check(input) {
    const whole = readAll([input]);
    const pieces = readAll(piecesOf(input));
    requireSame(whole.frames, pieces.frames, 'whole and in pieces');
    if (whole.fault !== pieces.fault) {
      throw new Error(`whole ${whole.fault}, in pieces ${pieces.fault}`);
    }
    for (const read of whole.frames as readonly [never, Wire[], Uint8Array][]) {
      const again = readAll([Buffer.concat(encodeFrame(...read))]);
      requireSame([read], again.frames, 'written and read again');
    }
    return whole.fault === undefined && whole.frames.length > 0 ? 'accepted' : 'refused';
  },
};
