/** Inference jobs as load for drills: drawn digits or flowers, a shipped model, results checked. */
import { type DrawingKind, drawSet } from '../../demo/draw/sets.js';
import { readShippedModel, waitForJob } from '../../demo/prepare.js';
import type { ApiClient } from '../../src/cli/index.js';

export interface JobVerdict {
  readonly queries: number;
  readonly missing: number;
  readonly duplicated: number;
  readonly problems: readonly string[];
}

export interface JobLoad {
  readonly id: number;
  /** Waits for the end and counts the results. */
  finish(): Promise<JobVerdict>;
}

const KIND_OF: Readonly<Record<string, DrawingKind>> = { lenet: 'digits', resnet: 'flowers' };
const IMAGES = 60;
const JOB_TIMEOUT_MS = 300_000;

/** Stores images, deploys the model, submits a job of 60 × `repeat` queries in tasks of 4. */
export async function startJobLoad(
  client: ApiClient,
  model: 'lenet' | 'resnet',
  repeat: number,
): Promise<JobLoad> {
  const kind = KIND_OF[model] ?? 'digits';
  const files = [...drawSet(kind, IMAGES, 7)].map(({ png }, i) => ({
    name: `${kind}/${String(i).padStart(4, '0')}.png`,
    bytes: new Uint8Array(png),
  }));
  await client.filePutMany(files);
  await client.modelDeploy(await readShippedModel(model));
  const { id, queries } = await client.jobSubmit({
    model,
    inputs: { prefix: `${kind}/` },
    batchSize: 4,
    repeat,
    label: kind,
    owner: 'drill',
  });
  return { id, finish: () => verifyJob(client, id, queries) };
}

/** Waits for the job's end and holds its results against what was asked for. */
export async function verifyJob(
  client: ApiClient,
  id: number,
  queries: number,
): Promise<JobVerdict> {
  const job = await waitForJob(client, id, AbortSignal.timeout(JOB_TIMEOUT_MS));
  const seen = new Map<string, number>();
  for await (const line of client.jobResults(id)) {
    const query = `${line.item}#${line.repetition}`;
    seen.set(query, (seen.get(query) ?? 0) + 1);
  }
  const proof = await client.jobVerify(id);
  const problems = [...proof.problems];
  if (job.state !== 'succeeded') problems.push(`job ${id} ended ${job.state}`);
  return {
    queries,
    missing: Math.max(queries - seen.size, proof.missing),
    duplicated: Math.max([...seen.values()].filter((n) => n > 1).length, proof.duplicated),
    problems,
  };
}
