/** The job that a command is about. */
import type { ApiClient } from '../api-client.js';
import { parseWhole } from '../program.js';
import type { ArgumentSpec, CommandContext } from '../types.js';

export const ID: ArgumentSpec = { name: 'id', help: "the job's number" };
const ID_BOUNDS = { min: 0, max: Number.MAX_SAFE_INTEGER };

/** Throws USAGE. */
export function parseJobId(text: string): number {
  return parseWhole('the job', text, ID_BOUNDS);
}

/** Throws USAGE, and JOB_NOT_FOUND for a job that the asker is not to see. */
export async function jobOf(context: CommandContext): Promise<{ client: ApiClient; id: number }> {
  const id = parseJobId(context.arg('id'));
  const client = await context.client();
  await assertOwnJob(context, client, id);
  return { client, id };
}

/** The operator owns all jobs, and nothing is asked. Throws JOB_NOT_FOUND. */
export async function assertOwnJob(
  { asker, signal }: Pick<CommandContext, 'asker' | 'signal'>,
  client: ApiClient,
  id: number,
): Promise<void> {
  if (asker.only.owner === undefined) return;
  asker.assertOwns(await client.jobInfo(id, { signal }));
}
