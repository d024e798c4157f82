/** The replicated rows of nodes, as far as this node can say without waiting for a leader. */
import { z } from 'zod';
import { isIdunnoError } from '../base/index.js';
import { type LocalStore, NODES, type NodeRow, type StoreClient } from '../store/index.js';

/** Who asks wants to know what is known; a leader may not exist. */
const STATUS_QUERY_MS = 300;

/** From this node's own state where it has one, else asked for; none when nobody can say. */
export async function committedNodes(parts: {
  readonly local: Pick<LocalStore, 'view'> & { readonly isVoter: boolean };
  readonly store: Pick<StoreClient, 'query'>;
}): Promise<readonly NodeRow[]> {
  if (parts.local.isVoter) {
    const rows: NodeRow[] = [];
    for await (const [, row] of parts.local.view().scan(NODES, {})) rows.push(row);
    return rows;
  }
  try {
    const answer = await parts.store.query('nodes.list', [], { timeoutMs: STATUS_QUERY_MS });
    return nodeRows.parse(answer);
  } catch (error) {
    if (isIdunnoError(error)) return [];
    throw error;
  }
}

const nodeRows: z.ZodType<readonly NodeRow[]> = z.array(
  z.object({
    name: z.string(),
    epoch: z.number(),
    status: z.enum(['up', 'down', 'left', 'draining']),
    host: z.string(),
    port: z.number(),
    slots: z.number(),
    bootWallMs: z.number(),
    sinceIndex: z.number(),
    sinceMs: z.number(),
    flaps: z.number(),
  }),
);
