/** Models and jobs for clients: `api.model.*`, `api.job.*`. */
import { z } from 'zod';
import { asIdunnoError } from '../base/index.js';
import {
  API,
  jobSpecSchema,
  type PackedFile,
  toWire,
  unpackFiles,
  workersWantedSchema,
} from '../cli/index.js';
import type { IdunnoClient, JobInfo, WorkersWanted } from '../idunno/index.js';
import type { Rpc } from '../net/index.js';
import { type ApiParts, nothing, requestOf, serve, text, whole } from './api-parts.js';
import { jsonLines, Lines } from './json-stream.js';

/** A model folder is held in memory once, while it is put into SDFS. */
const MODEL_LIMITS = {
  fileBytesMax: 1024 * 1024 * 1024,
  filesMax: 1_000,
  totalBytesMax: 1024 * 1024 * 1024 + 2 * 1024 * 1024,
} as const;
const DEPLOY_TIMEOUT_MS_MAX = 60 * 60_000;
const TASK_PAGE_MAX = 1_000;

export function serveJobs(rpc: Pick<Rpc, 'handle'>, parts: ApiParts): void {
  serveModels(rpc, parts.idunno);
  serveJobReads(rpc, parts.idunno);
  serveJobChanges(rpc, parts.idunno);
}

function serveModels(rpc: Pick<Rpc, 'handle'>, idunno: IdunnoClient): void {
  const deployArgs = z.tuple([whole.min(1).max(DEPLOY_TIMEOUT_MS_MAX), workersWantedSchema]);
  serve(rpc, API.modelDeploy, deployArgs, async ([timeoutMs, workers], body, { signal }) => {
    const files: PackedFile[] = [];
    for await (const file of unpackFiles(body, MODEL_LIMITS)) files.push(file);
    return { value: null, body: deployLines(idunno, files, { timeoutMs, workers, signal }) };
  });
  serve(rpc, API.modelList, nothing, async () => ({ value: toWire(await idunno.models()) }));
  serve(rpc, API.modelUndeploy, z.tuple([text]), async ([name]) => {
    await idunno.undeploy(name);
    return { value: null };
  });
  serve(rpc, API.modelRemove, z.tuple([text]), async ([name]) => {
    await idunno.remove(name);
    return { value: null };
  });
}

/** Progress as it comes, then the model or what went wrong. */
async function* deployLines(
  idunno: IdunnoClient,
  files: readonly PackedFile[],
  options: { timeoutMs: number; workers: WorkersWanted; signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const lines = new Lines();
  const onProgress = (progress: string): void => lines.push({ progress });
  const deployed = idunno.deploy(files, { ...options, onProgress }).then(
    (model) => lines.end({ model }),
    (error: unknown) => lines.end({ fault: asIdunnoError(error).toWire() }),
  );
  yield* lines;
  await deployed;
}

function serveJobReads(rpc: Pick<Rpc, 'handle'>, idunno: IdunnoClient): void {
  const one = z.tuple([whole]);
  serve(rpc, API.jobList, z.tuple([text.nullable()]), async ([owner]) => ({
    value: toWire(await idunno.jobs(owner ?? undefined)),
  }));
  serve(rpc, API.jobInfo, one, async ([id]) => ({ value: toWire(await idunno.job(id)) }));
  const statsArgs = z.tuple([whole.nullable(), text.nullable()]);
  serve(rpc, API.jobStats, statsArgs, async ([id, owner]) => ({
    value: toWire(await idunno.stats(id ?? undefined, owner ?? undefined)),
  }));
  serve(rpc, API.jobFairness, nothing, async () => ({ value: toWire(await idunno.fairness()) }));
  const tasksArgs = z.tuple([whole, whole.nullable(), whole.min(1).max(TASK_PAGE_MAX)]);
  serve(rpc, API.jobTasks, tasksArgs, async ([id, after, limit]) => ({
    value: toWire(await idunno.tasks(id, { limit, ...(after === null ? {} : { after }) })),
  }));
  serve(rpc, API.jobExplain, one, async ([id]) => ({ value: toWire(await idunno.explain(id)) }));
  serve(rpc, API.jobVerify, one, async ([id]) => ({ value: toWire(await idunno.verify(id)) }));
  serve(rpc, API.jobResults, one, async ([id], _body, { signal }) => {
    // Whether the job exists is said at once; what goes wrong later is said by the last line.
    await idunno.job(id);
    return { value: null, body: jsonLines(idunno.results(id, { signal })) };
  });
}

function serveJobChanges(rpc: Pick<Rpc, 'handle'>, idunno: IdunnoClient): void {
  const submitArgs = z.tuple([jobSpecSchema, whole, whole]);
  serve(rpc, API.jobSubmit, submitArgs, async ([spec, session, seq]) => ({
    value: toWire(await idunno.submitJob(spec, requestOf(session, seq))),
  }));
  const change = (method: string, apply: (id: number) => Promise<JobInfo>): void => {
    serve(rpc, method, z.tuple([whole]), async ([id]) => ({ value: toWire(await apply(id)) }));
  };
  change(API.jobPause, (id) => idunno.pause(id));
  change(API.jobResume, (id) => idunno.resume(id));
  change(API.jobCancel, (id) => idunno.cancel(id));
  serve(rpc, API.jobSetBatchSize, z.tuple([whole, whole.min(1)]), async ([id, size]) => ({
    value: toWire(await idunno.setBatchSize(id, size)),
  }));
}
