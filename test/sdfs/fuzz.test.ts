/** Arguments from outside: whatever comes, it is refused with a code, and nothing breaks. */
import t from 'tap';
import { createSeededRng, IdunnoError, type Rng } from '../../src/base/index.js';
import type { Wire } from '../../src/net/index.js';
import { sdfsModule } from '../../src/sdfs/index.js';
import {
  readReplicate,
  readReplicateAnswer,
  readWriteAnswer,
  readWriteRequest,
} from '../../src/sdfs/transfer.js';
import { readLocated } from '../../src/sdfs/wire.js';
import { createTestStore } from '../../src/store/index.js';

const SHA = 'c'.repeat(64);
const TEXTS = ['', 'n1', 'a/b', SHA, 'x'.repeat(2_000), '\0', 'missing', 'é🙂'];
const NUMBERS = [0, 1, 2, -1, 0.5, 2 ** 53 - 1, 0.25, 100_000];

function randomWire(rng: Rng, depth = 0): Wire {
  const kind = rng.int(depth > 3 ? 5 : 8);
  if (kind === 0) return null;
  if (kind === 1) return rng.int(2) === 0;
  if (kind === 2) return NUMBERS[rng.int(NUMBERS.length)] ?? 0;
  if (kind === 3) return TEXTS[rng.int(TEXTS.length)] ?? '';
  if (kind === 4) return new Uint8Array(rng.int(5));
  if (kind === 5) return { prefix: randomWire(rng, depth + 1), glob: randomWire(rng, depth + 1) };
  return Array.from({ length: rng.int(5) }, () => randomWire(rng, depth + 1));
}

/** Something that nearly fits: the arguments of a good commit with a part replaced. */
function nearlyGood(rng: Rng): Wire[] {
  const args: Wire[] = [1, SHA, 1, [['n1', 1]], [['f', 1, SHA, 0]], [1, 1, 0]];
  args[rng.int(args.length)] = randomWire(rng);
  return args;
}

t.test('commands refuse whatever does not fit, and change nothing by it', async (t) => {
  const store = createTestStore([sdfsModule]);
  store.apply('nodes.register', [
    { name: 'n1', epoch: 1, host: 'h', port: 1, slots: 1, bootWallMs: 0 },
  ]);
  const rng = createSeededRng('commands');
  let refused = 0;
  for (let round = 0; round < 2_000; round += 1) {
    for (const command of Object.keys(sdfsModule.commands)) {
      const args =
        command === 'sdfs.commit' && rng.int(2) === 0
          ? nearlyGood(rng)
          : (randomWire(rng, -1) as Wire[]);
      try {
        store.apply(command, Array.isArray(args) ? args : [args]);
      } catch (error) {
        refused += 1;
        if (!(error instanceof IdunnoError) || error.code === 'INTERNAL') {
          t.fail(`${command} ${JSON.stringify(args)}: ${String(error)}`);
        }
        if (store.changes.length > 0) t.fail(`${command} changed rows although it refused`);
      }
    }
    if (round % 100 === 0 && !t.passing()) return;
  }
  t.ok(refused > 10_000, `${refused} refusals`);
});

t.test('queries refuse whatever does not fit', async (t) => {
  const store = createTestStore([sdfsModule]);
  const rng = createSeededRng('queries');
  for (let round = 0; round < 2_000; round += 1) {
    for (const query of Object.keys(sdfsModule.queries)) {
      const args = randomWire(rng, -1);
      try {
        await store.query(query, Array.isArray(args) ? (args as Wire[]) : [args]);
      } catch (error) {
        if (!(error instanceof IdunnoError) || error.code === 'INTERNAL') {
          t.fail(`${query} ${JSON.stringify(args)}: ${String(error)}`);
          return;
        }
      }
    }
  }
  t.pass('none broke');
});

t.test('transfer calls and answers of any shape are refused with a code', async (t) => {
  const rng = createSeededRng('transfer');
  const readers: ((wire: Wire) => unknown)[] = [
    (wire) => readWriteRequest([wire, wire, wire, wire]),
    (wire) => readWriteRequest(Array.isArray(wire) ? (wire as Wire[]) : [wire]),
    (wire) => readReplicate(Array.isArray(wire) ? (wire as Wire[]) : [wire]),
    readWriteAnswer,
    readReplicateAnswer,
    readLocated,
  ];
  for (let round = 0; round < 20_000; round += 1) {
    const wire = randomWire(rng);
    for (const read of readers) {
      try {
        read(wire);
      } catch (error) {
        if (error instanceof IdunnoError) continue;
        t.fail(`${JSON.stringify(wire)}: ${String(error)}`);
        return;
      }
    }
  }
  t.pass('none broke');
});
