/**
 * The log queries of one node: its own logs for other nodes (`logs.scan`, `logs.clear`), and whole
 * queries for clients, which it passes to every node. No leader has a part in it.
 */
import { asIdunnoError, type Clock, IdunnoError, type Ms, type NodeId } from '../base/index.js';
import type { Rpc } from '../net/index.js';
import type { Membership } from '../swim/index.js';
import { checkQuery } from './check-query.js';
import { FanOut, type FanOutTarget } from './fan-out.js';
import {
  LOG_METHODS,
  nodeQuerySchema,
  readNodeQuery,
  writeEvent,
  writeNodeQuery,
} from './protocol.js';
import type { Cleared, LogQuery, NodeLogs, ScanEvent } from './types.js';

export interface LogServiceParts {
  readonly self: NodeId;
  readonly rpc: Pick<Rpc, 'handle' | 'call'>;
  readonly clock: Clock;
  readonly membership: Pick<Membership, 'self' | 'members' | 'get'>;
  readonly logs: NodeLogs;
  /** Every node of the config file; SWIM may know more. */
  readonly configured: readonly NodeId[];
  /** Nodes that Raft has committed as left, as far as this node can say in a moment. */
  readonly committedLeft: () => Promise<ReadonlySet<string>>;
}

export interface GrepOptions {
  /** Only these; all that are known and have not left where absent. */
  readonly only: readonly string[] | undefined;
  /** Lines of each node that the client has already. */
  readonly skip: ReadonlyMap<string, number>;
  /** For each node. */
  readonly budgetMs: Ms;
}

export interface ClearRow {
  readonly node: string;
  readonly status: 'cleared' | 'failed';
  readonly segments: number;
  readonly bytes: number;
  readonly error: string | null;
}

/** A node's main thread answers in milliseconds, and says once a second that it is there. */
const SILENCE_MS: Ms = 4_000;
/** One that SWIM thinks dead is asked all the same: it may know better. */
const DEAD_SILENCE_MS: Ms = 1_000;
const CLEAR_TIMEOUT_MS: Ms = 4_000;
/** Of the network layer, for streams whose reader may pause: our own watch is the one that counts. */
const STREAM_TIMEOUT_MS: Ms = 30 * 60_000;

export class LogService {
  readonly #parts: LogServiceParts;

  constructor(parts: LogServiceParts) {
    this.#parts = parts;
    const { rpc, self, logs } = parts;
    rpc.handle(LOG_METHODS.scan, (args, _body, { signal }) => {
      this.#refuseWhenLeft();
      const parsed = nodeQuerySchema.safeParse(args);
      if (!parsed.success) throw new IdunnoError('BAD_ARGUMENT', 'a log query is malformed');
      const events = logs.scan(readNodeQuery(parsed.data));
      signal.addEventListener('abort', () => void events.return?.(), { once: true });
      return { value: null, body: new EventBody(self, events) };
    });
    rpc.handle(LOG_METHODS.clear, async () => {
      this.#refuseWhenLeft();
      const { segments, bytes } = await logs.clear();
      return { value: [segments, bytes] };
    });
  }

  /** Who is asked, and their answers. Throws BAD_ARGUMENT, NODE_NOT_FOUND, NODE_LEFT. */
  async grep(
    query: LogQuery,
    options: GrepOptions,
  ): Promise<{ nodes: readonly string[]; records: FanOut }> {
    const { rpc, clock } = this.#parts;
    const { budgetMs } = options;
    // Refused here, once, rather than by every node.
    checkQuery(query);
    const nodes = await this.#nodes(options.only);
    const targets = nodes.map((node): FanOutTarget => {
      const args = writeNodeQuery({ ...query, budgetMs, skip: options.skip.get(node) ?? 0 });
      return {
        node,
        silenceMs: this.#seemsAlive(node) ? SILENCE_MS : DEAD_SILENCE_MS,
        call: (signal) =>
          rpc.call(node, LOG_METHODS.scan, args, {
            timeoutMs: STREAM_TIMEOUT_MS,
            lane: 'bulk',
            signal,
          }),
      };
    });
    return { nodes, records: new FanOut(targets, { budgetMs }, clock) };
  }

  /** One row for each node, in order. Throws NODE_NOT_FOUND, NODE_LEFT. */
  async clear(only: readonly string[] | undefined): Promise<readonly ClearRow[]> {
    const nodes = await this.#nodes(only);
    return Promise.all(nodes.map((node) => this.#clearAt(node)));
  }

  async #clearAt(node: NodeId): Promise<ClearRow> {
    try {
      const { value } = await this.#parts.rpc.call(node, LOG_METHODS.clear, [], {
        timeoutMs: CLEAR_TIMEOUT_MS,
      });
      const { segments, bytes } = readCleared(value);
      return { node, status: 'cleared', segments, bytes, error: null };
    } catch (error) {
      const { message } = asIdunnoError(error);
      return { node, status: 'failed', segments: 0, bytes: 0, error: message };
    }
  }

  /** Known by the config file or by SWIM, and not left. */
  async #nodes(only: readonly string[] | undefined): Promise<readonly NodeId[]> {
    const { configured, membership, self } = this.#parts;
    const known = new Set<NodeId>(configured);
    for (const { name } of membership.members()) known.add(name);
    const left = await this.#left([...known]);
    if (only === undefined) return [...known].filter((name) => !left.has(name)).sort();
    return [...new Set(only)].sort().map((name) => {
      const node = [...known].find((each) => each === name);
      if (node === undefined) {
        throw new IdunnoError('NODE_NOT_FOUND', `no node "${name}" is known to ${self}`);
      }
      if (left.has(node)) throw nodeLeft(node);
      return node;
    });
  }

  /** SWIM forgets those that have left after a while; Raft does not. */
  async #left(known: readonly NodeId[]): Promise<ReadonlySet<string>> {
    const { membership, self, committedLeft } = this.#parts;
    const stateOf = (name: NodeId) =>
      (name === self ? membership.self : membership.get(name))?.state;
    const isForgotten = (name: NodeId): boolean => {
      const state = stateOf(name);
      return state === undefined || state === 'deleted';
    };
    const committed = known.some(isForgotten) ? await committedLeft() : new Set<string>();
    return new Set(
      known.filter((name) => (isForgotten(name) ? committed.has(name) : stateOf(name) === 'left')),
    );
  }

  #seemsAlive(node: NodeId): boolean {
    const state = this.#parts.membership.get(node)?.state;
    return node === this.#parts.self || state === 'active' || state === 'suspicious';
  }

  #refuseWhenLeft(): void {
    const { membership, self } = this.#parts;
    if (membership.self.state === 'left') throw nodeLeft(self);
  }
}

function nodeLeft(node: string): IdunnoError {
  const text = `${node} has left the cluster, so its logs are not read`;
  return new IdunnoError('NODE_LEFT', text, { node });
}

function readCleared(value: unknown): Cleared {
  const [segments, bytes] = Array.isArray(value) ? (value as unknown[]) : [];
  if (typeof segments !== 'number' || typeof bytes !== 'number') {
    throw new IdunnoError('PROTOCOL', 'an answer about cleared logs is malformed');
  }
  return { segments, bytes };
}

/** A scan as a body. Not a generator: `return` must end a scan that is in the middle of a wait. */
class EventBody implements AsyncIterableIterator<Uint8Array> {
  readonly #node: string;
  readonly #events: AsyncIterableIterator<ScanEvent>;

  constructor(node: string, events: AsyncIterableIterator<ScanEvent>) {
    this.#node = node;
    this.#events = events;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const { done, value } = await this.#events.next();
    if (done === true) return { done: true, value: undefined };
    return { done: false, value: writeEvent(this.#node, value) };
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.#events.return?.();
    return { done: true, value: undefined };
  }
}
