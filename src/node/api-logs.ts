/** Log queries for clients: `api.logs.*`. Served by any node, with or without a leader. */
import { z } from 'zod';
import { API, toWire } from '../cli/index.js';
import { querySchema, readQuery } from '../logs/index.js';
import type { Rpc } from '../net/index.js';
import { type ApiParts, serve, text, whole } from './api-parts.js';

/** More names than any cluster has nodes are a mistake. */
const NODES_MAX = 10_000;
const BUDGET_MS_MAX = 24 * 60 * 60_000;

export function serveLogs(rpc: Pick<Rpc, 'handle'>, { logs }: ApiParts): void {
  // The simulator's nodes have no log files.
  if (logs === undefined) return;
  const names = z.array(text).max(NODES_MAX).nullable();
  const skips = z.array(z.tuple([text, whole])).max(NODES_MAX);
  const grepArgs = z.tuple([querySchema, names, whole.min(1).max(BUDGET_MS_MAX), skips]);
  serve(rpc, API.logsGrep, grepArgs, async ([query, only, budgetMs, skip]) => {
    const options = { only: only ?? undefined, budgetMs, skip: new Map(skip) };
    const { nodes, records } = await logs.grep(readQuery(query), options);
    return { value: [...nodes], body: records };
  });
  serve(rpc, API.logsClear, z.tuple([names]), async ([only]) => ({
    value: toWire(await logs.clear(only ?? undefined)),
  }));
}
