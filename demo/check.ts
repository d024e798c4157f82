/** One finished job held against what is known of its images: every query once, and the labels. */
import type { ApiClient } from '../src/cli/index.js';
import type { JobInfo } from '../src/idunno/index.js';
import type { DemoImage, DemoModel } from './prepare.js';

export interface DemoTile {
  readonly image: Uint8Array;
  readonly caption: string;
  readonly good: boolean;
}

export interface CheckedJob {
  readonly id: number;
  readonly model: string;
  readonly state: string;
  readonly queries: number;
  readonly missingResults: number;
  readonly duplicateResults: number;
  readonly accuracy: number;
  readonly accuracyGoal: number;
  readonly problems: readonly string[];
  /** Some images with what the model said. */
  readonly tiles: readonly DemoTile[];
}

const TILES = 20;

/** Counts results by query ourselves, and asks the cluster to prove its own count. */
export async function checkJob(
  client: ApiClient,
  model: DemoModel,
  job: JobInfo,
  images: readonly DemoImage[],
): Promise<CheckedJob> {
  const byName = new Map(images.map((image) => [image.name, image]));
  const seen = new Map<string, number>();
  const said = new Map<string, string>();
  const problems: string[] = [];
  let right = 0;
  for await (const line of client.jobResults(job.id)) {
    const query = `${line.item}#${line.repetition}`;
    seen.set(query, (seen.get(query) ?? 0) + 1);
    const label = line.top?.[0]?.label;
    if (line.error !== undefined) problems.push(`${model.name} ${line.input}: ${line.error}`);
    if (label !== undefined && label === byName.get(line.input)?.label) right += 1;
    if (label !== undefined) said.set(line.input, label);
  }
  const verified = await client.jobVerify(job.id);
  if (!verified.ok) problems.push(...verified.problems.map((text) => `job ${job.id}: ${text}`));
  if (job.state !== 'succeeded') problems.push(`job ${job.id} ended ${job.state}`);
  const missing = job.queries - seen.size;
  const duplicated = [...seen.values()].filter((times) => times > 1).length;
  return {
    id: job.id,
    model: model.name,
    state: job.state,
    queries: job.queries,
    missingResults: Math.max(missing, verified.missing),
    duplicateResults: Math.max(duplicated, verified.duplicated),
    accuracy: right / Math.max(1, job.queries),
    accuracyGoal: model.accuracyGoal,
    problems: problems.slice(0, 10),
    tiles: tilesOf(images, said),
  };
}

/** Every wrong answer among the first images, then right ones. */
function tilesOf(images: readonly DemoImage[], said: ReadonlyMap<string, string>): DemoTile[] {
  const tiles = images.map((image) => {
    const answer = said.get(image.name) ?? 'no answer';
    return {
      image: image.png,
      caption: `${image.label} → ${answer}`,
      good: answer === image.label,
    };
  });
  const wrong = tiles.filter((tile) => !tile.good).slice(0, TILES / 4);
  const good = tiles.filter((tile) => tile.good).slice(0, TILES - wrong.length);
  return [...good, ...wrong];
}
