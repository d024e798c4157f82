/**
 * Who gives a command. A client's name is its identity: a person who acts as a client (`--client
 * NAME`, or IDUNNO_CLIENT) sees and changes that client's jobs and no others. Who names none is the
 * operator: sees all jobs, and owns what it submits under the name of its user, else `cli`.
 *
 * A name is a label, not a proof: it keeps people out of each other's way, and nobody out.
 */
import { IdunnoError } from '../base/index.js';
import type { JobInfo } from '../idunno/index.js';

export interface Asker {
  /** Whose the jobs are that it submits. */
  readonly name: string;
  /** What lists of jobs are narrowed to: nothing for the operator. */
  readonly only: { readonly owner?: string };
  /** Throws JOB_NOT_FOUND for a job that this client is not to see. */
  assertOwns(job: Pick<JobInfo, 'id' | 'owner'>): void;
}

const DEFAULT_NAME = 'cli';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;

/** `given`: by the option. Throws USAGE for what is no name. */
export function createAsker(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Asker {
  const named = given ?? (env['IDUNNO_CLIENT'] || undefined);
  if (named === undefined) {
    const user = env['USER'] ?? '';
    return { name: NAME.test(user) ? user : DEFAULT_NAME, only: {}, assertOwns() {} };
  }
  if (!NAME.test(named)) {
    throw new IdunnoError(
      'USAGE',
      `"${named}" is no client's name: 1 to 64 letters, digits and . _ @ -, as in --client ann`,
    );
  }
  return {
    name: named,
    only: { owner: named },
    assertOwns: ({ id, owner }) => {
      if (owner === named) return;
      throw new IdunnoError('JOB_NOT_FOUND', `client ${named} has no job ${id}`, { job: id });
    },
  };
}
