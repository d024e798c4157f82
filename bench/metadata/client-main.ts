/**
 * A process of clients (load.ts), started by the benchmark: takes one plan after the other over the
 * channel to its parent and answers each with what it measured.
 */
import { ApiClient } from '../../src/cli/index.js';
import type { NodeAddress } from '../../src/cli/index.js';
import { EtcdClient } from '../lib/etcd-client.js';
import { type LoadPlan, type LoadResult, runLoad, type Target } from './load.js';

export type Subject =
  | { readonly kind: 'idunno'; readonly cluster: string; readonly nodes: readonly NodeAddress[] }
  /** The leader's endpoint: clients of either system talk to the leader. */
  | { readonly kind: 'etcd'; readonly endpoint: string };

export type Ask =
  | { readonly kind: 'open'; readonly subject: Subject }
  | { readonly kind: 'load'; readonly plan: LoadPlan };

export type Reply =
  | { readonly kind: 'opened' }
  | { readonly kind: 'result'; readonly result: LoadResult }
  | { readonly kind: 'failed'; readonly message: string };

let target: Target | undefined;

process.on('message', (ask: Ask) => {
  answer(ask).then(
    (reply) => process.send?.(reply),
    (error: unknown) =>
      process.send?.({
        kind: 'failed',
        message: error instanceof Error ? error.message : String(error),
      }),
  );
});
process.on('disconnect', () => process.exit(0));

async function answer(ask: Ask): Promise<Reply> {
  if (ask.kind === 'open') {
    target = await openTarget(ask.subject);
    return { kind: 'opened' };
  }
  if (target === undefined) throw new Error('nothing is open');
  return { kind: 'result', result: await runLoad(target, ask.plan) };
}

async function openTarget(subject: Subject): Promise<Target> {
  if (subject.kind === 'etcd') {
    const client = new EtcdClient(subject.endpoint);
    await client.status();
    return {
      write: (key, value) => client.put(key, value),
      read: (key) => client.get(key),
      close: async () => client.close(),
    };
  }
  const client = new ApiClient({ cluster: subject.cluster, nodes: subject.nodes });
  await client.warm();
  return {
    write: async (key, value) => void (await client.settingsPut(key, value)),
    read: (key) => client.settingsGet(key),
    close: () => client.close(),
  };
}
