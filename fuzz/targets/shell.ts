/**
 * src/cli: lines of a prompt into words, and words into a command with arguments and options. What
 * the commands then do is not done: some of them start processes and write files.
 */
import { PassThrough, Writable } from 'node:stream';
import { IdunnoError, type Rng } from '../../src/base/index.js';
import { ALL_COMMANDS, NOUNS } from '../../src/cli/commands/index.js';
import { runProgram } from '../../src/cli/program.js';
import { tokenize } from '../../src/cli/shell/tokenize.js';
import type { CliIo, CommandContext, CommandSpec } from '../../src/cli/types.js';
import type { FuzzTarget } from '../types.js';
import { dictionaryOf, pick, refusedWith, textOf } from './support.js';

const LINES_MAX = 3;
/** docs/errors.md; 70 is a bug. */
const EXIT_CODES: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 130];
const WORDS = ['a', '7', '-1', '1e9', 'n1', '*.png', '', '--', '-', 'é', '--yes', '-o', 'json'];

/** Reads all that the command may read of its words, and ends. */
const SPECS: readonly CommandSpec[] = ALL_COMMANDS.map((spec) => ({
  ...spec,
  async run(context: CommandContext) {
    for (const { name } of spec.args ?? []) {
      context.optionalArg(name);
      context.argList(name);
    }
    for (const { flags } of spec.options ?? []) {
      const long = /--([a-z-]+)/.exec(flags)?.[1] ?? '';
      const name = long.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
      context.flag(name);
      context.option(name);
      if (flags.includes('<n>')) context.numberOption(name, { min: 0, max: 1_000 });
    }
  },
}));

class Nowhere extends Writable {
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

function io(): CliIo {
  const stdin = new PassThrough();
  stdin.end();
  const off = { stdinIsTty: false, stdoutIsTty: false, stderrIsTty: false };
  const streams = { stdin, stdout: new Nowhere(), stderr: new Nowhere() };
  return { ...streams, ...off, env: {}, cwd: '/', now: () => 0 };
}

function unavailable(): never {
  throw new IdunnoError('UNAVAILABLE', 'there is no cluster here');
}

function run(words: readonly string[]): Promise<number> {
  return runProgram(words, io(), {
    commands: SPECS,
    nouns: NOUNS,
    connector: {
      target: async () => unavailable(),
      config: async () => unavailable(),
      loadConfig: async () => unavailable(),
    },
    version: '0',
    signal: new AbortController().signal,
  });
}

function line(rng: Rng): string {
  const spec = pick(rng, ALL_COMMANDS);
  const options = (spec.options ?? []).flatMap(({ flags }) => {
    if (rng.int(3) > 0) return [];
    const [name = ''] = /--[a-z-]+/.exec(flags) ?? [];
    return flags.includes('<') ? [name, pick(rng, WORDS)] : [name];
  });
  const args = (spec.args ?? []).map(() => pick(rng, WORDS));
  const words = [...(spec.noun === undefined ? [] : [spec.noun]), spec.verb, ...options, ...args];
  return words.map((word) => (rng.int(4) === 0 ? quoted(word) : word)).join(' ');
}

function quoted(word: string): string {
  return `"${word.replace(/["\\]/g, (char) => `\\${char}`)}"`;
}

export const shell: FuzzTarget = {
  name: 'shell',
  summary: 'lines of the prompt and of the command line (src/cli)',
  cases: 2_000,
  casesInTests: 100,
  isSampleLoose: true,
  dictionary: dictionaryOf(
    ...['"', "'", '\\', '#', ' ', '\t', '\n', '--', '-o ', '--timeout ', '--help', '=', '\u0000'],
    ...['--node ', '--no-', '--__proto__', 'help ', 'constructor ', '\u2028', '\u{1f600}'],
  ),
  sample: (rng) => new TextEncoder().encode(line(rng)),
  async check(input) {
    let verdict: 'accepted' | 'refused' = 'accepted';
    for (const text of textOf(input).split('\n').slice(0, LINES_MAX)) {
      let words: readonly string[];
      try {
        words = tokenize(text);
      } catch (error) {
        verdict = refusedWith(error, 'USAGE');
        continue;
      }
      const again = tokenize(words.map(quoted).join(' '));
      if (JSON.stringify(again) !== JSON.stringify(words)) {
        throw new Error(`${JSON.stringify(words)} quoted is read as ${JSON.stringify(again)}`);
      }
      const code = await run(words);
      if (!EXIT_CODES.includes(code)) throw new Error(`exit code ${code} of ${text}`);
      if (code !== 0) verdict = 'refused';
    }
    return verdict;
  },
};
