/**
 * Makes the models that ship with the package ready on every worker: the classic `train`. Deploys
 * those that the cluster does not have in just this form, all at once, and answers when each of
 * them is warm on every worker.
 */
import { createHash } from 'node:crypto';
import { IdunnoError, isIdunnoError } from '../base/index.js';
import type { ModelInfo } from '../idunno/index.js';
import type { ClientCallOptions } from './api-calls.js';
import type { ApiClient } from './api-client.js';
import { readModelFolder } from './local-files.js';
import type { PackedFile } from './pack.js';
import { shippedModelsFolder } from './package-root.js';

export const SHIPPED_MODELS: readonly string[] = ['lenet', 'resnet'];

type Client = Pick<ApiClient, 'modelDeploy' | 'modelList' | 'fileStat'>;

export interface TrainOptions extends ClientCallOptions {
  readonly onProgress?: (text: string) => void;
}

/**
 * The shipped models as they then are, in the order of SHIPPED_MODELS. Throws MODEL_LOAD_FAILED also
 * where only some of the workers cannot load one.
 */
export async function trainShippedModels(
  client: Client,
  options: TrainOptions = {},
): Promise<readonly ModelInfo[]> {
  const known = await client.modelList();
  return Promise.all(
    SHIPPED_MODELS.map(async (name) => {
      const files = await readModelFolder(name, shippedModelsFolder(), shippedModelsFolder());
      const model = known.find((each) => each.name === name);
      if (model !== undefined && isReady(model) && (await isSame(client, model, files))) {
        options.onProgress?.(`${name} is ready already`);
        return model;
      }
      const onProgress = (text: string): void => options.onProgress?.(`${name}: ${text}`);
      const deployed = await client.modelDeploy(files, { ...options, onProgress, workers: 'all' });
      const failed = deployed.workers.find((worker) => worker.state === 'failed');
      if (failed === undefined) return deployed;
      throw new IdunnoError(
        'MODEL_LOAD_FAILED',
        `model ${name} cannot be loaded on ${failed.node}: ${failed.error ?? 'it did not say why'}`,
        { model: name },
      );
    }),
  );
}

/** Deployed, and warm on every worker there is. */
function isReady({ state, workers, others }: ModelInfo): boolean {
  return (
    state === 'Deployed' && others.length === 0 && workers.every((each) => each.state === 'warm')
  );
}

/** Has the cluster these very files? */
async function isSame(
  client: Client,
  model: ModelInfo,
  files: readonly PackedFile[],
): Promise<boolean> {
  if (model.files.length !== files.length) return false;
  for (const { name, version } of model.files) {
    const own = files.find((file) => name.endsWith(`/${file.name}`));
    if (own === undefined) return false;
    try {
      const stored = await client.fileStat(name, version);
      const sha256 = createHash('sha256').update(own.bytes).digest('hex');
      if (stored.sha256 !== sha256) return false;
    } catch (error) {
      if (isIdunnoError(error, 'FILE_NOT_FOUND') || isIdunnoError(error, 'VERSION_NOT_FOUND')) {
        return false;
      }
      throw error;
    }
  }
  return true;
}
