/**
 * A bitmap to the numbers a model wants, as an InputSpec says.
 *
 * Pure: no canvas, no files; the same bitmap and spec give the same bytes. Steps and their order
 * are those of `input-spec.ts`. A spec that validateInputSpec refuses is refused here too, as a
 * bug of the caller, because manifests are checked when they are loaded.
 */
import type { Bitmap } from './bitmap.js';
import {
  type ChannelOrder,
  type CompleteInputSpec,
  completeInputSpec,
  type InputSpec,
  tensorLength,
  validateInputSpec,
} from './input-spec.js';
import { type ResizePlan, resizeToRgb } from './resize.js';

/** Elements of a tensor, by the spec's dtype. */
export type TensorData = Float32Array | Uint8Array;

/** The tensor of one image, without a batch axis. */
export function toTensor(bitmap: Bitmap, spec: InputSpec): TensorData {
  const target = createTensor(spec, 1);
  writeTensor(bitmap, spec, target, 0);
  return target;
}

/** An empty tensor for `batch` images, to be filled by writeTensor. */
export function createTensor(spec: InputSpec, batch: number): TensorData {
  const length = tensorLength(spec) * batch;
  return spec.dtype === 'uint8' ? new Uint8Array(length) : new Float32Array(length);
}

/** Writes image number `index` of a batch into `target`. */
export function writeTensor(
  bitmap: Bitmap,
  spec: InputSpec,
  target: TensorData,
  index: number,
): void {
  const problems = validateInputSpec(spec);
  if (problems.length > 0) throw new RangeError(`input spec: ${problems.join('; ')}`);
  const length = tensorLength(spec);
  if (target.length < (index + 1) * length) {
    throw new RangeError(`image ${index} of ${length} elements does not fit into ${target.length}`);
  }
  const whole = completeInputSpec(spec);
  const rgb = resizeToRgb(bitmap, planResize(bitmap, whole));
  writeChannels(rgb, whole, target, index * length);
}

/**
 * The scaling and the crop. As torchvision: the longer side is rounded down, the crop starts at
 * the rounded half of what is left over.
 */
function planResize(bitmap: Bitmap, spec: CompleteInputSpec): ResizePlan {
  const { width, height } = spec;
  if (spec.resize === 'exact') {
    return { fullWidth: width, fullHeight: height, left: 0, top: 0, width, height };
  }
  const shorter = Math.min(bitmap.width, bitmap.height);
  const fullWidth = Math.floor((bitmap.width * spec.shorterSide) / shorter);
  const fullHeight = Math.floor((bitmap.height * spec.shorterSide) / shorter);
  const left = Math.round((fullWidth - width) / 2);
  const top = Math.round((fullHeight - height) / 2);
  return { fullWidth, fullHeight, left, top, width, height };
}

/** Weights of red, green and blue in each channel (grey: ITU-R BT.601). */
const MIX: Record<ChannelOrder, readonly (readonly [number, number, number])[]> = {
  RGB: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  BGR: [
    [0, 0, 1],
    [0, 1, 0],
    [1, 0, 0],
  ],
  GRAY: [[0.299, 0.587, 0.114]],
};

function writeChannels(
  rgb: Float32Array,
  spec: CompleteInputSpec,
  target: TensorData,
  offset: number,
): void {
  const mix = MIX[spec.channels];
  const pixels = spec.width * spec.height;
  const isBytes = target instanceof Uint8Array;
  for (const [channel, [red, green, blue]] of mix.entries()) {
    const mean = spec.mean[channel] ?? 0;
    const std = spec.std[channel] ?? 1;
    const step = spec.layout === 'NCHW' ? 1 : mix.length;
    let to = offset + (spec.layout === 'NCHW' ? channel * pixels : channel);
    for (let from = 0; from < pixels * 3; from += 3, to += step) {
      const mixed =
        red * (rgb[from] as number) +
        green * (rgb[from + 1] as number) +
        blue * (rgb[from + 2] as number);
      const value = ((spec.invert ? 255 - mixed : mixed) * spec.scale - mean) / std;
      target[to] = isBytes ? Math.min(255, Math.max(0, Math.round(value))) : value;
    }
  }
}
