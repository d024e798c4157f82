/**
 * Before the film: draw the images (seeded, labels known), store them in the cluster, deploy both
 * models, and measure how long one query of each takes with all workers on it.
 */
import {
  type ApiClient,
  type PackedFile,
  readModelFolder,
  shippedModelsFolder,
} from '../src/cli/index.js';
import type { JobInfo } from '../src/idunno/index.js';
import { type DrawingKind, drawSet } from './draw/sets.js';

export interface DemoImage {
  readonly name: string;
  readonly label: string;
  readonly png: Uint8Array;
}

export interface DemoModel {
  readonly name: string;
  readonly kind: DrawingKind;
  /** The least share of drawn images it must recognise; below it the demonstration fails. */
  readonly accuracyGoal: number;
}

export const DEMO_MODELS: readonly [DemoModel, DemoModel] = [
  { name: 'lenet', kind: 'digits', accuracyGoal: 0.95 },
  { name: 'resnet', kind: 'flowers', accuracyGoal: 0.93 },
];

const FINAL_STATES = new Set(['succeeded', 'succeeded-with-errors', 'failed', 'cancelled']);

export function drawImages(kind: DrawingKind, count: number, seed: number): DemoImage[] {
  return [...drawSet(kind, count, seed)].map(({ png, label }, index) => ({
    name: `${kind}/${String(index).padStart(4, '0')}.png`,
    label,
    png,
  }));
}

/** The files of a model that ships with the project. */
export function readShippedModel(name: string): Promise<PackedFile[]> {
  return readModelFolder(name, shippedModelsFolder(), shippedModelsFolder());
}

export async function waitForJob(
  client: ApiClient,
  id: number,
  signal: AbortSignal,
): Promise<JobInfo> {
  for (;;) {
    signal.throwIfAborted();
    const job = await client.jobInfo(id);
    if (FINAL_STATES.has(job.state)) return job;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const CALIBRATION_MS = 1200;
const CALIBRATION_BATCH = 8;

/** Seconds per query with the whole cluster on this model: a short job, grown until it is long enough. */
export async function measureQuery(
  client: ApiClient,
  model: DemoModel,
  images: number,
  signal: AbortSignal,
): Promise<number> {
  for (let repeat = 1; ; repeat *= 4) {
    const { id } = await client.jobSubmit({
      model: model.name,
      inputs: { prefix: `${model.kind}/` },
      batchSize: CALIBRATION_BATCH,
      repeat,
      label: 'calibration',
      owner: 'demo',
    });
    const job = await waitForJob(client, id, signal);
    const tookMs = (job.finishedMs ?? 0) - (job.startedMs ?? job.createdMs);
    if (tookMs >= CALIBRATION_MS || repeat >= 1024) {
      return Math.max(tookMs, 1) / 1000 / (images * repeat);
    }
  }
}
