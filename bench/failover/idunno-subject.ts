/** Our cluster in the rounds: local-3, preset local, no inference, one client. */
import { LocalCluster, pause } from '../../drills/lib/local-cluster.js';
import { nodeId, type NodeId } from '../../src/base/index.js';
import type { ApiClient, RaftStatus } from '../../src/cli/index.js';
import type { Kind, Subject } from './rounds.js';
import { SteadyWriter } from './steady-writer.js';

const SETTLE_TIMEOUT_MS = 60_000;

/** Keys that are written in turn: the state does not grow with the rounds. */
const KEYS = 1_000;
const VALUE = 'v'.repeat(200);

export class IdunnoSubject implements Subject {
  readonly cluster: LocalCluster;
  readonly writer: SteadyWriter;
  /** Asks about the state; the writer's client is left alone. */
  readonly #observer: ApiClient;
  readonly #client: ApiClient;

  private constructor(cluster: LocalCluster) {
    this.cluster = cluster;
    this.#observer = cluster.client();
    this.#client = cluster.client();
    this.writer = new SteadyWriter(async (count) => {
      await this.#client.settingsPut(`failover/${count % KEYS}`, VALUE);
    });
  }

  static async start(say: (text: string) => void): Promise<IdunnoSubject> {
    const cluster = await LocalCluster.create({ config: 'local-3.yaml', say });
    const subject = new IdunnoSubject(cluster);
    try {
      await cluster.startAll();
      await subject.#client.warm();
      subject.writer.start();
      return subject;
    } catch (error) {
      await subject.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.writer.stop();
    await this.#client.close();
    await this.#observer.close();
    await this.cluster.stop();
  }

  async settled(): Promise<string> {
    return settledLeader(this.cluster, this.#observer);
  }

  async strike(leader: string, kind: Kind): Promise<void> {
    const name = nodeId(leader);
    if (kind === 'kill') await this.cluster.kill(name);
    else if (kind === 'stop') await this.cluster.stopNode(name);
    else this.cluster.signal(name, 'SIGSTOP');
  }

  async heal(leader: string, kind: Kind): Promise<void> {
    const name = nodeId(leader);
    if (kind === 'freeze') this.cluster.signal(name, 'SIGCONT');
    else this.cluster.start(name);
  }
}

/** The leader that all nodes follow, once each has applied what it had committed. */
export async function settledLeader(cluster: LocalCluster, client: ApiClient): Promise<string> {
  const endsMs = performance.now() + SETTLE_TIMEOUT_MS;
  let last = 'no answer';
  while (performance.now() < endsMs) {
    const answers = await Promise.allSettled(cluster.nodes.map(({ name }) => ask(client, name)));
    const found = answers.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const leader = found.find(({ role }) => role === 'leader');
    if (leader !== undefined && found.length === cluster.nodes.length) {
      const isSettled = found.every(
        (each) =>
          each.leader === leader.node &&
          each.term === leader.term &&
          leader.voters.includes(each.node) &&
          // Writes go on while we ask one after the other: some lag is none.
          each.appliedIndex >= leader.commitIndex - LAG_ENTRIES,
      );
      if (isSettled) return leader.node;
    }
    last = found
      .map(({ node, role, appliedIndex }) => `${node} ${role} ${appliedIndex}`)
      .join(', ');
    await pause(20);
  }
  throw new Error(`the cluster did not settle within 60 s: ${last}`);
}

const LAG_ENTRIES = 20;

function ask(client: ApiClient, name: NodeId): Promise<RaftStatus> {
  return client.raftStatus({ node: name, timeoutMs: 500 });
}
