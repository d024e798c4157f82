/** etcd in the rounds: three members with its own defaults, and a client that acts like ours. */
import { pause } from '../../drills/lib/local-cluster.js';
import { EtcdClient } from '../lib/etcd-client.js';
import { EtcdCluster } from '../lib/etcd-cluster.js';
import type { Kind, Subject } from './rounds.js';
import { SteadyWriter } from './steady-writer.js';

/** A member that has said nothing for so long gets company, as in our client. */
const SILENCE_MS = 200;
const ATTEMPT_TIMEOUT_MS = 10_000;
const PAUSE_MS = 10;
const WRITE_TIMEOUT_MS = 15_000;
const KEYS = 1_000;
const VALUE = 'v'.repeat(200);

export class EtcdSubject implements Subject {
  readonly writer: SteadyWriter;
  readonly #etcd: EtcdCluster;
  readonly #clients = new Map<string, EtcdClient>();
  #favourite: string;

  private constructor(etcd: EtcdCluster, leader: string) {
    this.#etcd = etcd;
    this.#favourite = leader;
    this.writer = new SteadyWriter((count) => this.#put(`failover/${count % KEYS}`));
  }

  static async start(): Promise<EtcdSubject> {
    const etcd = await EtcdCluster.start();
    const subject = new EtcdSubject(etcd, await etcd.leader());
    subject.writer.start();
    return subject;
  }

  async stop(): Promise<void> {
    await this.writer.stop();
    for (const client of this.#clients.values()) client.close();
    await this.#etcd.stop();
  }

  async settled(): Promise<string> {
    const leader = await this.#etcd.leader();
    this.#favourite = leader;
    return leader;
  }

  strike(leader: string, kind: Kind): Promise<void> {
    if (kind !== 'kill') throw new Error(`etcd is not measured for ${kind}`);
    return this.#etcd.kill(leader);
  }

  async heal(): Promise<void> {
    this.#etcd.restart();
  }

  /** One write, tried at every member until one acknowledges it. */
  async #put(key: string): Promise<void> {
    const endsMs = performance.now() + WRITE_TIMEOUT_MS;
    const endpoints = [...this.#etcd.endpoints].sort(
      (a, b) => Number(b === this.#favourite) - Number(a === this.#favourite),
    );
    const open = new Set<Promise<string | undefined>>();
    for (let at = 0; performance.now() < endsMs; at += 1) {
      const endpoint = endpoints[at % endpoints.length] ?? this.#favourite;
      const attempt: Promise<string | undefined> = this.#attempt(endpoint, key).finally(() =>
        open.delete(attempt),
      );
      open.add(attempt);
      const answered = await Promise.race([...open, pause(SILENCE_MS).then(() => 'silence')]);
      if (answered === 'silence') continue;
      if (answered !== undefined) {
        this.#favourite = answered;
        return;
      }
      // All have refused once: wait a little before the next tour.
      if (at % endpoints.length === endpoints.length - 1) await pause(PAUSE_MS);
    }
    throw new Error(`no member acknowledged a write within ${WRITE_TIMEOUT_MS / 1000} s`);
  }

  /** The endpoint when it has acknowledged; undefined when it refused or was lost. */
  async #attempt(endpoint: string, key: string): Promise<string | undefined> {
    try {
      await this.#client(endpoint).put(key, VALUE, ATTEMPT_TIMEOUT_MS);
      return endpoint;
    } catch {
      return undefined;
    }
  }

  #client(endpoint: string): EtcdClient {
    const known = this.#clients.get(endpoint);
    if (known?.isOpen === true) return known;
    const made = new EtcdClient(endpoint);
    this.#clients.set(endpoint, made);
    return made;
  }
}
