/**
 * CRC-32C (Castagnoli), the checksum of frames, log entries and pack files. It finds flipped bits
 * and torn writes; it is no defence against someone who means harm (files carry SHA-256).
 * Source: RFC 3720 appendix B.4; the native code is @node-rs/crc32.
 */
import { crc32c as native } from '@node-rs/crc32';

/** The checksum as a u32. `previous` continues over further bytes: crc(a + b) = crc(b, crc(a)). */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  return native(bytes, previous);
}
