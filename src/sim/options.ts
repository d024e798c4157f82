/** The command line of the simulator. */
import { parseArgs } from 'node:util';

export interface SimOptions {
  readonly firstSeed: number;
  readonly seedCount: number;
  /** Replay: print the trace of the one seed. */
  readonly isReplay: boolean;
  readonly isJson: boolean;
}

export const USAGE = `usage: npm run sim -- [--seeds N] [--from SEED] [-o json]
       npm run sim -- --seed SEED        replays one seed, its trace on stderr`;

/** Returns what is wrong with the arguments as text. */
export function parseOptions(args: readonly string[]): SimOptions | string {
  let values: { seeds?: string; seed?: string; from?: string; output?: string };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        from: { type: 'string' },
        output: { type: 'string', short: 'o' },
      },
    }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const numbers = [values.seeds, values.seed, values.from].filter((text) => text !== undefined);
  for (const text of numbers) {
    if (!/^\d{1,9}$/.test(text)) return `"${text}" is not a number of seeds or a seed`;
  }
  if (values.output !== undefined && values.output !== 'json' && values.output !== 'text') {
    return `"${values.output}" is not an output format: use json or text`;
  }
  const isReplay = values.seed !== undefined;
  return {
    firstSeed: Number(values.seed ?? values.from ?? 1),
    seedCount: isReplay ? 1 : Math.max(1, Number(values.seeds ?? 200)),
    isReplay,
    isJson: values.output === 'json',
  };
}
