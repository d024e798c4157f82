/**
 * From commands as data to a parser, help texts and one run. Commander does the parsing; here are
 * the options that all commands share, the context a command gets, and the way errors become text
 * and exit codes. Nothing here knows a particular command.
 */
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError, Option } from 'commander';
import { IdunnoError, isIdunnoError } from '../base/index.js';
import type { ApiClient } from './api-client.js';
import { createAsker } from './asker.js';
import { OUTPUT_FORMATS, Output, type OutputFormat } from './output.js';
import { requireCluster } from './readiness.js';
import { exitCodeOf, renderError, renderSentence } from './render-error.js';
import type {
  ArgumentSpec,
  CliIo,
  CommandContext,
  CommandSpec,
  Connector,
  TargetOptions,
} from './types.js';

export interface ProgramDependencies {
  readonly commands: readonly CommandSpec[];
  readonly nouns: Readonly<Record<string, string>>;
  readonly connector: Connector;
  readonly version: string;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Set while a shell runs the line: it lends its client and shows errors its own way. */
  readonly shell?: { readonly client: ApiClient; onError(error: unknown): void };
}

/** Runs one command line (without `node` and the script's name). Never throws; the exit code. */
export async function runProgram(
  argv: readonly string[],
  io: CliIo,
  dependencies: ProgramDependencies,
): Promise<number> {
  const exit = { code: 0 };
  const program = createProgram(io, dependencies, exit);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exit.code;
  } catch (error) {
    if (error instanceof CommanderError) return commanderExit(error);
    const shown = dependencies.signal.aborted ? interrupted(error) : error;
    if (dependencies.shell !== undefined) dependencies.shell.onError(shown);
    else io.stderr.write(`${renderError(shown)}\n`);
    return exitCodeOf(shown);
  }
}

/** After Ctrl-C whatever was thrown is the interruption. */
function interrupted(error: unknown): unknown {
  if (isIdunnoError(error)) return error;
  return new IdunnoError('ABORTED', 'interrupted', {}, error);
}

/** Where a command that goes on after errors leaves its exit code. */
interface ExitBox {
  code: number;
}

/** Commander has written its own text already; help and version are no failures. */
function commanderExit(error: CommanderError): number {
  return error.exitCode === 0 ? 0 : 2;
}

function createProgram(io: CliIo, dependencies: ProgramDependencies, exit: ExitBox): Command {
  const program = prepare(new Command('idunno'), io)
    .description('A batch-inference cluster in one package: files, models and jobs on many nodes.')
    .version(dependencies.version, '-V, --version', 'print the version')
    .addHelpText('after', EXIT_CODES_HELP);
  const parents = new Map<string, Command>();
  for (const spec of dependencies.commands) {
    const parent = spec.noun === undefined ? program : nounOf(spec.noun, parents, program);
    parent.addCommand(createCommand(spec, io, dependencies, exit));
  }
  function nounOf(noun: string, known: Map<string, Command>, root: Command): Command {
    const existing = known.get(noun);
    if (existing !== undefined) return existing;
    const created = prepare(new Command(noun), io).description(dependencies.nouns[noun] ?? '');
    known.set(noun, created);
    root.addCommand(created);
    return created;
  }
  return program;
}

const EXIT_CODES_HELP = `
Exit codes: 0 done, 1 failed, 2 usage or config, 3 not found, 4 no leader or cluster unavailable,
5 timed out with unknown outcome, 6 partly done, 70 a bug, 130 interrupted.`;

/** Throws instead of ending the process, and writes to the injected streams. */
function prepare(command: Command, io: CliIo): Command {
  return command
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(--help shows what is accepted)')
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    });
}

/** `idunno file get <name> <local>`: what to type. */
export function usageLine(spec: CommandSpec): string {
  const args = (spec.args ?? []).map((argument) => argumentText(argument));
  return ['idunno', ...(spec.noun === undefined ? [] : [spec.noun]), spec.verb, ...args].join(' ');
}

function argumentText({ name, variadic, optional }: ArgumentSpec): string {
  const text = variadic === true ? `${name}...` : name;
  return optional === true ? `[${text}]` : `<${text}>`;
}

function createCommand(
  spec: CommandSpec,
  io: CliIo,
  dependencies: ProgramDependencies,
  exit: ExitBox,
): Command {
  const command = prepare(new Command(spec.verb), io).description(spec.summary);
  command.showHelpAfterError(`(write: ${usageLine(spec)}; --help shows what is accepted)`);
  for (const argument of spec.args ?? []) {
    command.argument(argumentText(argument), argument.help);
  }
  for (const option of spec.options ?? []) {
    command.option(option.flags, option.help, option.default);
  }
  addSharedOptions(command);
  if (spec.details !== undefined) command.addHelpText('after', `\n${spec.details}`);
  command.action(async () => {
    await runCommand(spec, command, io, dependencies, exit);
  });
  return command;
}

const TIMEOUT_MS = 15_000;

/** A letter that the command itself uses is the command's. */
function addSharedOptions(command: Command): void {
  const taken = new Set(command.options.map(({ short }) => short));
  const flags = (short: string, long: string): string =>
    taken.has(short) ? long : `${short}, ${long}`;
  command
    .addOption(
      new Option(flags('-o', '--output <format>'), 'how results are written')
        .choices([...OUTPUT_FORMATS])
        .default('table'),
    )
    .option(flags('-c', '--config <file>'), "the cluster's config file (default: $IDUNNO_CONFIG)")
    .option(flags('-n', '--node <name>'), 'the node to ask first (default: $IDUNNO_NODE, else any)')
    .option('--connect <host:port>', 'a node to ask, without a config file')
    .option('--client <name>', 'act as this client (default: $IDUNNO_CLIENT, else the operator)')
    .option('--timeout <seconds>', 'how long to wait for the cluster', String(TIMEOUT_MS / 1_000))
    .option(flags('-y', '--yes'), 'do not ask before something is destroyed');
}

async function runCommand(
  spec: CommandSpec,
  command: Command,
  io: CliIo,
  dependencies: ProgramDependencies,
  exit: ExitBox,
): Promise<void> {
  let client: Promise<ApiClient> | undefined;
  let ready: Promise<ApiClient> | undefined;
  const options = command.opts<Record<string, string | boolean | undefined>>();
  const target = targetOf(options, io);
  const { signal, shell } = dependencies;
  const given = options['client'];
  const asker = createAsker(typeof given === 'string' ? given : undefined, io.env);
  const connect = (): Promise<ApiClient> => {
    if (shell !== undefined) return Promise.resolve(shell.client);
    client ??= dependencies.connector.target(target, io);
    return client;
  };
  const connectReady = async (): Promise<ApiClient> => {
    const connected = await connect();
    const { timeoutMs = TIMEOUT_MS, node } = target;
    await requireCluster(connected, { timeoutMs, signal, node });
    return connected;
  };
  const context: CommandContext = {
    io,
    out: new Output((options['output'] ?? 'table') as OutputFormat, io),
    target,
    asker,
    signal,
    client: () => {
      if (spec.needs === undefined) return connect();
      ready ??= connectReady();
      return ready;
    },
    connectTo: (config) => dependencies.connector.config(config, target),
    config: (dataRoot) => dependencies.connector.loadConfig(target, io, dataRoot),
    setExitCode: (code) => {
      exit.code = code;
    },
    shellNouns: Object.keys(dependencies.nouns),
    runInShell: (argv, node, shared) => {
      const shellIo = {
        ...io,
        env: { ...io.env, IDUNNO_NODE: node, IDUNNO_CLIENT: asker.only.owner },
      };
      return runInShell(argv, shared, shellIo, dependencies, exit);
    },
    ...argumentsOf(spec, command),
    ...optionsOf(options),
    pause: (ms) => sleep(ms, undefined, { signal }),
    confirm: (question) => confirm(question, options['yes'] === true, io, signal),
  };
  try {
    await spec.run(context);
  } finally {
    const opened = await client?.catch(() => undefined);
    await opened?.close();
  }
}

/** A line of the prompt: the same commands, asking the prompt's node through its client. */
async function runInShell(
  argv: readonly string[],
  client: ApiClient,
  io: CliIo,
  dependencies: ProgramDependencies,
  exit: ExitBox,
): Promise<void> {
  const onError = (error: unknown): void => void io.stderr.write(`${renderSentence(error)}\n`);
  const nested = { ...dependencies, shell: { client, onError } };
  const code = await runProgram(argv, io, nested);
  if (code !== 0) exit.code = code;
}

function targetOf(
  options: Readonly<Record<string, string | boolean | undefined>>,
  io: CliIo,
): TargetOptions {
  const text = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const seconds = Number(text('timeout') ?? TIMEOUT_MS / 1_000);
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > 86_400) {
    throw new IdunnoError('USAGE', `--timeout takes seconds above 0, not "${text('timeout')}"`);
  }
  return {
    config: text('config') ?? io.env['IDUNNO_CONFIG'],
    node: text('node') ?? io.env['IDUNNO_NODE'],
    connect: text('connect'),
    timeoutMs: seconds * 1_000,
  };
}

function argumentsOf(
  spec: CommandSpec,
  command: Command,
): Pick<CommandContext, 'arg' | 'optionalArg' | 'argList'> {
  const values = command.processedArgs as unknown[];
  const positional = (name: string): unknown =>
    values[(spec.args ?? []).findIndex((argument) => argument.name === name)];
  return {
    arg: (name) => String(positional(name)),
    optionalArg: (name) => {
      const value = positional(name);
      return typeof value === 'string' ? value : undefined;
    },
    argList: (name) => {
      const value = positional(name);
      return Array.isArray(value) ? value.map(String) : [];
    },
  };
}

function optionsOf(
  options: Readonly<Record<string, string | boolean | undefined>>,
): Pick<CommandContext, 'option' | 'flag' | 'numberOption'> {
  const text = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    option: text,
    flag: (name) => options[name] === true,
    numberOption: (name, bounds) => {
      const value = text(name);
      return value === undefined ? undefined : parseWhole(`--${kebab(name)}`, value, bounds);
    },
  };
}

/** A whole number within bounds. Throws USAGE. */
export function parseWhole(
  what: string,
  value: string,
  bounds: { min: number; max: number },
): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < bounds.min || number > bounds.max) {
    throw new IdunnoError(
      'USAGE',
      `${what} takes a whole number from ${bounds.min} to ${bounds.max}, not "${value}"`,
    );
  }
  return number;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

async function confirm(
  question: string,
  isAgreed: boolean,
  io: CliIo,
  signal: AbortSignal,
): Promise<void> {
  if (isAgreed) return;
  if (!io.stdinIsTty) {
    throw new IdunnoError('USAGE', `${question} Nobody can be asked here: say --yes to do it`);
  }
  const prompt = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw new IdunnoError('USAGE', 'not confirmed, so nothing was done');
    }
  } finally {
    prompt.close();
  }
}
