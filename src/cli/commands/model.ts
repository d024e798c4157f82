/** `idunno model …`: what the cluster can run, and where. */
import { IdunnoError } from '../../base/index.js';
import type { ModelInfo, WorkersWanted } from '../../idunno/index.js';
import { formatBytes, plural } from '../format.js';
import { readModelFolder } from '../local-files.js';
import type { Column } from '../output.js';
import { shippedModelsFolder } from '../package-root.js';
import { parseWhole } from '../program.js';
import type { CommandSpec } from '../types.js';

const MODEL_COLUMNS: readonly Column<ModelInfo>[] = [
  { title: 'name', value: (model) => model.name },
  { title: 'revision', value: (model) => String(model.revision), align: 'right' },
  { title: 'state', value: (model) => model.state },
  { title: 'running', value: (model) => String(nodesOf(model, 'warm').length), align: 'right' },
  { title: 'loading', value: (model) => String(loadingOn(model).length), align: 'right' },
  { title: 'prefetched', value: (model) => String(prefetchedOn(model).length), align: 'right' },
  {
    title: 'size',
    value: (model) => formatBytes(model.files.reduce((sum, file) => sum + file.bytes, 0)),
    align: 'right',
  },
  { title: 'description', value: (model) => model.description },
  { title: 'workers', value: (model) => workersOf(model), wide: true },
];

function nodesOf(model: ModelInfo, state: ModelInfo['workers'][number]['state']): string[] {
  return model.workers.filter((worker) => worker.state === state).map(({ node }) => node);
}

function loadingOn({ workers }: ModelInfo): string[] {
  return workers
    .filter(({ state }) => state !== 'warm' && state !== 'failed')
    .map(({ node }) => node);
}

function prefetchedOn({ others }: ModelInfo): string[] {
  return others.filter(({ state }) => state === 'prefetched').map(({ node }) => node);
}

interface Place {
  readonly node: string;
  readonly state: 'running' | 'loading' | 'failed' | 'prefetched' | 'absent';
  readonly detail: string;
}

/** Each worker that is up or was given it, and what it has of the model. */
export function placesOf(model: ModelInfo): Place[] {
  const given = model.workers.map(({ node, state, error = '' }): Place => {
    if (state === 'warm') return { node, state: 'running', detail: 'warm' };
    if (state === 'failed') return { node, state, detail: error };
    return { node, state: 'loading', detail: error === '' ? state : `${state}: ${error}` };
  });
  const others = model.others.map(({ node, state }): Place => ({ node, state, detail: '' }));
  return [...given, ...others].sort((a, b) =>
    a.node.localeCompare(b.node, 'en', { numeric: true }),
  );
}

function workersOf(model: ModelInfo): string {
  return placesOf(model)
    .map(({ node, state, detail }) =>
      state === 'failed' ? `${node}:failed(${detail})` : `${node}:${state}`,
    )
    .join(' ');
}

const deploy: CommandSpec = {
  noun: 'model',
  verb: 'deploy',
  summary: 'put a model folder into the cluster and load it on its workers',
  details: `FOLDER holds model.yaml, the weights, and what else it names. A model that ships with
idunno can be named alone: idunno model deploy lenet
It is ready when the workers that were given it have loaded it; all others fetch its files, so that
the scaling rule can add them where a job lags behind. Until then jobs are refused.`,
  args: [{ name: 'folder', help: 'the model folder' }],
  options: [
    { flags: '--workers <list>', help: 'where to load it at first: a number, names, or all' },
  ],
  async run(context) {
    const folder = context.arg('folder');
    const workers = parseWorkers(context.option('workers'));
    const files = await readModelFolder(folder, context.io.cwd, shippedModelsFolder());
    const client = await context.client();
    const model = await client.modelDeploy(files, {
      signal: context.signal,
      workers,
      onProgress: (text) => context.out.note(text),
    });
    const warm = nodesOf(model, 'warm').length;
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

/** `3`, `n1,n2` or `all`. */
function parseWorkers(text: string | undefined): WorkersWanted {
  if (text === undefined) return null;
  if (text === 'all') return text;
  if (/^-?\d+$/.test(text)) return parseWhole('--workers', text, { min: 1, max: WORKERS_MAX });
  const names = text.split(',').filter((name) => name !== '');
  if (names.length === 0) {
    throw new IdunnoError('USAGE', '--workers takes a number, names separated by commas, or all');
  }
  return names;
}

const WORKERS_MAX = 256;

const show: CommandSpec = {
  noun: 'model',
  verb: 'show',
  summary: 'one model, and what each worker has of it',
  details: `running: loaded and warm, it takes tasks. loading: on its way. prefetched: its files are
there and nothing runs. absent: not even those, yet.`,
  args: [{ name: 'name', help: "the model's name" }],
  async run(context) {
    const name = context.arg('name');
    const models = await (await context.client()).modelList();
    const model = models.find((candidate) => candidate.name === name);
    if (model === undefined) {
      throw new IdunnoError('MODEL_NOT_FOUND', `there is no model "${name}"`, { model: name });
    }
    if (context.out.format === 'json') return context.out.item('model', model, []);
    const columns = MODEL_COLUMNS.map(({ title, value }) => ({ title, value }));
    context.out.item(
      'model',
      model,
      columns.filter(({ title }) => title !== 'workers'),
    );
    context.out.list('workers', placesOf(model), [
      { title: 'worker', value: (place) => place.node },
      { title: 'state', value: (place) => place.state },
      { title: 'detail', value: (place) => place.detail },
    ]);
  },
};

/** undeploy and rm differ in what stays. */
function retireCommand(
  verb: 'undeploy' | 'rm',
  summary: string,
  question: (name: string) => string,
  done: string,
): CommandSpec {
  return {
    noun: 'model',
    verb,
    summary,
    args: [{ name: 'name', help: "the model's name" }],
    async run(context) {
      const name = context.arg('name');
      await context.confirm(question(name));
      const client = await context.client();
      if (verb === 'rm') await client.modelRemove(name, { signal: context.signal });
      else await client.modelUndeploy(name, { signal: context.signal });
      context.out.done(`model ${name} is ${done}`, 'model', { name });
    },
  };
}

const undeploy = retireCommand(
  'undeploy',
  'unload it everywhere; its files stay, deploying them again makes the next revision',
  (name) => `Unload ${name} on all workers and take no more jobs for it?`,
  'Undeployed',
);
const rm = retireCommand(
  'rm',
  'unload it everywhere and delete its files',
  (name) => `Unload ${name} on all workers and delete its files?`,
  'removed',
);

export const MODEL_COMMANDS: readonly CommandSpec[] = [deploy, ls, show, undeploy, rm];
