/** src/net/codec.ts: MessagePack, compared with the slow twin. */
import { isDeepStrictEqual } from 'node:util';
import { decode, encode } from '../../src/net/index.js';
import type { FuzzTarget } from '../types.js';
import { readByTwin } from './msgpack-twin.js';
import { randomWire, refusedWith, requireSame } from './support.js';

export const values: FuzzTarget = {
  name: 'values',
  summary: 'MessagePack values, against a second reader (src/net/codec.ts)',
  cases: 100_000,
  casesInTests: 5_000,
  sample: (rng) => encode(randomWire(rng)),
  check(input) {
    const twin = readByTwin(input);
    let value: ReturnType<typeof decode>;
    try {
      value = decode(input);
    } catch (error) {
      const verdict = refusedWith(error, 'PROTOCOL');
      if (twin !== undefined) throw new Error(`refused, but means ${JSON.stringify(twin.value)}`);
      return verdict;
    }
    if (twin === undefined) throw new Error(`read as ${JSON.stringify(value)}, but is no value`);
    if (!isDeepStrictEqual(value, twin.value)) {
      throw new Error(`read as ${JSON.stringify(value)}, means ${JSON.stringify(twin.value)}`);
    }
    requireSame(value, decode(encode(value)), 'written and read again');
    return 'accepted';
  },
};
