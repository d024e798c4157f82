/** The two kinds of mistakes: the simulator runs them, or named tests alone can notice. */
import type { Edit, Mutation } from './types.js';

/** In the consensus core: the simulator runs it. */
export function core(
  id: string,
  mistake: string,
  edit: Edit | Edit[],
  ...tests: string[]
): Mutation {
  return { id, mistake, edits: [edit].flat(), tests, isSimulated: true };
}

/** In a driver, a store or the state machine: named tests have to notice. */
export function beside(
  id: string,
  mistake: string,
  edit: Edit | Edit[],
  ...tests: string[]
): Mutation {
  return { id, mistake, edits: [edit].flat(), tests, isSimulated: false };
}
