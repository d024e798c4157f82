/** How a command of the project reads its arguments and says what is wrong with them. */

/**
 * What `read` makes of the command line. Undefined after it was said on stderr, with the usage, what
 * is wrong: `read` returns that as text, or throws it.
 */
export function optionsOrUsage<Options extends object>(
  read: (args: readonly string[]) => Options | string,
  usage: string,
): Options | undefined {
  let options: Options | string;
  try {
    options = read(process.argv.slice(2));
  } catch (error) {
    options = error instanceof Error ? error.message : String(error);
  }
  if (typeof options !== 'string') return options;
  process.stderr.write(`${options}\n${usage}\n`);
  return undefined;
}
