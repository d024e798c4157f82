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
 * Else it waits, neither votes nor campaigns, and says so, until a leader in whose configuration it has
 * no vote invites it (`raft.join`): then it starts empty, as a learner. So does a node that is no
 * founder at all. Like a damaged one it is suspect until it has caught up (recovery.ts). A boot file that remembers a log which is
 * not there any more is a wiped node's too: it gets a new incarnation. All founders write the same log: one
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
  type Term,
} from '../base/index.js';
import type { Rpc, Wire } from '../net/index.js';
import { encodeConf } from './conf.js';
import type { ConfState, Entry, HardState, SnapshotMeta } from './types.js';

export interface FirstBootOptions {
  readonly self: NodeId;
  /** All voters of the new cluster; this node may be none of them. */
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
  /** A leader of this term takes this node in, which has no log; false: it cannot be now. */
  readonly onJoin: (term: Term) => Promise<boolean>;
}

/** How another node stands, as far as it answers. */
export type PeerState =
  | { readonly kind: 'silent' }
  /** It has a log. */
  | { readonly kind: 'member' }
  /** It is about to found the cluster that this node is of. */
  | { readonly kind: 'founder' }
  /** It has no log, and nobody knows it as it is now. */
  | { readonly kind: 'empty'; readonly incarnation: string };

/** What every founder's log starts with. */
export interface Founding {
  readonly snapshot: SnapshotMeta;
  readonly hardState: HardState;
  readonly entry: Entry;
}

type Incarnations = Readonly<Record<string, string>>;

interface BootFile {
  readonly incarnation: string;
  /** Incarnations of the others when this node founded the cluster. */
  readonly founders: Incarnations;
  /** This node has had a log: if that is empty now, it was wiped. */
  readonly isMember: boolean;
}

interface Greeting {
  readonly isEmpty: boolean;
  readonly incarnation: string;
  /** Whom it founded the cluster with. */
  readonly founders: Incarnations;
}

const HELLO = 'raft.hello';
const JOIN = 'raft.join';
const JOIN_TIMEOUT_MS: Ms = 5_000;
const HELLO_TIMEOUT_MS: Ms = 500;
const RETRY_MS: Ms = 50;
const COMPLAIN_EVERY_MS: Ms = 5_000;
const BOOT_FILE_BYTES_MAX = 64 * 1024;
const NEW_FILE = { founders: {}, isMember: false } as const;

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
      data: encodeConf(conf),
    },
  };
}

export class FirstBoot {
  readonly #options: FirstBootOptions;
  readonly #parts: FirstBootParts;
  #file: BootFile = { incarnation: '', founders: {}, isMember: false };
  #isEmpty = true;

  constructor(options: FirstBootOptions, parts: FirstBootParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Reads or makes the boot file and answers the others' hellos from now on. */
  async open(isEmpty: boolean, isWiped = false): Promise<void> {
    this.#isEmpty = isEmpty;
    const { rpc } = this.#parts;
    this.#file = await this.#readFile(isWiped);
    if (!isEmpty) await this.markMember();
    rpc.handle(HELLO, () => ({
      value: [this.#isEmpty, this.#file.incarnation, { ...this.#file.founders }],
    }));
    rpc.handle(JOIN, async (args) => ({ value: await this.#onJoin(args) }));
  }

  get isFounder(): boolean {
    return this.#options.coordinators.includes(this.#options.self);
  }

  /** Asked by a leader about a member that does not answer as one. */
  async inspect(name: NodeId, signal: AbortSignal): Promise<PeerState> {
    const greeting = await this.#hello(name, signal);
    if (greeting === undefined) return { kind: 'silent' };
    const { isEmpty, incarnation } = greeting;
    if (!isEmpty) return { kind: 'member' };
    if (this.#file.founders[name] === incarnation) return { kind: 'founder' };
    return { kind: 'empty', incarnation };
  }

  /**
   * Takes a node in that has no log. The caller leads in `term`, has made sure of that after it
   * asked for the incarnation, and its committed configuration gives the node no vote: an older
   * leader must not wake a node that others still count as its former self.
   */
  async invite(
    name: NodeId,
    incarnation: string,
    term: Term,
    signal: AbortSignal,
  ): Promise<boolean> {
    const options = { timeoutMs: JOIN_TIMEOUT_MS, signal };
    const { value } = await this.#parts.rpc.call(name, JOIN, [incarnation, term], options);
    return value === true;
  }

  async #onJoin([incarnation, term]: readonly Wire[]): Promise<boolean> {
    if (typeof term !== 'number' || !Number.isSafeInteger(term) || term < 1) {
      throw new IdunnoError('PROTOCOL', 'an invitation without a term');
    }
    if (!this.#isEmpty) return false;
    if (incarnation !== this.#file.incarnation) {
      throw new IdunnoError('CONFLICT', 'an invitation for an earlier life of this node');
    }
    return this.#parts.onJoin(term);
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
  async markMember(): Promise<void> {
    this.#isEmpty = false;
    if (!this.#file.isMember) await this.#writeFile({ ...this.#file, isMember: true });
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
    const { self } = this.#options;
    const { incarnation } = this.#file;
    const isFounded = greetings.some((greeting) => greeting?.isEmpty === false);
    const founders: Record<string, string> = {};
    for (const [at, name] of others.entries()) {
      const greeting = greetings[at];
      if (greeting === undefined && !isFounded) return false;
      if (greeting?.isEmpty === false && greeting.founders[self] === incarnation) {
        // Its list, not what we see now: another one may have been wiped since.
        const list = { ...greeting.founders, [name]: greeting.incarnation };
        await this.#writeFile({ ...NEW_FILE, incarnation, founders: list });
        return true;
      }
      if (greeting !== undefined) founders[name] = greeting.incarnation;
    }
    if (isFounded) return false;
    await this.#writeFile({ ...NEW_FILE, incarnation, founders });
    return true;
  }

  async #hello(name: NodeId, signal: AbortSignal): Promise<Greeting | undefined> {
    try {
      const { value } = await this.#parts.rpc.call(name, HELLO, [], {
        timeoutMs: HELLO_TIMEOUT_MS,
        signal,
      });
      return parseGreeting(value);
    } catch {
      // Not there yet, or not ready: asked again soon.
      return undefined;
    }
  }

  async #readFile(isWiped: boolean): Promise<BootFile> {
    const { disk, rng, log } = this.#parts;
    const { bootFile } = this.#options;
    if ((await disk.stat(bootFile)) !== undefined) {
      const bytes = await disk.readFile(bootFile, BOOT_FILE_BYTES_MAX);
      const file = parseBootFile(Buffer.from(bytes).toString('utf8'));
      // Beside a log it says nothing that matters; without one this node is somebody new.
      if (file === undefined) log.warn('raft.boot-file-damaged', { path: bootFile });
      // A member without a log has lost it: from now on it is somebody whom nobody knows.
      else if (!(this.#isEmpty && (file.isMember || isWiped))) return file;
    }
    const words = [rng.nextU32(), rng.nextU32(), rng.nextU32(), rng.nextU32()];
    const incarnation = words.map((word) => word.toString(16).padStart(8, '0')).join('');
    const file = { ...NEW_FILE, incarnation };
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
  const [isEmpty, incarnation, founders] = value as unknown[];
  if (typeof isEmpty !== 'boolean' || typeof incarnation !== 'string') return undefined;
  return isIncarnations(founders) ? { isEmpty, incarnation, founders } : undefined;
}

function isIncarnations(value: unknown): value is Incarnations {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).every((incarnation) => typeof incarnation === 'string');
}

/** Undefined where it is unreadable. */
function parseBootFile(text: string): BootFile | undefined {
  try {
    const { incarnation, founders, isMember } = JSON.parse(text) as Partial<BootFile>;
    if (typeof incarnation === 'string' && isIncarnations(founders)) {
      return { incarnation, founders, isMember: isMember === true };
    }
  } catch {
    // Unreadable.
  }
  return undefined;
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
