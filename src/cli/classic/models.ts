/** Classic commands about models: `train` and `train-start` make the shipped ones ready. */
import { setTimeout as sleep } from 'node:timers/promises';
import { IdunnoError } from '../../base/index.js';
import type { ModelInfo } from '../../idunno/index.js';
import { readModelFolder } from '../local-files.js';
import { shippedModelsFolder } from '../package-root.js';
import type { ClassicCommand, ClassicState } from './types.js';

/** The models that ship with the package. They come trained: nothing is learned here. */
const SHIPPED_MODELS = ['lenet', 'resnet'];

const LOOK_MS = 200;
const WARM_LOOKS_MAX = 600;

/** The classic names of one thing. */
function trainCommand(name: string): ClassicCommand {
  return {
    name,
    args: [],
    summary: `load the shipped models (${SHIPPED_MODELS.join(', ')}) on the workers`,
    async run(state) {
      const deployed: ModelInfo[] = [];
      for (const model of SHIPPED_MODELS) {
        const files = await readModelFolder(model, shippedModelsFolder(), shippedModelsFolder());
        deployed.push(
          await state.client.modelDeploy(files, {
            signal: state.signal,
            onProgress: (text) => state.out.note(text),
          }),
        );
      }
      for (const model of deployed) await untilWarm(state, model);
      state.out.line('Models are ready for inference');
    },
  };
}

/** Until every worker that runs it has loaded it: a deployment answers when the first ones have. */
async function untilWarm(state: ClassicState, { name, revision }: ModelInfo): Promise<void> {
  for (let look = 0; look < WARM_LOOKS_MAX; look += 1) {
    const models = await state.client.modelList({ signal: state.signal });
    const model = models.find((each) => each.name === name);
    if (model === undefined || model.revision > revision) return;
    const failed = model.workers.find((worker) => worker.state === 'failed');
    if (failed !== undefined) {
      const text = `model ${name} cannot be loaded on ${failed.node}: ${failed.error ?? 'unknown'}`;
      throw new IdunnoError('MODEL_LOAD_FAILED', text, { model: name });
    }
    if (model.workers.every((worker) => worker.state === 'warm')) return;
    await sleep(LOOK_MS, undefined, { signal: state.signal });
  }
  const seconds = (LOOK_MS * WARM_LOOKS_MAX) / 1_000;
  throw new IdunnoError('TIMEOUT', `model ${name} was not warm everywhere within ${seconds} s`);
}

export const MODEL_COMMANDS: readonly ClassicCommand[] = [
  trainCommand('train'),
  trainCommand('train-start'),
];
