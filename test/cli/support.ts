/** One invocation of the command line in memory: streams that are kept, and a client made of parts. */
import { PassThrough, Writable } from 'node:stream';
import { type ClusterConfig, IdunnoError, nodeId } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/api-client.js';
import { ALL_COMMANDS, NOUNS } from '../../src/cli/commands/index.js';
import { runProgram } from '../../src/cli/program.js';
import type { CliIo } from '../../src/cli/types.js';
import type { Member } from '../../src/swim/index.js';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Only the methods that the command calls. */
  readonly client?: Partial<ApiClient>;
  readonly config?: ClusterConfig;
  readonly stdin?: string;
  readonly isTty?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

class Kept extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export async function runCli(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const stdout = new Kept();
  const stderr = new Kept();
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  const io: CliIo = {
    stdin,
    stdout,
    stderr,
    stdinIsTty: options.isTty ?? false,
    stdoutIsTty: false,
    stderrIsTty: false,
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
    now: () => 100_000,
  };
  const client = async (): Promise<ApiClient> => fakeClient(options.client ?? {});
  const code = await runProgram(argv, io, {
    commands: ALL_COMMANDS,
    nouns: NOUNS,
    connector: {
      target: client,
      config: client,
      loadConfig: async () => {
        if (options.config !== undefined) return options.config;
        throw new IdunnoError('BAD_CONFIG', 'there is no config in this test');
      },
    },
    version: '1.2.3',
    signal: new AbortController().signal,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** As SWIM shows a member that booted on 2 January 2026 at 23:04:12, local time. */
export function memberOf(name: string, state: Member['state'] = 'active'): Member {
  return {
    name: nodeId(name),
    host: 'h',
    port: 1,
    bootEpoch: 1,
    incarnation: 0,
    state,
    bootWallMs: new Date(2026, 0, 2, 23, 4, 12).getTime(),
    sinceMs: 0,
    stalledMs: 0,
  };
}

/** What commands ask before they begin: n1 is a member and leads. */
const HEALTHY: Partial<ApiClient> = {
  status: async () => ({
    cluster: 'test',
    node: 'n1',
    version: '1.2.3',
    leader: 'n1',
    term: 1,
    ready: true,
    nodes: [],
  }),
  memberSelf: async ({ node = 'n1' } = {}) => memberOf(node),
};

/** A call the test did not prepare is a failure of the test, said by name. */
function fakeClient(methods: Partial<ApiClient>): ApiClient {
  const whole: Partial<ApiClient> = { close: async () => {}, ...HEALTHY, ...methods };
  return new Proxy(whole, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (value === undefined && name !== 'then') {
        throw new Error(`the command called ${String(name)}, which this test does not expect`);
      }
      return value;
    },
  }) as ApiClient;
}
