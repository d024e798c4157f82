/** What a classic command is, and what it may touch. */
import type { ApiClient } from '../api-client.js';
import type { Output } from '../output.js';
import type { Asker } from '../types.js';

/** The prompt, or the one command, of one node. */
export interface ClassicState {
  readonly client: ApiClient;
  /** The node whose prompt it is. */
  readonly node: string;
  /** Who types: whose the jobs are, and what was put last. */
  readonly asker: Asker;
  readonly out: Output;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** How long a command waits for a leader. */
  readonly timeoutMs: number;
}

/**
 * What must be so before a command runs: a node that is a member, and a leader, without whom
 * nothing is decided and no list is current.
 */
export type ClassicNeed = 'nothing' | 'member' | 'leader';

export interface ClassicCommand {
  readonly name: string;
  readonly args: readonly string[];
  /** How many of `args` must be given; all where absent. */
  readonly required?: number;
  readonly summary: string;
  /** Default: a leader. */
  readonly needs?: ClassicNeed;
  run(state: ClassicState, args: readonly string[]): Promise<void>;
}

/** `put LOCALFILENAME SDFSFILENAME`: what to type. */
export function usageOf(command: ClassicCommand): string {
  const required = command.required ?? command.args.length;
  const args = command.args.map((arg, at) => (at < required ? arg.toUpperCase() : `[${arg}]`));
  return [command.name, ...args].join(' ');
}
