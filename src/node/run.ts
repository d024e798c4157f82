/**
 * A node as a process: the machine's clock, disk, network and log around node.ts, from start to the
 * signal that ends it. Resolves when the node has been asked to end and nothing runs any more;
 * throws when it could not start, or had to end because its log or state cannot be written.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  type ClusterConfig,
  createLogger,
  createRealRuntime,
  IdunnoError,
  lockFolder,
  must,
  nodeId,
  type RealLogger,
} from '../base/index.js';
import { packageVersion } from '../cli/index.js';
import { intraOpThreads, ModelHostPool } from '../idunno/index.js';
import { ThreadedNodeLogs } from '../logs/index.js';
import { createRealNetwork } from '../net/index.js';
import { createMembership } from '../swim/index.js';
import { startNode } from './node.js';

export interface RunOptions {
  readonly config: ClusterConfig;
  readonly name: string;
  /** Ends the node in order. */
  readonly signal: AbortSignal;
  /** A line for whoever watches. */
  readonly say: (line: string) => void;
  readonly forceBootstrap?: boolean;
}

/** Everything is ended in order within this time, or the process is left to end as it is. */
const STOP_TIMEOUT_MS = 8_000;
const THREADS_WANTED = 16;

export async function runNode(options: RunOptions): Promise<void> {
  const { config, name, signal, say } = options;
  const self = nodeId(name);
  const node = must(
    config.nodes.find((candidate) => candidate.name === self),
    `node ${name}`,
  );
  const runtime = createRealRuntime({ network: createRealNetwork() });
  const { clock } = runtime;
  const folder = join(node.dataDir, 'logs');
  const log = createLogger({ folder, clock, fields: { node: name } });
  // Nodes of one host share its cores.
  const nodesHere = config.nodes.filter(({ host }) => host === node.host).length;
  const ended = new Ending(signal);
  const onBug = (error: unknown): void => endAtOnce(name, error, log, say);
  process.once('uncaughtException', onBug);
  process.once('unhandledRejection', onBug);
  try {
    const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
    if (threads < THREADS_WANTED) log.warn('node.few-threads', { threads, wanted: THREADS_WANTED });
    const running = await startNode(
      { ...options, version: packageVersion() },
      {
        runtime,
        log,
        logs: new ThreadedNodeLogs({ folder }, { clock, files: log }),
        lock: lockFolder,
        createMembership: (_node, { bootEpoch, path }, onFatal) => {
          const bootWallMs = Math.round(clock.wall());
          const place = { config, self, bootEpoch, bootWallMs, dataDir: path };
          return createMembership({ ...place, clock, logger: log, onFatal });
        },
        createEngine: ({ slots }) => {
          const threads = intraOpThreads(availableParallelism(), slots, nodesHere);
          return new ModelHostPool({ slots, threads }, { clock, log });
        },
        onFatal: (error) => ended.fail(error),
      },
    );
    say(`${name} runs: ${node.host}:${node.port}, data in ${node.dataDir}`);
    const fatal = await ended.wait();
    if (fatal !== undefined) log.error('node.fatal', { error: fatal.message });
    await Promise.race([running.stop(), clock.sleep(STOP_TIMEOUT_MS)]);
    if (fatal !== undefined) throw fatalError(name, fatal);
    say(`${name} has ended`);
  } catch (error) {
    log.error('node.failed', { error: error instanceof Error ? error.message : String(error) });
    throw error;
  } finally {
    process.off('uncaughtException', onBug);
    process.off('unhandledRejection', onBug);
    await log.close();
  }
}

/**
 * An assertion that failed, or an error nobody caught: what the node would do next could not be
 * trusted, so it does nothing more, not even end in order. The cluster goes on without it.
 */
function endAtOnce(
  name: string,
  error: unknown,
  log: RealLogger,
  say: (line: string) => void,
): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log.error('node.bug', { error: text });
  say(`error: ${name} ends at once, this is a bug: ${text}`);
  void log.close().finally(() => process.exit(BUG_EXIT));
}

const BUG_EXIT = 70;

/** Either asked to end, or unable to go on. */
class Ending {
  private readonly promise: Promise<Error | undefined>;
  private settle: (fatal: Error | undefined) => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.promise = new Promise((resolve) => {
      this.settle = resolve;
    });
    if (signal.aborted) this.settle(undefined);
    signal.addEventListener('abort', () => this.settle(undefined), { once: true });
  }

  fail(error: Error): void {
    this.settle(error);
  }

  wait(): Promise<Error | undefined> {
    return this.promise;
  }
}

function fatalError(name: string, cause: Error): IdunnoError {
  const text = `${name} had to end, because it could not be trusted any more: ${cause.message}`;
  return new IdunnoError('NODE_FAILED', text, { node: name }, cause);
}
