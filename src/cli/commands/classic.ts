/**
 * `idunno classic …`: the classic course commands one at a time, as the prompt of `--node` runs
 * them. What one of them says is remembered for the next one in the cluster, not in a prompt.
 */
import { IdunnoError } from '../../base/index.js';
import {
  CLASSIC_COMMANDS,
  type ClassicCommand,
  type ClassicState,
  runClassic,
} from '../classic/index.js';
import type { CommandContext, CommandSpec } from '../types.js';

const TIMEOUT_MS = 15_000;
const ACTS_ON_NODE: ReadonlySet<string> = new Set(['join', 'leave']);

/** The node of a prompt is the one that is named, else whichever answers. */
export async function classicStateOf(context: CommandContext): Promise<ClassicState> {
  const client = await context.client();
  const { asker, out, signal, target, io } = context;
  return {
    client,
    node: target.node ?? (await client.status({ signal })).node,
    asker,
    out,
    cwd: io.cwd,
    signal,
    timeoutMs: target.timeoutMs ?? TIMEOUT_MS,
  };
}

function oneShot(command: ClassicCommand): CommandSpec {
  const required = command.required ?? command.args.length;
  return {
    noun: 'classic',
    verb: command.name,
    summary: command.summary,
    args: command.args.map((name, at) => ({
      name,
      help: HELP[name] ?? name,
      ...(at < required ? {} : { optional: true }),
    })),
    async run(context) {
      // Whichever node answers will do for the rest; these two act on the node itself.
      if (ACTS_ON_NODE.has(command.name) && context.target.node === undefined) {
        const text = `which node is to ${command.name}? Name it: --node NAME, or IDUNNO_NODE`;
        throw new IdunnoError('USAGE', text);
      }
      const given = command.args.map((name) => context.optionalArg(name));
      const args = given.filter((arg) => arg !== undefined);
      await runClassic(command, await classicStateOf(context), args);
    },
  };
}

const HELP: Readonly<Record<string, string>> = {
  localfilename: 'a file here',
  sdfsfilename: 'its name in the cluster',
  'num-versions': 'how many versions',
  datapath: 'a folder here',
  prefix: 'what the names in the cluster start with (default: the name of the folder)',
  dataset: 'lenet.png means lenet.*.png',
  count: 'at most so many files',
  folder: 'where the files are (default: here)',
  model: 'a deployed model',
  modelname: "a deployed model, or a job's number",
  batch_size: 'queries per task',
  size: 'queries per task',
  job: "the job's number",
};

export const CLASSIC_COMMAND_SPECS: readonly CommandSpec[] = CLASSIC_COMMANDS.map(oneShot);
