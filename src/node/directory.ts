/**
 * Who the coordinators are now, on every node, also on those that are none: the config file names
 * only the founders, and members change by command. The newest committed configuration counts, by
 * its index in the log; it is kept on disk, so that a node that was away for long finds the others
 * even when all founders are gone.
 *
 *     own consensus ──▶ committed configuration ─┐
 *     leader's news, told to everybody ──────────┼──▶ the newest wins ──▶ disk, listeners
 *     another node's answer, asked now and then ─┘
 */
import {
  asIdunnoError,
  type Clock,
  type Disk,
  type LogIndex,
  type Logger,
  type Ms,
  type NodeId,
  nodeId,
  type Rng,
} from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import { isJoint, type MembersEvent } from '../raft/index.js';

export interface DirectoryOptions {
  readonly self: NodeId;
  readonly founders: readonly NodeId[];
  /** All nodes of the config file: whoever runs may know. */
  readonly nodes: readonly NodeId[];
  readonly path: string;
}

export interface DirectoryParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly log: Logger;
}

interface Known {
  readonly index: LogIndex;
  readonly voters: readonly NodeId[];
}

const METHOD = 'node.coordinators';
const TOLD = 'node.coordinators-are';
const ASK_EVERY_MS: Ms = 5_000;
const ASK_TIMEOUT_MS: Ms = 1_000;
const FILE_BYTES_MAX = 64 * 1024;
const VOTERS_MAX = 64;

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #parts: DirectoryParts;
  readonly #listeners: ((voters: readonly NodeId[]) => void)[] = [];
  readonly #stop = new AbortController();
  #known: Known;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: DirectoryOptions, parts: DirectoryParts) {
    this.#options = options;
    this.#parts = parts;
    this.#known = { index: 0, voters: options.founders };
  }

  get coordinators(): readonly NodeId[] {
    return this.#known.voters;
  }

  onChange(listener: (voters: readonly NodeId[]) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads what was known last; answers and asks others from now on. */
  async start(): Promise<void> {
    const { disk, rpc, log } = this.#parts;
    const { path } = this.#options;
    if ((await disk.stat(path)) !== undefined) {
      const bytes = await disk.readFile(path, FILE_BYTES_MAX);
      const known = parseFile(Buffer.from(bytes).toString('utf8'));
      // Only a hint of where to ask: without it the founders are asked.
      if (known === undefined) log.warn('node.coordinators-unreadable', { path });
      else this.#learn(known);
    }
    rpc.handle(METHOD, () => ({ value: toWire(this.#known) }));
    rpc.handle(TOLD, (args, _body, { peer }) => {
      if (peer.kind === 'node') this.#learn(fromWire(args));
      return { value: null };
    });
    this.#askOthers().catch((error: unknown) => {
      if (this.#stop.signal.aborted) return;
      log.error('node.coordinators-failed', { error: asIdunnoError(error).message });
    });
  }

  /** This node's own consensus says so. The leader tells everybody at once. */
  onMembers({ conf, index, isCommitted, isMember }: MembersEvent, isLeader: boolean): void {
    if (!isCommitted || !isMember || isJoint(conf)) return;
    this.#learn({ index, voters: conf.voters });
    if (!isLeader) return;
    const { self, nodes } = this.#options;
    const options = { timeoutMs: ASK_TIMEOUT_MS, signal: this.#stop.signal };
    for (const name of nodes) {
      if (name === self) continue;
      // Who does not hear it now asks later.
      this.#parts.rpc.call(name, TOLD, toWire(this.#known), options).catch(() => undefined);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#saving;
  }

  async #askOthers(): Promise<void> {
    const { clock, rng, rpc } = this.#parts;
    const { self, nodes } = this.#options;
    const { signal } = this.#stop;
    const others = nodes.filter((name) => name !== self);
    while (!signal.aborted && others.length > 0) {
      const name = others[rng.int(others.length)];
      try {
        if (name === undefined) break;
        const options = { timeoutMs: ASK_TIMEOUT_MS, signal };
        this.#learn(fromWire((await rpc.call(name, METHOD, [], options)).value));
      } catch {
        // It does not run, or does not know yet: another one is asked next time.
      }
      await clock.sleep(ASK_EVERY_MS * (0.5 + rng.float()), signal).catch(() => undefined);
    }
  }

  #learn(known: Known | undefined): void {
    if (known === undefined || known.index <= this.#known.index) return;
    this.#known = known;
    this.#parts.log.info('node.coordinators', {
      index: known.index,
      voters: known.voters.join(','),
    });
    for (const listener of this.#listeners) listener(known.voters);
    this.#saving = this.#saving.then(() => this.#save(known));
  }

  async #save(known: Known): Promise<void> {
    const { disk, log } = this.#parts;
    const text = JSON.stringify({ version: 1, ...known });
    try {
      await disk.writeFileDurable(this.#options.path, Buffer.from(text));
    } catch (error) {
      log.warn('node.coordinators-not-kept', { error: asIdunnoError(error).message });
    }
  }
}

function toWire({ index, voters }: Known): Wire[] {
  return [index, [...voters]];
}

function fromWire(value: unknown): Known | undefined {
  if (!Array.isArray(value)) return undefined;
  const [index, voters] = value as unknown[];
  if (typeof index !== 'number' || !Number.isSafeInteger(index) || index < 0) return undefined;
  if (!Array.isArray(voters) || voters.length === 0 || voters.length > VOTERS_MAX) return undefined;
  try {
    return { index, voters: voters.map((name) => nodeId(String(name))) };
  } catch {
    return undefined;
  }
}

function parseFile(text: string): Known | undefined {
  try {
    const { index, voters } = JSON.parse(text) as Partial<Known>;
    return fromWire([index, voters]);
  } catch {
    return undefined;
  }
}
