/**
 * How a client's calls reach the cluster: any node is asked (api-transport.ts), and writes are
 * numbered within a session of the log. The calls themselves stand by noun in api-*-calls.ts.
 */
import { z } from 'zod';
import type { LogIndex } from '../base/index.js';
import type { Wire } from '../net/index.js';
import {
  ApiTransport,
  type NodeAddress,
  type TransportCall,
  type TransportDependencies,
} from './api-transport.js';
import { createClientDependencies } from './connect.js';
import { API, parseAnswer } from './contract.js';

export interface ClientCallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ClientPutOptions extends ClientCallOptions {
  readonly durability?: 'all' | 'quorum';
}

/** A call to one node and nobody else. */
export interface NodeCallOptions extends ClientCallOptions {
  readonly node?: string;
}

/** Uploads and long streams are bounded by their own progress, not by the time of small calls. */
export const TRANSFER_TIMEOUT_MS = 30 * 60_000;
export const DEPLOY_TIMEOUT_MS = 5 * 60_000;

export const numberSchema: z.ZodType<number> = z.number();

export interface ApiClientOptions {
  readonly nodes: readonly NodeAddress[];
  /** A node of another cluster is refused; undefined takes any. */
  readonly cluster?: string | undefined;
  /** Of the same config file; see ClusterConfig. */
  readonly fingerprint?: string | undefined;
  /** The node to ask first, always; else the one that answered last. */
  readonly preferred?: string;
  /** Whole calls, unless they say otherwise. */
  readonly timeoutMs?: number;
  /** A node that has said nothing for so long gets company. */
  readonly silenceMs?: number;
  /**
   * How long a call goes on while all addresses refuse. A person at a prompt wants to know soon; a
   * program that is to live through a restart of the whole cluster waits as long as the call may.
   */
  readonly nobodyThereMs?: number;
}

const TIMEOUT_MS = 15_000;
const SILENCE_MS = 200;
/** Nodes that restart are back sooner, those that are down stay down. */
const NOBODY_THERE_MS = 2_000;

/** Asks, reads and numbers; offers no call of its own. */
export abstract class ApiCalls {
  protected readonly transport: ApiTransport;
  protected readonly clock: TransportDependencies['clock'];
  private session: Promise<LogIndex> | undefined;
  private seq = 0;

  /** Dials nothing until it is used. Without `dependencies` it uses the machine's own network. */
  constructor(options: ApiClientOptions, dependencies?: TransportDependencies) {
    const parts = dependencies ?? createClientDependencies(options.cluster, options.fingerprint);
    this.clock = parts.clock;
    this.transport = new ApiTransport(
      {
        nodes: options.nodes,
        preferred: options.preferred,
        timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
        silenceMs: options.silenceMs ?? SILENCE_MS,
        nobodyThereMs: options.nobodyThereMs ?? NOBODY_THERE_MS,
      },
      parts,
    );
  }

  /** The nodes it may talk to, as they were given. */
  get nodes(): readonly NodeAddress[] {
    return this.transport.nodes;
  }

  async close(): Promise<void> {
    await this.transport.close();
  }

  protected async read<T>(
    method: string,
    args: readonly Wire[],
    schema: z.ZodType<T>,
    options: NodeCallOptions,
  ): Promise<T> {
    const answer = await this.ask({
      method,
      args,
      kind: 'read',
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.node === undefined ? {} : { only: options.node }),
    });
    return parseAnswer(schema, answer.value, method);
  }

  protected ask(call: TransportCall): ReturnType<ApiTransport['call']> {
    return this.transport.call(call);
  }

  /** [session, seq] of the next write; opens the session first, once for all. */
  protected async numbered(options: ClientCallOptions = {}): Promise<[number, number]> {
    this.session ??= this.openSession(options);
    try {
      const session = await this.session;
      this.seq += 1;
      return [session, this.seq];
    } catch (error) {
      this.session = undefined;
      throw error;
    }
  }

  private async openSession(options: ClientCallOptions): Promise<LogIndex> {
    const answer = await this.ask({
      method: API.openSession,
      args: [],
      kind: 'repeatable',
      ...options,
    });
    return parseAnswer(numberSchema, answer.value, API.openSession);
  }
}

export async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
