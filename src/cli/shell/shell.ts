/**
 * The prompt of one node: classic commands, `noun verb` commands, history and completion. Reads
 * lines from a terminal or from a pipe, one at a time, in order. An error is one sentence and the
 * prompt goes on; from a pipe the exit code is that of the last command that failed.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { IdunnoError, nearest } from '../../base/index.js';
import {
  CLASSIC_COMMANDS,
  type ClassicState,
  findClassic,
  runClassic,
  usageOf,
} from '../classic/index.js';
import { classicStateOf } from '../commands/classic.js';
import { exitCodeOf, renderSentence } from '../render-error.js';
import type { CommandContext } from '../types.js';
import { tokenize } from './tokenize.js';

const HISTORY_LINES = 1_000;
const GREP = 'grep';
const OWN_WORDS = [GREP, 'help', 'exit', 'quit'];

export async function runShell(context: CommandContext): Promise<void> {
  const state = await classicStateOf(context);
  const isTty = context.io.stdinIsTty && context.io.stdoutIsTty;
  const history = isTty ? readHistory() : [];
  const lines = createInterface({
    input: context.io.stdin,
    ...(isTty ? { output: context.io.stdout, completer: completerOf(context), history } : {}),
    terminal: isTty,
    historySize: HISTORY_LINES,
    prompt: `${state.node}> `,
  });
  lines.on('SIGINT', () => lines.close());
  if (isTty) context.out.note(`prompt of ${state.node}; type help, or exit`);
  await readCommands(lines, context, state, isTty);
}

async function readCommands(
  lines: ReturnType<typeof createInterface>,
  context: CommandContext,
  state: ClassicState,
  isTty: boolean,
): Promise<void> {
  if (isTty) lines.prompt();
  for await (const line of lines) {
    if (isTty && line.trim() !== '') rememberLine(line);
    const isOver = await runLine(line, context, state);
    if (isOver || context.signal.aborted) break;
    if (isTty) lines.prompt();
  }
  lines.close();
}

/** True when the prompt is to end. */
async function runLine(
  line: string,
  context: CommandContext,
  state: ClassicState,
): Promise<boolean> {
  try {
    const [word, ...args] = tokenize(withoutPrompt(line));
    if (word === undefined) return false;
    if (word === 'exit' || word === 'quit') return true;
    if (word === 'help') showHelp(context);
    else await runWord(word, args, context, state);
  } catch (error) {
    context.out.note(renderSentence(error));
    context.setExitCode(exitCodeOf(error));
  }
  return false;
}

async function runWord(
  word: string,
  args: readonly string[],
  context: CommandContext,
  state: ClassicState,
): Promise<void> {
  const classic = findClassic(word);
  if (classic !== undefined) return runClassic(classic, state, args);
  // It has options, so it is read as a command line is.
  if (word === GREP) {
    await context.runInShell(['classic', GREP, ...args], state.node, state.client);
    return;
  }
  if (context.shellNouns.includes(word)) {
    await context.runInShell([word, ...args], state.node, state.client);
    return;
  }
  const meant = nearest(word, knownWords(context));
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  throw new IdunnoError('USAGE', `unknown command "${word}"${hint}`);
}

/** `$` is the prompt in the classic texts: a line that was copied brings it along. */
function withoutPrompt(line: string): string {
  return line.replace(/^\s*\$\s*/, '');
}

function knownWords(context: CommandContext): string[] {
  return [...CLASSIC_COMMANDS.map(({ name }) => name), ...context.shellNouns, ...OWN_WORDS];
}

function showHelp(context: CommandContext): void {
  const width = Math.max(...CLASSIC_COMMANDS.map((command) => usageOf(command).length));
  for (const command of CLASSIC_COMMANDS) {
    context.out.line(`  ${usageOf(command).padEnd(width + 2)}${command.summary}`);
  }
  const grepUsage = `${GREP} [-i -v -F -E -c -m N] PATTERN`;
  context.out.line(`  ${grepUsage.padEnd(width + 2)}search the logs of all nodes`);
  context.out.line(`  ${'exit'.padEnd(width + 2)}leave the prompt`);
  const nouns = context.shellNouns.join(', ');
  context.out.line(`and "NOUN VERB" commands, as on the command line: ${nouns}; e.g. file --help`);
}

/** Tab completes the first word. */
function completerOf(context: CommandContext): (line: string) => [string[], string] {
  const words = knownWords(context);
  return (line) => {
    if (line.trimStart().includes(' ')) return [[], line];
    const hits = words.filter((word) => word.startsWith(line));
    return [hits.length > 0 ? hits : words, line];
  };
}

const HISTORY_FILE = join(homedir(), '.idunno_history');

/** Newest first, as readline wants it; history is a comfort and never an error. */
function readHistory(): string[] {
  try {
    const lines = readFileSync(HISTORY_FILE, 'utf8').trimEnd().split('\n');
    return lines.slice(-HISTORY_LINES).reverse();
  } catch {
    return [];
  }
}

function rememberLine(line: string): void {
  try {
    appendFileSync(HISTORY_FILE, `${line}\n`, { mode: 0o600 });
  } catch {
    // A home folder that cannot be written to is no reason to end the prompt.
  }
}
