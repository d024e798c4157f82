/** SHA-256 over rows in key order: an answer that owes nothing to the running sum, for checks. */
import { createHash } from 'node:crypto';
import { keyToBytes, type RowKey } from './keys.js';

export async function hashRows(
  rows: AsyncIterable<readonly [RowKey, Uint8Array]>,
): Promise<string> {
  const hash = createHash('sha256');
  const lengths = Buffer.allocUnsafe(8);
  for await (const [rowKey, value] of rows) {
    const key = keyToBytes(rowKey);
    lengths.writeUInt32BE(key.length, 0);
    lengths.writeUInt32BE(value.length, 4);
    hash.update(lengths).update(key).update(value);
  }
  return hash.digest('hex');
}
