/**
 * Runs a membership core over a clock, a network and a disk: performs its effects, feeds it packets
 * and time, and decides nothing. The same in the thread (thread.ts) and in process (inline.ts).
 *
 * A timer that fires late first lets waiting packets in, so that answers which arrived while the
 * process slept count before the deadlines that passed meanwhile.
 */
import {
  type BootEpoch,
  type Clock,
  type DatagramSocket,
  type Disk,
  isIdunnoError,
  type Logger,
  type Ms,
  type Network,
  type NodeId,
  nodeId,
  type Rng,
  type Timer,
  withTimeout,
} from '../base/index.js';
import { clusterNumber, decodePacket, encodePacket, type Refusal } from './codec.js';
import { REMEMBERED_MAX, type SwimTiming } from './config.js';
import { SwimCore } from './core.js';
import type { Introducer, Origin, Packet } from './messages.js';
import type { Effect, Input } from './protocol.js';
import { Streams } from './streams.js';
import type { Evidence, Member, MemberState } from './types.js';

export interface RunnerOptions {
  readonly cluster: string;
  readonly name: NodeId;
  readonly host: string;
  readonly port: number;
  readonly bootEpoch: BootEpoch;
  readonly bootWallMs: Ms;
  readonly timing: SwimTiming;
  readonly introducers: readonly Introducer[];
  /** Where the last known members are kept; a folder of its own. */
  readonly folder: string;
}

export interface RunnerDependencies {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly network: Network;
  readonly disk: Pick<Disk, 'mkdir' | 'readFile' | 'writeFileDurable'>;
  readonly logger: Logger;
  onMember(member: Member, before: MemberState | undefined, notable: boolean): void;
  onHealth(score: number): void;
}

const REMEMBERED_FILE = 'last-members.json';
const REMEMBERED_BYTES_MAX = 64 * 1024;
/** Later than this, the loop was busy: packets may be waiting. */
const LATE_MS: Ms = 20;
/** Longest wait of `join` for somebody to answer; the search goes on all the same. */
const JOIN_WAIT_MS: Ms = 2_000;
const LEAVE_WAIT_MS: Ms = 5_000;

export class SwimRunner {
  readonly #options: RunnerOptions;
  readonly #dependencies: RunnerDependencies;
  readonly #cluster: number;
  readonly #socket: DatagramSocket;
  readonly #streams: Streams;
  readonly #core: SwimCore;
  readonly #refusals = new Map<Refusal, number>();
  #timer: Timer | undefined;
  #timerMs: Ms = Number.POSITIVE_INFINITY;
  #isStopped = false;
  #onJoined: (() => void)[] = [];
  #onLeft: (() => void)[] = [];
  /** Writes of the remembered members, one after the other. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    options: RunnerOptions,
    dependencies: RunnerDependencies,
    parts: { socket: DatagramSocket; streams: Streams; core: SwimCore },
  ) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#cluster = clusterNumber(options.cluster);
    this.#socket = parts.socket;
    this.#streams = parts.streams;
    this.#core = parts.core;
  }

  /** Binds the UDP port and begins. Throws PORT_TAKEN or BAD_CONFIG with the next step. */
  static async start(
    options: RunnerOptions,
    dependencies: RunnerDependencies,
  ): Promise<SwimRunner> {
    const { network, disk, clock, rng } = dependencies;
    const socket = await network.openDatagram(options.host, options.port);
    let onFrame: (bytes: Uint8Array, id: number) => void = () => undefined;
    const streams = new Streams({ clock, network, onFrame: (bytes, id) => onFrame(bytes, id) });
    try {
      const streamPort = await streams.listen(options.host);
      const remembered = await readRemembered(disk, options.folder, dependencies.logger);
      const { name, host, bootEpoch, bootWallMs, timing } = options;
      const introducers = [...options.introducers, ...remembered];
      const core = new SwimCore(
        {
          name,
          host,
          port: socket.port,
          streamPort,
          bootEpoch,
          bootWallMs,
          timing,
          introducers,
        },
        rng,
      );
      const runner = new SwimRunner(options, dependencies, { socket, streams, core });
      onFrame = (bytes, id) => runner.#receive(bytes, { via: 'stream', id });
      socket.onPacket((bytes, fromHost, port) =>
        runner.#receive(bytes, { via: 'udp', host: fromHost, port }),
      );
      runner.#step({ kind: 'start', now: clock.now() });
      return runner;
    } catch (error) {
      await streams.close();
      await socket.close();
      throw error;
    }
  }

  get self(): Member {
    return this.#core.self;
  }

  /** Becomes a member again after `leave`; resolves when somebody answered, or after 2 s. */
  join(): Promise<void> {
    const joined = new Promise<void>((resolve) => this.#onJoined.push(resolve));
    this.#step({ kind: 'join', now: this.#dependencies.clock.now() });
    // Alone is a state, not a failure: whoever starts first has nobody to answer.
    return withTimeout(this.#dependencies.clock, joined, JOIN_WAIT_MS, 'joining').catch(
      () => undefined,
    );
  }

  /** Says good-bye; resolves when the news has had time to spread. */
  leave(): Promise<void> {
    const left = new Promise<void>((resolve) => this.#onLeft.push(resolve));
    this.#step({ kind: 'leave', now: this.#dependencies.clock.now() });
    return withTimeout(this.#dependencies.clock, left, LEAVE_WAIT_MS, 'leaving the membership');
  }

  /** For how long the main thread has stood still; 0 when it moves. */
  stalled(stalledMs: Ms): void {
    this.#step({ kind: 'stalled', now: this.#dependencies.clock.now(), stalledMs });
  }

  why(name: NodeId): readonly Evidence[] {
    const { clock } = this.#dependencies;
    const wallOriginMs = clock.wall() - clock.now();
    return this.#core.why(name).map((line) => ({
      atWallMs: Math.round(wallOriginMs + line.atMs),
      text: line.text,
    }));
  }

  /** Silent from here on, without a farewell: for the others this is a crash. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#streams.close();
    await this.#socket.close();
    await this.#writing;
  }

  #receive(bytes: Uint8Array, from: Origin): void {
    if (this.#isStopped) return;
    const decoded = decodePacket(this.#cluster, bytes);
    if (!decoded.ok) {
      this.#countRefusal(decoded.refusal, decoded.detail, from);
      return;
    }
    const now = this.#dependencies.clock.now();
    this.#step({ kind: 'packet', now, from, packet: decoded.packet });
  }

  /** Logged at the first, and at every thousandth of a kind: noise must not flood the log. */
  #countRefusal(refusal: Refusal, detail: string, from: Origin): void {
    const count = (this.#refusals.get(refusal) ?? 0) + 1;
    this.#refusals.set(refusal, count);
    if (count % 1000 !== 1) return;
    const where = from.via === 'udp' ? `${from.host}:${from.port}` : 'tcp';
    this.#dependencies.logger.warn('swim.refused', { refusal, detail, from: where, count });
  }

  #step(input: Input): void {
    if (this.#isStopped) return;
    for (const effect of this.#core.step(input)) this.#perform(effect);
    this.#arm();
  }

  #perform(effect: Effect): void {
    const { logger, onMember, onHealth } = this.#dependencies;
    switch (effect.kind) {
      case 'send':
        this.#send(effect.to, effect.packet);
        break;
      case 'stream':
        this.#streams.send(effect.to, effect.dial, encodePacket(this.#cluster, effect.packet));
        break;
      case 'links':
        this.#streams.keep(effect.peers);
        break;
      case 'member':
        onMember(effect.member, effect.before, effect.notable);
        break;
      case 'health':
        onHealth(effect.score);
        break;
      case 'remember':
        this.#remember(effect.peers);
        break;
      case 'joined':
        for (const resolve of this.#onJoined.splice(0)) resolve();
        break;
      case 'left':
        for (const resolve of this.#onLeft.splice(0)) resolve();
        break;
      case 'log':
        logger[effect.level](effect.event, effect.fields);
        break;
    }
  }

  #send(to: Origin, packet: Packet): void {
    const bytes = encodePacket(this.#cluster, packet);
    if (to.via === 'udp') this.#socket.send(to.host, to.port, bytes);
    else this.#streams.reply(to.id, bytes);
  }

  #remember(peers: readonly Introducer[]): void {
    const { disk, logger } = this.#dependencies;
    const { folder } = this.#options;
    const bytes = new TextEncoder().encode(`${JSON.stringify({ version: 1, peers }, null, 1)}\n`);
    this.#writing = this.#writing
      .then(() => disk.mkdir(folder))
      .then(() => disk.writeFileDurable(`${folder}/${REMEMBERED_FILE}`, bytes))
      .catch((error: unknown) => logger.warn('swim.remember-failed', { error: String(error) }));
  }

  #arm(): void {
    const dueMs = this.#core.nextDeadline();
    if (this.#isStopped || (this.#timer !== undefined && this.#timerMs <= dueMs)) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    const { clock } = this.#dependencies;
    this.#timer = clock.setTimer(dueMs - clock.now(), () => this.#onTimer(dueMs));
  }

  #onTimer(dueMs: Ms): void {
    const { clock } = this.#dependencies;
    if (clock.now() <= dueMs + LATE_MS) {
      this.#tick();
      return;
    }
    this.#timerMs = Number.NEGATIVE_INFINITY;
    this.#timer = clock.setTimer(0, () => this.#tick());
  }

  #tick(): void {
    this.#timer = undefined;
    this.#step({ kind: 'tick', now: this.#dependencies.clock.now() });
  }
}

/** Introducers from an earlier run. What cannot be read is as good as absent: config names others. */
async function readRemembered(
  disk: Pick<Disk, 'readFile'>,
  folder: string,
  logger: Logger,
): Promise<readonly Introducer[]> {
  try {
    const bytes = await disk.readFile(`${folder}/${REMEMBERED_FILE}`, REMEMBERED_BYTES_MAX);
    return parseRemembered(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (error) {
    if (!isIdunnoError(error, 'LOCAL_FILE_NOT_FOUND')) {
      logger.warn('swim.remembered-unreadable', { folder, error: String(error) });
    }
    return [];
  }
}

function parseRemembered(value: unknown): Introducer[] {
  if (typeof value !== 'object' || value === null || !('peers' in value)) return [];
  if (!Array.isArray(value.peers)) return [];
  return value.peers.slice(0, REMEMBERED_MAX).flatMap((peer: unknown) => {
    if (typeof peer !== 'object' || peer === null) return [];
    const { name, host, port } = peer as Record<string, unknown>;
    const isSound =
      typeof name === 'string' &&
      typeof host === 'string' &&
      Number.isInteger(port) &&
      Number(port) > 0 &&
      Number(port) < 65_536;
    return isSound ? [{ name: nodeId(name), host, port: Number(port) }] : [];
  });
}
