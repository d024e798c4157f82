/**
 * Three members of etcd as processes of this machine, on free ports and in a temporary folder: the
 * peer that the metadata store is measured beside. Defaults are etcd's own; every write is synced.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, pause } from '../../drills/lib/local-cluster.js';
import { EtcdClient } from './etcd-client.js';

const MEMBERS = ['e1', 'e2', 'e3'] as const;
const READY_TIMEOUT_MS = 30_000;
/** Debian's package of the server. */
const BINARY = 'etcd';

interface Member {
  readonly name: string;
  readonly endpoint: string;
  readonly peer: string;
  child: ChildProcess | undefined;
}

/** What it is, or undefined where it is not installed. */
export function etcdVersion(): string | undefined {
  try {
    const text = execFileSync(BINARY, ['--version'], { encoding: 'utf8', stdio: 'pipe' });
    return /etcd Version: (\S+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

export const ETCD_MISSING =
  'etcd is not installed, so nothing is measured beside it and no goal that names it is met: ' +
  'apt-get install -y etcd-server etcd-client';

export class EtcdCluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'idunno-etcd-'));
  readonly #members: readonly Member[];
  readonly #killAll = (): void => this.#killRest();

  private constructor(ports: readonly number[]) {
    this.#members = MEMBERS.map((name, at) => ({
      name,
      endpoint: `127.0.0.1:${ports[2 * at]}`,
      peer: `127.0.0.1:${ports[2 * at + 1]}`,
      child: undefined,
    }));
    process.once('exit', this.#killAll);
  }

  static async start(): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(await freePorts(2 * MEMBERS.length));
    for (const member of cluster.#members) cluster.#start(member);
    try {
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get endpoints(): string[] {
    return this.#members.map(({ endpoint }) => endpoint);
  }

  /** Endpoint of the leader once all members agree on one. */
  async leader(): Promise<string> {
    const endsAt = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < endsAt) {
      const found = await this.#agreedLeader();
      if (found !== undefined) return found;
      await pause(50);
    }
    throw new Error(`etcd had no leader within ${READY_TIMEOUT_MS / 1000} s; see ${this.folder}`);
  }

  /** kill -9: the process is gone when this resolves; the signal has left before it returns. */
  kill(endpoint: string): Promise<void> {
    const member = this.#members.find((each) => each.endpoint === endpoint);
    const child = member?.child;
    if (member === undefined || child === undefined) throw new Error(`nothing runs at ${endpoint}`);
    member.child = undefined;
    return endOf(child, 'SIGKILL');
  }

  /** Starts again what was killed. */
  restart(): void {
    for (const member of this.#members) if (member.child === undefined) this.#start(member);
  }

  async stop(): Promise<void> {
    const children = this.#members.flatMap(({ child }) => child ?? []);
    await Promise.all(children.map((child) => endOf(child, 'SIGKILL')));
    process.removeListener('exit', this.#killAll);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #start(member: Member): void {
    const { name, endpoint, peer } = member;
    const all = this.#members.map((each) => `${each.name}=http://${each.peer}`).join(',');
    const output = openSync(join(this.folder, `${name}.out`), 'a');
    member.child = spawn(
      BINARY,
      [
        ...['--name', name, '--data-dir', join(this.folder, name)],
        ...['--listen-client-urls', `http://${endpoint}`],
        ...['--advertise-client-urls', `http://${endpoint}`],
        ...['--listen-peer-urls', `http://${peer}`],
        ...['--initial-advertise-peer-urls', `http://${peer}`],
        ...['--initial-cluster', all, '--initial-cluster-state', 'new'],
        ...['--initial-cluster-token', 'idunno-bench', '--logger', 'zap', '--log-level', 'error'],
      ],
      { stdio: ['ignore', output, output], detached: true },
    );
    member.child.once('error', () => undefined);
  }

  async #agreedLeader(): Promise<string | undefined> {
    const answers = await Promise.all(this.#members.map(statusOf));
    const leader = answers[0]?.leader;
    if (leader === undefined || leader === 0n) return undefined;
    if (answers.some((answer) => answer?.leader !== leader)) return undefined;
    const at = answers.findIndex((answer) => answer?.member === leader);
    return this.#members[at]?.endpoint;
  }

  #killRest(): void {
    for (const { child } of this.#members) child?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function statusOf({ endpoint }: Member) {
  const client = new EtcdClient(endpoint);
  try {
    return await client.status(1_000);
  } catch {
    return undefined;
  } finally {
    client.close();
  }
}

function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}
