import t from 'tap';
import { MemoryDisk, nodeId, VirtualClock } from '../../src/base/index.js';
import {
  decodeSlot,
  encodeSlot,
  SLOT_BYTES,
  WATERMARK_SYNC_MS,
  Watermark,
  type WatermarkState,
} from '../../src/raft/watermark.js';

const PATH = '/raft/watermark';

function state(seq: number, vote?: string): WatermarkState {
  return {
    term: seq,
    vote: vote === undefined ? undefined : nodeId(vote),
    lastIndex: seq * 10,
    lastTerm: seq,
    seq,
  };
}

async function world() {
  const disk = new MemoryDisk();
  const clock = new VirtualClock();
  await disk.mkdir('/raft');
  const failures: unknown[] = [];
  const open = () => Watermark.open(PATH, { disk, clock, onFailure: (e) => failures.push(e) });
  return { disk, clock, failures, open };
}

t.test('a slot is read back as it was written, and not at all when any bit differs', (t) => {
  const slot = encodeSlot(state(7, 'n2'));
  t.equal(slot.length, SLOT_BYTES);
  t.same(decodeSlot(slot), state(7, 'n2'));
  for (let bit = 0; bit < SLOT_BYTES * 8; bit += 61) {
    const copy = Uint8Array.from(slot);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.equal(decodeSlot(copy), undefined, `bit ${bit}`);
  }
  t.end();
});

t.test('what was synced survives a crash', async (t) => {
  const { disk, open } = await world();
  const mark = await open();
  mark.note(state(3, 'n1'));
  await mark.sync();
  disk.crash();
  t.same((await Watermark.read(disk, PATH))?.newest, state(3, 'n1'));
});

t.test('a crash between two syncs falls back to the older state', async (t) => {
  const { disk, clock, open } = await world();
  const mark = await open();
  mark.note(state(3));
  await mark.sync();
  mark.note(state(4));
  await clock.advanceSettled(1);
  t.same((await Watermark.read(disk, PATH))?.newest, state(4));
  disk.crash();
  t.same((await Watermark.read(disk, PATH))?.newest, state(3));
});

t.test('a noted state is synced by itself after a while', async (t) => {
  const { disk, clock, open } = await world();
  const mark = await open();
  mark.note(state(5));
  await clock.advanceSettled(WATERMARK_SYNC_MS + 1);
  disk.crash();
  t.same((await Watermark.read(disk, PATH))?.newest, state(5));
  t.equal(clock.pending, 0, 'and nothing wakes an idle node');
});

t.test(
  'the two slots alternate, so a torn write never spoils the newest whole state',
  async (t) => {
    const { disk, open } = await world();
    const mark = await open();
    // Batches merge, so sequence numbers may jump by two.
    for (const seq of [2, 4, 6, 8]) {
      mark.note(state(seq));
      await mark.sync();
      const before = await Watermark.read(disk, PATH);
      t.equal(before?.newest?.seq, seq);
      const file = await disk.readFile(PATH, 2 * SLOT_BYTES);
      const slots = [
        decodeSlot(file.subarray(0, SLOT_BYTES)),
        decodeSlot(file.subarray(SLOT_BYTES)),
      ];
      t.ok(
        slots.some((slot) => slot?.seq === (seq === 2 ? 0 : seq - 2)),
        'the one before is there',
      );
    }
  },
);

t.test('a reopened file goes on in the older slot', async (t) => {
  const { disk, open } = await world();
  const mark = await open();
  mark.note(state(1));
  await mark.close();
  const again = await open();
  again.note(state(2));
  await again.close();
  disk.flipBit(PATH, SLOT_BYTES * 8 + 100);
  disk.flipBit(PATH, SLOT_BYTES * 8 + 100);
  const file = await disk.readFile(PATH, 2 * SLOT_BYTES);
  const seqs = [file.subarray(0, SLOT_BYTES), file.subarray(SLOT_BYTES)].map(
    (slot) => decodeSlot(slot)?.seq,
  );
  t.same(seqs.sort(), [1, 2]);
});

t.test(
  'a reading says whether both slots are readable, and what the newest one says',
  async (t) => {
    const { disk, open } = await world();
    const mark = await open();
    mark.note(state(1));
    await mark.close();
    disk.flipBit(PATH, 77);
    t.match(await Watermark.read(disk, PATH), { newest: { seq: 1 }, isWhole: false });
    disk.flipBit(PATH, SLOT_BYTES * 8 + 77);
    t.same(await Watermark.read(disk, PATH), { newest: undefined, isWhole: false });
  },
);

t.test('a failed write is reported once and refuses everything after it', async (t) => {
  const { disk, failures, open } = await world();
  const mark = await open();
  disk.failWrites('DISK_ERROR');
  mark.note(state(1));
  await t.rejects(mark.sync(), { code: 'DISK_ERROR' });
  disk.failWrites(undefined);
  mark.note(state(2));
  await t.rejects(mark.sync(), { code: 'DISK_ERROR' });
  t.equal(failures.length, 1);
});
