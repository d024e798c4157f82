/** Rates and statistics against slow twins that remember every task. */
import t from 'tap';
import { createSeededRng } from '../../src/base/index.js';
import {
  addToSlots,
  edgeAfter,
  gapOf,
  rateSince,
  SLOT_MS,
  WINDOW_MS,
  windowStart,
} from '../../src/idunno/rates.js';
import { addTime, bucketFloor, bucketOf, EMPTY_STATS, summarize } from '../../src/idunno/stats.js';

t.test('counts of a window are those of a twin that remembers every task', async (t) => {
  for (let seed = 0; seed < 100; seed += 1) {
    const rng = createSeededRng(seed);
    const events: { ms: number; items: number }[] = [];
    let slots: number[] = [];
    let nowMs = 1_700_000_000_000;
    for (let turn = 0; turn < 300; turn += 1) {
      nowMs += rng.int(rng.int(10) === 0 ? 4_000 : 300);
      const items = 1 + rng.int(50);
      events.push({ ms: nowMs, items });
      slots = addToSlots(slots, nowMs, items);
      const askMs = nowMs + rng.int(500);
      const start = windowStart(askMs);
      const inside = events.filter(({ ms }) => ms >= start);
      const rate = rateSince(slots, start, askMs);
      t.ok(askMs - start >= WINDOW_MS && askMs - start < WINDOW_MS + SLOT_MS, 'ten seconds');
      if (
        rate.tasks !== inside.length ||
        rate.items !== inside.reduce((sum, event) => sum + event.items, 0)
      ) {
        t.fail(`seed ${seed}, turn ${turn}: ${rate.tasks} tasks, not ${inside.length}`);
      }
    }
    t.ok(slots.length <= 3 * (WINDOW_MS / SLOT_MS + 2), 'bounded');
  }
});

t.test('the gap of jobs is measured over the age of the youngest', async (t) => {
  const startMs = 1_000_000;
  let old: number[] = [];
  let young: number[] = [];
  for (let ms = startMs - 20_000; ms <= startMs + 4_000; ms += 100) old = addToSlots(old, ms, 10);
  for (let ms = startMs; ms <= startMs + 4_000; ms += 200) young = addToSlots(young, ms, 19);
  const jobs = [
    { id: 1, weight: 1, slots: old, activeSinceMs: 0 },
    { id: 2, weight: 1, slots: young, activeSinceMs: startMs },
  ];
  const { gap, windowMs } = gapOf(jobs, startMs + 4_000);
  t.equal(windowMs, 4_000);
  t.ok(gap !== undefined && gap < 0.08, `95 to 100 items/s are about 5 % apart, not ${gap}`);
});

t.test('weights divide the rates before they are compared', async (t) => {
  let slow: number[] = [];
  let fast: number[] = [];
  for (let ms = 0; ms <= 12_000; ms += 100) {
    slow = addToSlots(slow, ms, 10);
    fast = addToSlots(fast, ms, 20);
  }
  const { gap } = gapOf(
    [
      { id: 1, weight: 1, slots: slow, activeSinceMs: 0 },
      { id: 2, weight: 2, slots: fast, activeSinceMs: 0 },
    ],
    12_000,
  );
  t.equal(gap, 0);
});

t.test('one job alone has no gap, and nothing has no rate', async (t) => {
  t.equal(gapOf([{ id: 1, weight: 1, slots: [], activeSinceMs: 0 }], 99).gap, undefined);
  t.match(rateSince([], 1_000, 1_000), { items: 0, itemsPerSecond: 0 });
  t.equal(edgeAfter(1_001), 1_250);
});

t.test('every time lies in its bucket, and buckets follow each other without holes', async (t) => {
  for (let bucket = 0; bucket < 1_500; bucket += 1) {
    const floor = bucketFloor(bucket);
    if (bucketOf(floor) !== bucket) t.fail(`bucket ${bucket} begins at ${floor}`);
    if (floor > 0 && bucketOf(floor - 1) !== bucket - 1) t.fail(`below bucket ${bucket}`);
  }
});

t.test('mean, deviation and percentiles are those of a twin that sorts all times', async (t) => {
  for (let seed = 0; seed < 40; seed += 1) {
    const rng = createSeededRng(`stats ${seed}`);
    const times: number[] = [];
    let row = EMPTY_STATS;
    const scale = 10 ** (1 + rng.int(6));
    for (let turn = 0; turn < 400; turn += 1) {
      const micros = 1 + Math.floor(scale * (0.5 + rng.float() + (rng.int(20) === 0 ? 5 : 0)));
      times.push(micros);
      row = addTime(row, micros);
    }
    const found = summarize(row);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    const squares = times.reduce((sum, time) => sum + (time - mean) ** 2, 0);
    near(t, found.mean, mean / 1e6, 1e-9);
    near(t, found.std, Math.sqrt(squares / (times.length - 1)) / 1e6, 1e-9);
    times.sort((a, b) => a - b);
    for (const [q, value] of [
      [0.25, found.p25],
      [0.5, found.p50],
      [0.75, found.p75],
      [0.99, found.p99],
    ] as const) {
      const position = (times.length - 1) * q;
      const low = times[Math.floor(position)] ?? 0;
      const high = times[Math.ceil(position)] ?? 0;
      const isRight = value * 1e6 >= low * 0.965 - 1 && value * 1e6 <= high * 1.035 + 1;
      if (!isRight) t.fail(`seed ${seed}: p${q * 100} ${value * 1e6} outside ${low}..${high}`);
    }
  }
});

function near(t: Tap, found: number, wanted: number, relative: number): void {
  if (Math.abs(found - wanted) > Math.abs(wanted) * relative) t.fail(`${found} is not ${wanted}`);
}

type Tap = { fail(message: string): unknown };
