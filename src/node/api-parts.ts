/** What the api handlers share: the parts of the node they speak to, and how arguments are read. */
import { z } from 'zod';
import {
  type Clock,
  type ClusterConfig,
  IdunnoError,
  type Logger,
  type NodeConfig,
  type NodeId,
} from '../base/index.js';
import type { RaftStatus } from '../cli/index.js';
import type { IdunnoClient } from '../idunno/index.js';
import type { LogService } from '../logs/index.js';
import type { Answer, HandlerContext, Rpc, Wire } from '../net/index.js';
import type { SdfsClient } from '../sdfs/index.js';
import type { LocalStore, RequestId, StoreClient } from '../store/index.js';
import type { Membership } from '../swim/index.js';

/** The consensus group as this node knows it. */
export interface RaftView {
  status(): Promise<RaftStatus>;
}

export interface ApiParts {
  readonly config: ClusterConfig;
  readonly node: NodeConfig;
  readonly version: string;
  readonly membership: Membership;
  readonly store: StoreClient;
  readonly local: LocalStore & { readonly isVoter: boolean };
  /** As this node knows them. */
  readonly coordinators: () => readonly NodeId[];
  readonly raft: RaftView;
  readonly sdfs: SdfsClient;
  readonly idunno: IdunnoClient;
  readonly logs: LogService | undefined;
  readonly clock: Clock;
  readonly isRegistered: () => boolean;
  readonly log: Logger;
}

type Serve<Args> = (
  args: Args,
  body: AsyncIterable<Uint8Array>,
  context: HandlerContext,
) => Promise<Answer>;

/** Serves a method whose arguments fit the schema; others are refused with BAD_ARGUMENT. */
export function serve<Args>(
  rpc: Pick<Rpc, 'handle'>,
  method: string,
  schema: z.ZodType<Args>,
  handler: Serve<Args>,
): void {
  rpc.handle(method, (args: readonly Wire[], body, context) => {
    const parsed = schema.safeParse(args);
    if (parsed.success) return handler(parsed.data, body, context);
    const issue = parsed.error.issues[0];
    const where = issue === undefined ? '' : ` (argument ${issue.path.join('.')})`;
    throw new IdunnoError('BAD_ARGUMENT', `${method}: ${issue?.message ?? 'wrong'}${where}`);
  });
}

/** At most one name, key or number: bounded here so that nothing behind it has to. */
export const text = z.string().max(4_096);
export const whole = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
export const nothing = z.tuple([]);

/** [session, seq] of a client's write. */
export function requestOf(session: number, seq: number): { request: RequestId } {
  return { request: { session, seq } };
}
