/**
 * How far colour alone goes on drawn flowers: RGB histograms of 4×4×4 bins, compared by the city
 * block distance. If this went far, the models' figures on drawings would say nothing of shapes.
 */
import { drawSet } from '../../demo/draw/sets.js';
import { type Bitmap, decodeImage } from '../../src/image/index.js';

/** Shares of test drawings named rightly. */
export interface ColorBaseline {
  readonly nearestNeighbour: number;
  readonly nearestCentroid: number;
}

interface Sample {
  readonly histogram: Float64Array;
  readonly label: string;
}

/** Learns from `trainCount` drawings of one seed, judges `testCount` of the next. */
export async function colorBaseline(
  trainCount: number,
  testCount: number,
  seed: number,
): Promise<ColorBaseline> {
  const train = await samples(trainCount, seed);
  const test = await samples(testCount, seed + 1);
  const centroids = centroidsOf(train);
  const share = (known: readonly Sample[]) =>
    test.filter((one) => nearest(known, one).label === one.label).length / test.length;
  return { nearestNeighbour: share(train), nearestCentroid: share(centroids) };
}

async function samples(count: number, seed: number): Promise<Sample[]> {
  const found: Sample[] = [];
  for (const { png, label } of drawSet('flowers', count, seed)) {
    found.push({ histogram: histogramOf(await decodeImage(png)), label });
  }
  return found;
}

function histogramOf({ rgba, width, height }: Bitmap): Float64Array {
  const bins = new Float64Array(64);
  for (let i = 0; i < rgba.length; i += 4) {
    const bin =
      ((rgba[i] ?? 0) >> 6) * 16 + ((rgba[i + 1] ?? 0) >> 6) * 4 + ((rgba[i + 2] ?? 0) >> 6);
    bins[bin] = (bins[bin] ?? 0) + 1 / (width * height);
  }
  return bins;
}

function centroidsOf(train: readonly Sample[]): Sample[] {
  return [...new Set(train.map(({ label }) => label))].map((label) => {
    const own = train.filter((one) => one.label === label);
    const histogram = new Float64Array(64).map(
      (_, bin) => own.reduce((sum, one) => sum + (one.histogram[bin] ?? 0), 0) / own.length,
    );
    return { histogram, label };
  });
}

function nearest(known: readonly Sample[], one: Sample): Sample {
  let best = one;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = candidate.histogram.reduce(
      (sum, value, bin) => sum + Math.abs(value - (one.histogram[bin] ?? 0)),
      0,
    );
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}
