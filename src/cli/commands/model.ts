/** `idunno model …`: what the cluster can run. */
import type { ModelInfo } from '../../idunno/index.js';
import { formatBytes, plural } from '../format.js';
import { readModelFolder } from '../local-files.js';
import type { Column } from '../output.js';
import { shippedModelsFolder } from '../package-root.js';
import type { CommandSpec } from '../types.js';

const MODEL_COLUMNS: readonly Column<ModelInfo>[] = [
  { title: 'name', value: (model) => model.name },
  { title: 'revision', value: (model) => String(model.revision), align: 'right' },
  { title: 'state', value: (model) => model.state },
  { title: 'warm', value: (model) => warmOf(model), align: 'right' },
  {
    title: 'size',
    value: (model) => formatBytes(model.files.reduce((sum, file) => sum + file.bytes, 0)),
    align: 'right',
  },
  { title: 'description', value: (model) => model.description },
  { title: 'workers', value: (model) => workersOf(model), wide: true },
];

function warmOf(model: ModelInfo): string {
  const warm = model.workers.filter((worker) => worker.state === 'warm').length;
  return `${warm}/${model.workers.length}`;
}

function workersOf(model: ModelInfo): string {
  return model.workers
    .map(({ node, state, error }) => `${node}:${state}${error === undefined ? '' : `(${error})`}`)
    .join(' ');
}

const deploy: CommandSpec = {
  noun: 'model',
  verb: 'deploy',
  summary: 'put a model folder into the cluster and load it on its workers',
  details: `FOLDER holds model.yaml, the weights, and what else it names. A model that ships with
idunno can be named alone: idunno model deploy lenet`,
  args: [{ name: 'folder', help: 'the model folder' }],
  async run(context) {
    const folder = context.arg('folder');
    const files = await readModelFolder(folder, context.io.cwd, shippedModelsFolder());
    const client = await context.client();
    const model = await client.modelDeploy(files, {
      signal: context.signal,
      onProgress: (text) => context.out.note(text),
    });
    const warm = model.workers.filter((worker) => worker.state === 'warm').length;
    const sentence = `model ${model.name} r${model.revision} is ${model.state}: ready on ${plural(warm, 'node')}`;
    context.out.done(sentence, 'model', model);
  },
};

const ls: CommandSpec = {
  noun: 'model',
  verb: 'ls',
  summary: 'the models and how far their workers are',
  async run(context) {
    context.out.list('models', await (await context.client()).modelList(), MODEL_COLUMNS);
  },
};

export const MODEL_COMMANDS: readonly CommandSpec[] = [deploy, ls];
