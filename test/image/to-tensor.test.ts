/** toTensor against a slow twin that follows the definition pixel by pixel, and its boundaries. */
import t from 'tap';
import { createRng, pick, wholeBetween } from '../../demo/draw/rng.js';
import {
  type Bitmap,
  completeInputSpec,
  createTensor,
  type InputSpec,
  tensorLength,
  tensorShape,
  toTensor,
  validateInputSpec,
  writeTensor,
} from '../../src/image/index.js';
import { plainBitmap, randomBitmap } from './support.js';

/** One sample of the antialiased triangle filter, straight from its definition, in two dimensions. */
function slowSample(bitmap: Bitmap, x: number, y: number, full: [number, number], channel: number) {
  const ratioX = bitmap.width / full[0];
  const ratioY = bitmap.height / full[1];
  const reachX = Math.max(1, ratioX);
  const reachY = Math.max(1, ratioY);
  let sum = 0;
  let weights = 0;
  for (let row = 0; row < bitmap.height; row += 1) {
    for (let column = 0; column < bitmap.width; column += 1) {
      const distanceX = Math.abs(column + 0.5 - (x + 0.5) * ratioX) / reachX;
      const distanceY = Math.abs(row + 0.5 - (y + 0.5) * ratioY) / reachY;
      const weight = Math.max(0, 1 - distanceX) * Math.max(0, 1 - distanceY);
      const at = (row * bitmap.width + column) * 4;
      const part = (bitmap.rgba[at + 3] ?? 0) / 255;
      sum += weight * (255 + ((bitmap.rgba[at + channel] ?? 0) - 255) * part);
      weights += weight;
    }
  }
  return sum / weights;
}

/** The whole pipeline, one output number at a time. */
function slowTensor(bitmap: Bitmap, spec: InputSpec): number[] {
  const whole = completeInputSpec(spec);
  const shorter = Math.min(bitmap.width, bitmap.height);
  const isExact = whole.resize === 'exact';
  const full: [number, number] = isExact
    ? [whole.width, whole.height]
    : [
        Math.floor((bitmap.width * whole.shorterSide) / shorter),
        Math.floor((bitmap.height * whole.shorterSide) / shorter),
      ];
  const left = Math.round((full[0] - whole.width) / 2);
  const top = Math.round((full[1] - whole.height) / 2);
  const order = { RGB: [0, 1, 2], BGR: [2, 1, 0], GRAY: [-1] }[whole.channels];
  const out = new Array<number>(tensorLength(spec)).fill(Number.NaN);
  for (let y = 0; y < whole.height; y += 1) {
    for (let x = 0; x < whole.width; x += 1) {
      const [red = 0, green = 0, blue = 0] = [0, 1, 2].map((channel) =>
        slowSample(bitmap, x + left, y + top, full, channel),
      );
      for (const [index, source] of order.entries()) {
        const mixed =
          source === -1 ? 0.299 * red + 0.587 * green + 0.114 * blue : [red, green, blue][source];
        const value = whole.invert ? 255 - (mixed ?? 0) : (mixed ?? 0);
        const normal = (value * whole.scale - (whole.mean[index] ?? 0)) / (whole.std[index] ?? 1);
        const at =
          whole.layout === 'NCHW'
            ? (index * whole.height + y) * whole.width + x
            : (y * whole.width + x) * order.length + index;
        out[at] = whole.dtype === 'uint8' ? Math.min(255, Math.max(0, Math.round(normal))) : normal;
      }
    }
  }
  return out;
}

function worstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i += 1)
    worst = Math.max(worst, Math.abs((a[i] ?? 0) - (b[i] ?? 0)));
  return worst;
}

t.test('it equals the slow twin on random pictures and specs (seeds 1 to 150)', (t) => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const rng = createRng(seed);
    const bitmap = randomBitmap(wholeBetween(rng, 1, 23), wholeBetween(rng, 1, 23), seed);
    if (seed % 3 === 0) {
      for (let i = 3; i < bitmap.rgba.length; i += 4) bitmap.rgba[i] = wholeBetween(rng, 0, 255);
    }
    const width = wholeBetween(rng, 1, 12);
    const height = wholeBetween(rng, 1, 12);
    const channels = pick(rng, ['RGB', 'BGR', 'GRAY'] as const);
    const perChannel = channels === 'GRAY' ? [0.4] : [0.4, 0.1, 0.25];
    const dtype = pick(rng, ['float32', 'uint8'] as const);
    const spec: InputSpec = {
      width,
      height,
      channels,
      layout: pick(rng, ['NCHW', 'NHWC'] as const),
      dtype,
      invert: rng.next() < 0.3,
      ...(dtype === 'float32' ? { mean: perChannel, std: perChannel.map((v) => v + 0.2) } : {}),
      ...(rng.next() < 0.5
        ? { resize: 'shorter-side', shorterSide: Math.max(width, height) + wholeBetween(rng, 0, 5) }
        : {}),
    };
    // A byte may differ by one where the exact value lies on a half.
    const bound = dtype === 'uint8' ? 1 : 1e-3;
    const difference = worstDifference(toTensor(bitmap, spec), slowTensor(bitmap, spec));
    if (difference > bound) t.fail(`seed ${seed}: off by ${difference}`, { spec });
  }
  t.pass('all seeds within bounds');
  t.end();
});

t.test('a picture of the right size passes unchanged', (t) => {
  const bitmap = randomBitmap(5, 3, 1);
  const tensor = toTensor(bitmap, { width: 5, height: 3, dtype: 'uint8', layout: 'NHWC' });
  t.ok(tensor instanceof Uint8Array);
  t.same(
    Array.from(tensor),
    Array.from(bitmap.rgba).filter((_, index) => index % 4 !== 3),
  );
  t.end();
});

t.test('channel order and layout put each channel where the model looks for it', (t) => {
  const bitmap = plainBitmap(2, 1, [10, 20, 30, 255]);
  const bytes = { width: 2, height: 1, dtype: 'uint8' } as const;
  const numbers = (spec: InputSpec) => Array.from(toTensor(bitmap, spec));
  t.same(numbers({ ...bytes, layout: 'NCHW' }), [10, 10, 20, 20, 30, 30]);
  t.same(numbers({ ...bytes, layout: 'NHWC' }), [10, 20, 30, 10, 20, 30]);
  t.same(numbers({ ...bytes, channels: 'BGR' }), [30, 30, 20, 20, 10, 10]);
  t.same(numbers({ ...bytes, channels: 'BGR', layout: 'NHWC' }), [30, 20, 10, 30, 20, 10]);
  t.same(numbers({ ...bytes, channels: 'GRAY' }), [18, 18]);
  t.end();
});

t.test('mean and std follow scale, in the order of the channels', (t) => {
  const bitmap = plainBitmap(1, 1, [255, 0, 51, 255]);
  const spec = { width: 1, height: 1, mean: [0.5, 0.25, 0.1], std: [0.5, 0.5, 0.1] };
  t.same(Array.from(toTensor(bitmap, spec), rounded), [1, -0.5, 1]);
  t.same(Array.from(toTensor(bitmap, { ...spec, channels: 'BGR' }), rounded), [-0.6, -0.5, 9]);
  const caffe: InputSpec = {
    width: 1,
    height: 1,
    scale: 1,
    channels: 'BGR',
    mean: [104, 117, 123],
  };
  t.same(Array.from(toTensor(bitmap, caffe), rounded), [-53, -117, 132]);
  t.same(
    Array.from(toTensor(bitmap, { width: 1, height: 1, mean: [0.5], std: [0.5] }), rounded),
    [1, -1, -0.6],
  );
  t.end();
});

t.test('bytes are rounded and kept within 0 to 255', (t) => {
  const bitmap = plainBitmap(1, 1, [200, 1, 100, 255]);
  const doubled = toTensor(bitmap, { width: 1, height: 1, dtype: 'uint8', scale: 2, mean: [3] });
  t.same(Array.from(doubled), [255, 0, 197]);
  t.end();
});

t.test('transparent pixels lie on white', (t) => {
  const bitmap = plainBitmap(2, 2, [0, 0, 0, 0]);
  const spec: InputSpec = { width: 1, height: 1, channels: 'GRAY' };
  t.same(Array.from(toTensor(bitmap, spec), rounded), [1]);
  t.same(Array.from(toTensor(bitmap, { ...spec, invert: true }), rounded), [0]);
  t.end();
});

t.test('shrinking averages, so that a thin line does not vanish', (t) => {
  const bitmap = plainBitmap(64, 64, [0, 0, 0, 255]);
  for (let y = 0; y < 64; y += 1) bitmap.rgba.set([255, 255, 255, 255], (y * 64 + 31) * 4);
  const row = toTensor(bitmap, { width: 8, height: 1, channels: 'GRAY' });
  const sum = Array.from(row).reduce((total, value) => total + value, 0);
  t.ok(Math.abs(sum - 1 / 8) < 0.02, `sum ${sum}`);
  t.end();
});

t.test('shorter-side keeps the middle of a wide and of a tall picture', (t) => {
  const wide = plainBitmap(30, 10, [0, 0, 0, 255]);
  for (let y = 0; y < 10; y += 1)
    for (let x = 10; x < 20; x += 1) wide.rgba.fill(255, (y * 30 + x) * 4, (y * 30 + x) * 4 + 4);
  const spec: InputSpec = {
    width: 10,
    height: 10,
    resize: 'shorter-side',
    shorterSide: 10,
    dtype: 'uint8',
    channels: 'GRAY',
  };
  t.ok(toTensor(wide, spec).every((value) => value === 255));
  const tall = plainBitmap(10, 30, [0, 0, 0, 255]);
  tall.rgba.fill(255, 10 * 10 * 4, 20 * 10 * 4);
  t.ok(toTensor(tall, spec).every((value) => value === 255));
  t.end();
});

t.test('a batch is the images one after another', (t) => {
  const spec: InputSpec = { width: 3, height: 2 };
  const [first, second] = [randomBitmap(5, 5, 1), randomBitmap(7, 4, 2)];
  const batch = createTensor(spec, 2);
  writeTensor(first, spec, batch, 0);
  writeTensor(second, spec, batch, 1);
  t.same(Array.from(batch), [...toTensor(first, spec), ...toTensor(second, spec)]);
  t.same(tensorShape(spec, 2), [2, 3, 2, 3]);
  t.same(tensorShape({ ...spec, layout: 'NHWC', channels: 'GRAY' }, 4), [4, 2, 3, 1]);
  t.throws(() => writeTensor(first, spec, batch, 2), /does not fit/);
  t.end();
});

t.test('it is the same twice and leaves the bitmap alone', (t) => {
  const bitmap = randomBitmap(40, 31, 9);
  const before = Uint8ClampedArray.from(bitmap.rgba);
  const spec: InputSpec = { width: 13, height: 11, resize: 'shorter-side', shorterSide: 16 };
  t.same(toTensor(bitmap, spec), toTensor(bitmap, spec));
  t.same(bitmap.rgba, before);
  t.end();
});

t.test('a spec that cannot work is refused with every problem at once', (t) => {
  const bad: InputSpec = {
    width: 0,
    height: 5000,
    std: [0, 1],
    mean: [Number.NaN],
    scale: 0,
    shorterSide: 3,
  };
  t.equal(validateInputSpec(bad).length, 7, validateInputSpec(bad).join('\n'));
  t.match(validateInputSpec({ width: 8, height: 8, crop: 'center' }), [
    /needs resize: shorter-side/,
  ]);
  t.match(validateInputSpec({ width: 8, height: 8, resize: 'shorter-side', shorterSide: 7 }), [
    /less than the crop/,
  ]);
  t.match(validateInputSpec({ width: 8, height: 8, resize: 'shorter-side', crop: 'none' }), [
    /crop: center/,
  ]);
  t.match(validateInputSpec({ width: 8, height: 8, channels: 'GRAY', mean: [1, 2, 3] }), [
    /needs 1 or 1|needs 1/,
  ]);
  t.same(validateInputSpec({ width: 8, height: 8 }), []);
  t.throws(() => toTensor(randomBitmap(2, 2, 1), bad), /input spec: width/);
  t.end();
});

function rounded(value: number): number {
  return Math.round(value * 1e5) / 1e5;
}
