/**
 * The first boot of a coordinator whose log is empty: is it a new cluster, or was this node wiped?
 *
 * A wiped voter must never vote as its old self: it has forgotten what it promised. So each
 * coordinator draws a random incarnation when it first starts with an empty folder, keeps it in its
 * boot file, and asks the others (`raft.hello`). It writes the first entry of a new cluster only
 *
 * - when all listed coordinators answer that they are empty too (their incarnations are then noted
 *   in the boot file, durably, before anything else), or
 * - when one that is already a member says that it noted this very incarnation: then the cluster
 *   was founded with this node as it is now, which has promised nothing since, or
 * - when an operator forces it.
 *
 * Else it waits, neither votes nor campaigns, and says so. All founders write the same log: one
 * bootstrap entry, index 1, term 1, that names the voters.
 */
import {
  type Clock,
  type Disk,
  IdunnoError,
  type Logger,
  type Ms,
  type NodeId,
  type Rng,
} from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import type { ConfState, Entry, HardState, SnapshotMeta } from './types.js';

export interface FirstBootOptions {
  readonly self: NodeId;
  /** All voters of the new cluster, this one among them. */
  readonly coordinators: readonly NodeId[];
  readonly bootFile: string;
  readonly forceBootstrap: boolean;
}

export interface FirstBootParts {
  readonly rpc: Rpc;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly disk: Disk;
  readonly log: Logger;
}

/** What every founder's log starts with. */
export interface Founding {
  readonly snapshot: SnapshotMeta;
  readonly hardState: HardState;
  readonly entry: Entry;
}

interface BootFile {
  readonly incarnation: string;
  /** Incarnations of the others when this node founded the cluster. */
  readonly founders: Readonly<Record<string, string>>;
}

type Greeting = { readonly isEmpty: boolean; readonly incarnation: string; readonly known: string };

const HELLO = 'raft.hello';
const HELLO_TIMEOUT_MS: Ms = 500;
const RETRY_MS: Ms = 50;
const COMPLAIN_EVERY_MS: Ms = 5_000;
const BOOT_FILE_BYTES_MAX = 64 * 1024;

/** The same on every founder, whatever order the config file lists them in. */
export function foundingOf(coordinators: readonly NodeId[]): Founding {
  const voters = [...coordinators].sort();
  const conf: ConfState = { voters, outgoing: [], learners: [] };
  return {
    snapshot: { index: 0, term: 0, conf },
    hardState: { term: 1, vote: undefined },
    entry: {
      index: 1,
      term: 1,
      kind: 'bootstrap',
      timeMs: 0,
      data: Buffer.from(JSON.stringify({ voters })),
    },
  };
}

export class FirstBoot {
  readonly #options: FirstBootOptions;
  readonly #parts: FirstBootParts;
  #file: BootFile = { incarnation: '', founders: {} };
  #isEmpty = true;

  constructor(options: FirstBootOptions, parts: FirstBootParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Reads or makes the boot file and answers the others' hellos from now on. */
  async open(isEmpty: boolean): Promise<void> {
    this.#isEmpty = isEmpty;
    const { rpc } = this.#parts;
    this.#file = await this.#readFile();
    rpc.handle(HELLO, ([name]) => {
      const known = typeof name === 'string' ? (this.#file.founders[name] ?? '') : '';
      return { value: [this.#isEmpty, this.#file.incarnation, known] };
    });
  }

  /** Resolves when this node may found the cluster; rejects only with the signal. */
  async waitUntilFounder(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    const { self, coordinators } = this.#options;
    const others = coordinators.filter((name) => name !== self);
    let complainAt = clock.now() + COMPLAIN_EVERY_MS;
    for (;;) {
      const greetings = await Promise.all(others.map((name) => this.#hello(name, signal)));
      signal.throwIfAborted();
      if (this.#isForced(others) || (await this.#mayFound(others, greetings))) return;
      if (clock.now() >= complainAt) {
        complainAt = clock.now() + COMPLAIN_EVERY_MS;
        log.warn('raft.waiting-to-found', { reason: describeWait(others, greetings) });
      }
      await clock.sleep(RETRY_MS, signal);
    }
  }

  /** The log has been written: from now on this node is a member. */
  markFounded(): void {
    this.#isEmpty = false;
  }

  #isForced(others: readonly NodeId[]): boolean {
    if (!this.#options.forceBootstrap) return false;
    this.#parts.log.warn('raft.bootstrap-forced', { others: others.join(',') });
    return true;
  }

  async #mayFound(
    others: readonly NodeId[],
    greetings: readonly (Greeting | undefined)[],
  ): Promise<boolean> {
    const { incarnation } = this.#file;
    if (greetings.some((greeting) => greeting?.isEmpty === false)) {
      return greetings.some(
        (greeting) => greeting?.isEmpty === false && greeting.known === incarnation,
      );
    }
    const founders: Record<string, string> = {};
    for (const [at, name] of others.entries()) {
      const greeting = greetings[at];
      if (greeting === undefined) return false;
      founders[name] = greeting.incarnation;
    }
    await this.#writeFile({ incarnation, founders });
    return true;
  }

  async #hello(name: NodeId, signal: AbortSignal): Promise<Greeting | undefined> {
    try {
      const { value } = await this.#parts.rpc.call(name, HELLO, [this.#options.self], {
        timeoutMs: HELLO_TIMEOUT_MS,
        signal,
      });
      return parseGreeting(value);
    } catch {
      // Not there yet, or not ready: asked again soon.
      return undefined;
    }
  }

  async #readFile(): Promise<BootFile> {
    const { disk, rng } = this.#parts;
    const { bootFile } = this.#options;
    if ((await disk.stat(bootFile)) !== undefined) {
      const bytes = await disk.readFile(bootFile, BOOT_FILE_BYTES_MAX);
      return parseBootFile(bootFile, Buffer.from(bytes).toString('utf8'));
    }
    const words = [rng.nextU32(), rng.nextU32(), rng.nextU32(), rng.nextU32()];
    const incarnation = words.map((word) => word.toString(16).padStart(8, '0')).join('');
    const file = { incarnation, founders: {} };
    await this.#writeFile(file);
    return file;
  }

  async #writeFile(file: BootFile): Promise<void> {
    const text = JSON.stringify({ version: 1, ...file });
    await this.#parts.disk.writeFileDurable(this.#options.bootFile, Buffer.from(text));
    this.#file = file;
  }
}

function parseGreeting(value: Wire): Greeting | undefined {
  if (!Array.isArray(value)) return undefined;
  const [isEmpty, incarnation, known] = value as unknown[];
  if (typeof isEmpty !== 'boolean' || typeof incarnation !== 'string') return undefined;
  return typeof known === 'string' ? { isEmpty, incarnation, known } : undefined;
}

function parseBootFile(path: string, text: string): BootFile {
  try {
    const { incarnation, founders } = JSON.parse(text) as BootFile;
    if (typeof incarnation === 'string' && typeof founders === 'object') {
      return { incarnation, founders };
    }
  } catch {
    // Falls through to the refusal.
  }
  throw new IdunnoError('CORRUPT', `the boot file ${path} is unreadable`, { path });
}

function describeWait(
  others: readonly NodeId[],
  greetings: readonly (Greeting | undefined)[],
): string {
  const silent = others.filter((_, at) => greetings[at] === undefined);
  const members = others.filter((_, at) => greetings[at]?.isEmpty === false);
  if (members.length > 0) {
    return (
      `this node's Raft folder is empty, but ${members.join(', ')} already belong to the cluster ` +
      'and do not know it as it is now: was it wiped? It neither votes nor leads'
    );
  }
  return `a new cluster starts when all coordinators answer; silent: ${silent.join(', ')}`;
}
