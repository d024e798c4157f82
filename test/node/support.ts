/**
 * The real command line in this process, against real node processes: a cluster in a temporary
 * folder on free ports, started by `idunno up` and ended by `idunno down`, as a person would.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { freePorts } from '../../drills/lib/local-cluster.js';
import { ALL_COMMANDS, NOUNS } from '../../src/cli/commands/index.js';
import { runProgram } from '../../src/cli/program.js';
import { connectConfig, connectTarget, loadTargetConfig } from '../../src/cli/target.js';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

class Kept extends Writable {
  readonly chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
}

export interface TestCluster {
  readonly folder: string;
  readonly config: string;
  readonly names: readonly string[];
  readonly ports: readonly number[];
  dataDir(name: string): string;
  /** Runs `idunno ARGS` with this cluster's config. */
  run(args: readonly string[], options?: { stdin?: string; config?: string }): Promise<Ran>;
  /** Ends what runs and removes the folder. */
  remove(): Promise<void>;
}

/** Writes a config for so many nodes, all of them coordinators. Starts nothing. */
export async function createTestCluster(count: number, cluster = 'test'): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'idunno-node-'));
  const ports = await freePorts(count);
  const names = ports.map((_, at) => `n${at + 1}`);
  const config = join(folder, 'cluster.yaml');
  mkdirSync(join(folder, 'home'));
  writeFileSync(config, configText(cluster, names, ports));
  const run: TestCluster['run'] = async (args, options = {}) => {
    const stdout = new Kept();
    const stderr = new Kept();
    const stdin = new PassThrough();
    stdin.end(options.stdin ?? '');
    const io = {
      stdin,
      stdout,
      stderr,
      stdinIsTty: false,
      stdoutIsTty: false,
      stderrIsTty: false,
      env: { ...process.env, IDUNNO_CONFIG: options.config ?? config, IDUNNO_NODE: undefined },
      cwd: folder,
      now: () => Date.now(),
    };
    const code = await runProgram(args, io, {
      commands: ALL_COMMANDS,
      nouns: NOUNS,
      connector: { target: connectTarget, config: connectConfig, loadConfig: loadTargetConfig },
      version: 'test',
      signal: AbortSignal.timeout(GUARD_MS),
    });
    return { code, stdout: stdout.text, stderr: stderr.text };
  };
  return {
    folder,
    config,
    names,
    ports,
    dataDir: (name) => join(folder, 'data', name),
    run,
    remove: async () => {
      await run(['down']);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Nothing here may wait longer. */
const GUARD_MS = 60_000;

export function configText(
  cluster: string,
  names: readonly string[],
  ports: readonly number[],
): string {
  const nodes = names.map(
    (name, at) => `  - { name: ${name}, host: 127.0.0.1, port: ${ports[at]} }`,
  );
  return [
    `cluster: ${cluster}`,
    'preset: test',
    'dataRoot: data',
    `coordinators: [${names.join(', ')}]`,
    'nodes:',
    ...nodes,
    '',
  ].join('\n');
}
