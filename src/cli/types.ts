/**
 * Commands as data. A command says what it is called, what it takes and how it is explained; its
 * `run` gets everything it may touch through a context, so it is tested without a process, a
 * terminal or a cluster. program.ts turns the list of commands into a parser and help texts.
 */
import type { Readable, Writable } from 'node:stream';
import type { ClusterConfig } from '../base/index.js';
import type { ApiClient } from './api-client.js';
import type { Asker } from './asker.js';
import type { Output } from './output.js';

export type { Asker } from './asker.js';

/** The outside world of one invocation. */
export interface CliIo {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly stdinIsTty: boolean;
  readonly stdoutIsTty: boolean;
  readonly stderrIsTty: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Milliseconds since 1970, for "how long ago" and rates on screen. */
  now(): number;
}

export interface ArgumentSpec {
  readonly name: string;
  readonly help: string;
  readonly optional?: boolean;
  /** Takes all that is left; only as the last one, or before it is split by the command. */
  readonly variadic?: boolean;
}

export interface OptionSpec {
  /** As commander reads it: `--batch-size <n>`. */
  readonly flags: string;
  readonly help: string;
  readonly default?: string | boolean;
}

export interface CommandSpec {
  /** `file` of `idunno file put`; absent for `idunno up`. */
  readonly noun?: string;
  readonly verb: string;
  readonly summary: string;
  /** Longer text below the options: examples, units, what it does not do. */
  readonly details?: string;
  readonly args?: readonly ArgumentSpec[];
  readonly options?: readonly OptionSpec[];
  /**
   * Nothing is begun while the cluster has no leader, or at a node that has left: asked when the
   * command asks for its client, so that what is wrong with its words is said first.
   */
  readonly needs?: 'leader';
  run(context: CommandContext): Promise<void>;
}

/** How the cluster is found: `--config`, `--node`, `--connect`, or the environment. */
export interface TargetOptions {
  readonly config: string | undefined;
  readonly node: string | undefined;
  readonly connect: string | undefined;
  readonly timeoutMs: number | undefined;
}

/** Ways to the cluster; replaced in tests. */
export interface Connector {
  /** A client of the cluster that the options name. */
  target(target: TargetOptions, io: CliIo): Promise<ApiClient>;
  /** A client of exactly this cluster. */
  config(config: ClusterConfig, target: TargetOptions): Promise<ApiClient>;
  loadConfig(target: TargetOptions, io: CliIo, dataRoot?: string): Promise<ClusterConfig>;
}

export interface CommandContext {
  readonly io: CliIo;
  readonly out: Output;
  readonly target: TargetOptions;
  /** Who gives the command: `--client`, IDUNNO_CLIENT, or the operator. */
  readonly asker: Asker;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
  /** The one client of this invocation, connected at the first use. */
  client(): Promise<ApiClient>;
  /** A client of another config's nodes; the caller closes it. */
  connectTo(config: ClusterConfig): Promise<ApiClient>;
  /**
   * The config file that `--config` or IDUNNO_CONFIG names; `dataRoot` takes the place of the
   * file's. Throws USAGE or BAD_CONFIG.
   */
  config(dataRoot?: string): Promise<ClusterConfig>;
  /** A positional argument by name. */
  arg(name: string): string;
  optionalArg(name: string): string | undefined;
  argList(name: string): readonly string[];
  option(name: string): string | undefined;
  flag(name: string): boolean;
  /** Whole number within bounds, or USAGE. */
  numberOption(name: string, bounds: { min: number; max: number }): number | undefined;
  /** Waits, or rejects when interrupted. */
  pause(ms: number): Promise<void>;
  /** The exit code of a command that goes on after an error, as the shell does. */
  setExitCode(code: number): void;
  /** Nouns whose commands the shell runs, too. */
  readonly shellNouns: readonly string[];
  /** Runs a command line at a node's prompt, with the prompt's client. Shows its own errors. */
  runInShell(argv: readonly string[], node: string, client: ApiClient): Promise<void>;
  /** Asks; returns only when the answer is yes. Needs `--yes` where nobody can be asked. */
  confirm(question: string): Promise<void>;
}
