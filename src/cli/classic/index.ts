/** The classic course commands, as aliases of what the cluster does today. */
import { FILE_COMMANDS } from './files.js';
import { JOB_COMMANDS } from './jobs.js';
import { MEMBER_COMMANDS } from './members.js';
import { MODEL_COMMANDS } from './models.js';
import { STATISTICS_COMMANDS } from './statistics.js';
import type { ClassicCommand } from './types.js';

export { runClassic } from './run.js';
export { type ClassicCommand, type ClassicState, usageOf } from './types.js';

/** In the order in which help shows them. */
export const CLASSIC_COMMANDS: readonly ClassicCommand[] = [
  ...MEMBER_COMMANDS,
  ...FILE_COMMANDS,
  ...MODEL_COMMANDS,
  ...JOB_COMMANDS,
  ...STATISTICS_COMMANDS,
];

export function findClassic(word: string): ClassicCommand | undefined {
  return CLASSIC_COMMANDS.find((command) => command.name === word);
}
