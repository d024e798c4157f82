/**
 * How a picture becomes a model's input: the `input:` section of `model.yaml`, key by key.
 *
 * The order of the steps is fixed, whatever the order of the keys:
 *
 *   decode → blend over white → resize → crop → invert → grey → × scale → − mean → ÷ std
 *
 * This file holds data and its checks only; `to-tensor.ts` does the work.
 */

/** Order of the channels in memory. `GRAY` is one channel, ITU-R BT.601 luma. */
export type ChannelOrder = 'RGB' | 'BGR' | 'GRAY';

/** Order of the axes: PyTorch and most ONNX files use NCHW, TensorFlow exports often NHWC. */
export type TensorLayout = 'NCHW' | 'NHWC';

/** Preprocessing of one image input. Keys are those of `model.yaml`. */
export interface InputSpec {
  /** Width of the tensor in pixels, 1 to 4096. */
  readonly width: number;
  /** Height of the tensor in pixels, 1 to 4096. */
  readonly height: number;
  /**
   * `exact` (default) stretches the whole picture to width × height, whatever its aspect.
   * `shorter-side` keeps the aspect: the shorter side becomes `shorterSide` pixels, then `crop`.
   */
  readonly resize?: 'exact' | 'shorter-side' | undefined;
  /** Only with `shorter-side`; at least width and height. Default: the larger of the two. */
  readonly shorterSide?: number | undefined;
  /**
   * `center` cuts width × height out of the middle. It goes with `shorter-side` and is the
   * default there; `none` goes with `exact`. The other two pairs are refused.
   */
  readonly crop?: 'center' | 'none' | undefined;
  /** Default `RGB`. */
  readonly channels?: ChannelOrder | undefined;
  /** Default `NCHW`. */
  readonly layout?: TensorLayout | undefined;
  /** Type of the elements; `uint8` rounds and clamps to 0..255. Default `float32`. */
  readonly dtype?: 'float32' | 'uint8' | undefined;
  /** Multiplies the 0..255 values. Default 1/255 for `float32`, 1 for `uint8`. */
  readonly scale?: number | undefined;
  /**
   * Subtracted after `scale`, so in scaled units, in the order of `channels` (for BGR: blue
   * first). One number for all channels or one for each. Default 0.
   */
  readonly mean?: readonly number[] | undefined;
  /** Divided by after `mean`; like `mean`, and none may be 0. Default 1. */
  readonly std?: readonly number[] | undefined;
  /** Replaces v by 255 − v before `scale`: for black-on-white files and white-on-black models. */
  readonly invert?: boolean | undefined;
}

/** An InputSpec with every default filled in; `mean` and `std` have one number per channel. */
export interface CompleteInputSpec {
  readonly width: number;
  readonly height: number;
  readonly resize: 'exact' | 'shorter-side';
  readonly shorterSide: number;
  readonly crop: 'center' | 'none';
  readonly channels: ChannelOrder;
  readonly layout: TensorLayout;
  readonly dtype: 'float32' | 'uint8';
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly invert: boolean;
}

/** Largest side of an input: 4096² × 3 floats are 192 MiB, more than any shipped use needs. */
export const INPUT_SIDE_MAX = 4096;

/** Number of channels of an order. */
export function channelCount(channels: ChannelOrder): 1 | 3 {
  return channels === 'GRAY' ? 1 : 3;
}

/** Fills in the defaults. Does not check: see validateInputSpec. */
export function completeInputSpec(spec: InputSpec): CompleteInputSpec {
  const channels = spec.channels ?? 'RGB';
  const resize = spec.resize ?? 'exact';
  const dtype = spec.dtype ?? 'float32';
  const count = channelCount(channels);
  return {
    width: spec.width,
    height: spec.height,
    resize,
    shorterSide: spec.shorterSide ?? Math.max(spec.width, spec.height),
    crop: spec.crop ?? (resize === 'exact' ? 'none' : 'center'),
    channels,
    layout: spec.layout ?? 'NCHW',
    dtype,
    scale: spec.scale ?? (dtype === 'float32' ? 1 / 255 : 1),
    mean: spread(spec.mean ?? [0], count),
    std: spread(spec.std ?? [1], count),
    invert: spec.invert ?? false,
  };
}

/** All that is wrong with a spec, one sentence each; empty when it can be used. */
export function validateInputSpec(spec: InputSpec): string[] {
  const problems: string[] = [];
  const whole = completeInputSpec(spec);
  const count = channelCount(whole.channels);
  for (const side of ['width', 'height', 'shorterSide'] as const) {
    const value = whole[side];
    if (!Number.isInteger(value) || value < 1 || value > INPUT_SIDE_MAX) {
      problems.push(`${side} must be a whole number from 1 to ${INPUT_SIDE_MAX}, is ${value}`);
    }
  }
  if (whole.resize === 'exact' && spec.shorterSide !== undefined) {
    problems.push('shorterSide needs resize: shorter-side');
  }
  if (whole.resize === 'exact' && whole.crop === 'center') {
    problems.push('crop: center needs resize: shorter-side');
  }
  if (whole.resize === 'shorter-side' && whole.shorterSide < Math.max(spec.width, spec.height)) {
    problems.push(
      `shorterSide ${whole.shorterSide} is less than the crop of ${spec.width}×${spec.height}`,
    );
  }
  if (whole.resize === 'shorter-side' && whole.crop === 'none') {
    problems.push('resize: shorter-side needs crop: center, or the tensor has no fixed size');
  }
  if (!Number.isFinite(whole.scale) || whole.scale === 0) {
    problems.push(`scale must be a finite number other than 0, is ${whole.scale}`);
  }
  for (const key of ['mean', 'std'] as const) {
    const values = spec[key];
    if (values === undefined) continue;
    if (values.length !== 1 && values.length !== count) {
      problems.push(
        `${key} needs 1 or ${count} numbers for ${whole.channels}, has ${values.length}`,
      );
    }
    if (!values.every((value) => Number.isFinite(value) && (key === 'mean' || value !== 0))) {
      problems.push(`${key} has a number that cannot be used: [${values.join(', ')}]`);
    }
  }
  return problems;
}

/** Shape of a batch of `batch` images, as ONNX wants it. */
export function tensorShape(spec: InputSpec, batch: number): number[] {
  const { width, height, channels, layout } = completeInputSpec(spec);
  const count = channelCount(channels);
  return layout === 'NCHW' ? [batch, count, height, width] : [batch, height, width, count];
}

/** Elements of one image. */
export function tensorLength(spec: InputSpec): number {
  return spec.width * spec.height * channelCount(spec.channels ?? 'RGB');
}

function spread(values: readonly number[], count: number): readonly number[] {
  return values.length === 1 ? new Array<number>(count).fill(values[0] ?? 0) : values;
}
