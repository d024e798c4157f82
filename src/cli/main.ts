/**
 * Entry of the `idunno` command: the real streams, signals and exit code around program.ts.
 * Ctrl-C aborts what runs and lets it clean up; a second one ends at once.
 */
import { ALL_COMMANDS, NOUNS } from './commands/index.js';
import { packageVersion } from './package-root.js';
import { runProgram } from './program.js';
import { connectConfig, connectTarget, loadTargetConfig } from './target.js';
import type { CliIo } from './types.js';

const INTERRUPTED = 130;

async function main(): Promise<number> {
  const interrupt = new AbortController();
  const stop = (): void => {
    if (interrupt.signal.aborted) process.exit(INTERRUPTED);
    interrupt.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // A reader that has seen enough (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  const io: CliIo = {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    stdinIsTty: process.stdin.isTTY === true,
    stdoutIsTty: process.stdout.isTTY === true,
    stderrIsTty: process.stderr.isTTY === true,
    env: process.env,
    cwd: process.cwd(),
    now: () => Date.now(),
  };
  return runProgram(process.argv.slice(2), io, {
    commands: ALL_COMMANDS,
    nouns: NOUNS,
    connector: { target: connectTarget, config: connectConfig, loadConfig: loadTargetConfig },
    version: packageVersion(),
    signal: interrupt.signal,
  });
}

const code = await main();
// Output to a pipe is written in the background: ending at once would cut it off.
process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
