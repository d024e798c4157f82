/**
 * What the leader knows of the nodes' disks: soft state, asked for every few seconds while it
 * leads. A node that was not heard of yet counts as empty, so that a new leader can place copies
 * at once; a node that is really full refuses the write itself.
 */
import { type Clock, type Logger, nodeId } from '../base/index.js';
import type { LeaderDuty, LocalStore, NodeRow } from '../store/index.js';
import { HOLDERS } from './holder-index.js';
import { type NodeCalls, shareSignal } from './node-calls.js';
import type { Candidate } from './placement.js';
import { eachOf } from './read-many.js';
import { METHODS } from './transfer.js';
import { readInt, readTuple } from './wire.js';

export interface SpaceWatchParts {
  readonly calls: NodeCalls;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly store: LocalStore;
  /** Nodes of one domain fail together. */
  readonly domainOf: (node: string) => string;
}

export interface NodeSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Its last failed sync, while nothing has been written well since. */
  readonly syncFailure: string | undefined;
}

const UNKNOWN: NodeSpace = { freeBytes: 0, totalBytes: 0, syncFailure: undefined };
const PERIOD_MS = 3_000;
/** With very many nodes the round is longer rather than the load higher. */
const PERIOD_MS_PER_NODE = 10;
const CALL_MS = 2_000;
const CALLS_AT_ONCE = 16;

export class SpaceWatch implements LeaderDuty {
  readonly name = 'sdfs.space';
  readonly #parts: SpaceWatchParts;
  readonly #spaces = new Map<string, NodeSpace>();

  constructor(parts: SpaceWatchParts) {
    this.#parts = parts;
  }

  lead(_term: number, signal: AbortSignal): void {
    this.#run(shareSignal(signal)).catch((error: unknown) => {
      if (!signal.aborted) this.#parts.logger.error('sdfs.space-watch-ended', { error });
    });
  }

  space(node: string): NodeSpace {
    return this.#spaces.get(node) ?? UNKNOWN;
  }

  domainOf(node: string): string {
    return this.#parts.domainOf(node);
  }

  /** Nodes that Raft counts as up, with what is known of their disks. */
  candidates(): Candidate[] {
    const index = this.#parts.store.view().index(HOLDERS);
    return upNodes(index.nodes.values()).map((row) => ({
      node: row.name,
      epoch: row.epoch,
      ...this.space(row.name),
      load: index.openIntents(row.name),
      domain: this.domainOf(row.name),
    }));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, store } = this.#parts;
    while (!signal.aborted) {
      const nodes = upNodes(store.view().index(HOLDERS).nodes.values());
      await eachOf(nodes, CALLS_AT_ONCE, (row) => this.#ask(row, signal));
      await clock.sleep(Math.max(PERIOD_MS, nodes.length * PERIOD_MS_PER_NODE), signal);
    }
  }

  async #ask(row: NodeRow, signal: AbortSignal): Promise<void> {
    try {
      const options = { timeoutMs: CALL_MS, signal };
      const { value } = await this.#parts.calls.call(nodeId(row.name), METHODS.space, [], options);
      const [, free, total, failure] = readTuple(value, 'space', 4);
      this.#spaces.set(row.name, {
        freeBytes: readInt(free, 'free bytes'),
        totalBytes: readInt(total, 'total bytes'),
        syncFailure: typeof failure === 'string' ? failure : undefined,
      });
    } catch (error) {
      // Old figures are better than none; whether the node lives is not decided here.
      void error;
    }
  }
}

function upNodes(nodes: Iterable<NodeRow>): NodeRow[] {
  return [...nodes].filter((row) => row.status === 'up');
}
