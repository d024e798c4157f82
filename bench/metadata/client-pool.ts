/** The benchmark's side of its client processes: starts them, shares the clients out, adds up. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Ask, Reply, Subject } from './client-main.js';
import { Histogram, type LoadPlan, type LoadResult } from './load.js';

export interface PoolResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  /** Of the busiest client process, percent of a core. */
  readonly clientCpuPercent: number;
}

const MAIN = fileURLToPath(new URL('./client-main.js', import.meta.url));

export class ClientPool {
  readonly #processes: readonly ChildProcess[];

  private constructor(processes: readonly ChildProcess[]) {
    this.#processes = processes;
  }

  static async open(count: number, subject: Subject): Promise<ClientPool> {
    const pool = new ClientPool(Array.from({ length: count }, () => fork(MAIN)));
    await Promise.all(pool.#processes.map((child) => ask(child, { kind: 'open', subject })));
    return pool;
  }

  /** One client runs in one process, more are shared out evenly. */
  async run(plan: LoadPlan): Promise<PoolResult> {
    const used = this.#processes.slice(0, plan.clients);
    const results = await Promise.all(
      used.map(async (child, at): Promise<LoadResult> => {
        const clients = shareOf(plan.clients, used.length, at);
        const prefix = `${plan.prefix}-${at}`;
        const reply = await ask(child, { kind: 'load', plan: { ...plan, clients, prefix } });
        if (reply.kind !== 'result') throw new Error('a client process has lost its way');
        return reply.result;
      }),
    );
    const histogram = new Histogram();
    for (const result of results) histogram.merge(result.histogram);
    return {
      perSecond: results.reduce((sum, { count, seconds }) => sum + count / seconds, 0),
      p50Ms: histogram.percentile(50),
      p99Ms: histogram.percentile(99),
      failed: results.reduce((sum, { failed }) => sum + failed, 0),
      clientCpuPercent: Math.max(...results.map(({ cpuPercent }) => cpuPercent)),
    };
  }

  close(): void {
    for (const child of this.#processes) child.disconnect();
  }
}

function shareOf(clients: number, processes: number, at: number): number {
  return Math.floor(clients / processes) + (at < clients % processes ? 1 : 0);
}

function ask(child: ChildProcess, message: Ask): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error('a client process has ended'));
    child.once('exit', onExit);
    child.once('message', (reply: Reply) => {
      child.off('exit', onExit);
      if (reply.kind === 'failed') reject(new Error(`a client failed: ${reply.message}`));
      else resolve(reply);
    });
    child.send(message);
  });
}
