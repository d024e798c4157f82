/** Classic commands about models: `train` and `train-start` make the shipped ones ready. */
import { SHIPPED_MODELS, trainShippedModels } from '../train.js';
import type { ClassicCommand } from './types.js';

/** The classic names of one thing. The models come trained: nothing is learned here. */
function trainCommand(name: string): ClassicCommand {
  return {
    name,
    args: [],
    summary: `load the shipped models (${SHIPPED_MODELS.join(', ')}) on all workers`,
    async run({ client, out, signal }) {
      await trainShippedModels(client, { signal, onProgress: (text) => out.note(text) });
      out.line('Models are ready for inference');
    },
  };
}

export const MODEL_COMMANDS: readonly ClassicCommand[] = [
  trainCommand('train'),
  trainCommand('train-start'),
];
