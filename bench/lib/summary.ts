/** Mean and standard deviation of a few trials, as evaluations report them. */

export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** Of the sample (n − 1); 0 of a single value. */
  readonly std: number;
  readonly min: number;
  readonly max: number;
}

/** NaN where there is nothing, so that no goal is met by an empty measurement. */
export function summarize(values: readonly number[]): Summary {
  const count = values.length;
  const mean = count === 0 ? Number.NaN : values.reduce((sum, v) => sum + v, 0) / count;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  const std = count < 2 ? 0 : Math.sqrt(squares / (count - 1));
  return { count, mean, std, min: Math.min(...values), max: Math.max(...values) };
}
