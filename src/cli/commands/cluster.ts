/** `idunno up`, `down`, `status`, `node`, `shell`: a whole cluster, or one node of it. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ClusterConfig, IdunnoError, type NodeConfig } from '../../base/index.js';
import type { ClusterStatus, NodeStatusRow } from '../contract.js';
import { formatDuration, plural } from '../format.js';
import type { Column } from '../output.js';
import {
  endProcess,
  isRunning,
  OUTPUT_FILE,
  outputBytes,
  outputSince,
  type ProcessRecord,
  readRunning,
  startProcess,
} from '../processes.js';
import { runShell } from '../shell/shell.js';
import type { CommandContext, CommandSpec, OptionSpec } from '../types.js';

const DATA_OPTION: OptionSpec = {
  flags: '--data <folder>',
  help: "keep the nodes' data below this folder, instead of where the file says",
};

/** A first start elects a leader and loads nothing: seconds. Slow machines get a minute. */
const UP_TIMEOUT_MS = 60_000;
const UP_POLL_MS = 200;
const DOWN_GRACE_MS = 10_000;

const up: CommandSpec = {
  verb: 'up',
  summary: 'start every node of the config file on this machine',
  details: `The nodes go on in the background until "idunno down". Starting twice is harmless.`,
  options: [
    DATA_OPTION,
    { flags: '-f, --foreground', help: 'stay, show what the nodes say, end them at Ctrl-C' },
  ],
  async run(context) {
    const config = await context.config(context.option('data'));
    if (context.flag('foreground')) return runForeground(context, config);
    const started: Started[] = [];
    for (const node of config.nodes) {
      const before = outputBytes(node.dataDir);
      const child = startProcess({
        dataDir: node.dataDir,
        args: nodeArguments(context, config, node),
        isForeground: false,
        env: context.io.env,
      });
      if ('startedAs' in child) {
        context.out.note(`${node.name} runs already (process ${child.pid})`);
      } else started.push({ node, child, before });
    }
    const status = await waitUntilUp(context, config, started);
    if (status !== undefined) sayUp(context, config, status, started.length);
  },
};

interface Started {
  readonly node: NodeConfig;
  readonly child: ChildProcess;
  /** Bytes of output that are older than this start. */
  readonly before: number;
}

function nodeArguments(
  context: CommandContext,
  config: ClusterConfig,
  node: NodeConfig,
): readonly string[] {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const data = context.option('data');
  const root = data === undefined ? [] : ['--data', resolve(context.io.cwd, data)];
  return [main, 'node', node.name, '--config', config.path, ...root];
}

/**
 * Polls every node until all are ready and see each other. Undefined when one of them ended
 * instead: it has said why, and its exit code is ours.
 */
async function waitUntilUp(
  context: CommandContext,
  config: ClusterConfig,
  started: readonly Started[],
): Promise<ClusterStatus | undefined> {
  const client = await context.connectTo(config);
  const progress = context.out.progress(config.nodes.length, 'starting');
  let last = 'no node has answered yet';
  try {
    for (let waited = 0; waited < UP_TIMEOUT_MS; waited += UP_POLL_MS) {
      if (hasOneEnded(context, started)) return undefined;
      const settled = await Promise.allSettled(
        config.nodes.map(({ name }) =>
          client.status({ node: name, timeoutMs: 1_000, signal: context.signal }),
        ),
      );
      const answers = settled.flatMap((ask) => (ask.status === 'fulfilled' ? [ask.value] : []));
      const ready = answers.filter((answer) => answer.ready && seesAll(answer, config));
      const first = ready[0];
      if (first !== undefined && ready.length === config.nodes.length) return first;
      last = `${ready.length} of ${config.nodes.length} nodes are ready`;
      progress.update(ready.length, leaderText(answers));
      await context.pause(UP_POLL_MS);
    }
  } finally {
    progress.stop();
    await client.close();
  }
  throw new IdunnoError(
    'UNAVAILABLE',
    `the cluster is not ready after ${UP_TIMEOUT_MS / 1_000} s: ${last}; ` +
      `what each node said is in its ${OUTPUT_FILE}, e.g. ${config.nodes[0]?.dataDir ?? ''}`,
  );
}

function seesAll(answer: ClusterStatus, config: ClusterConfig): boolean {
  const active = answer.nodes.filter((node) => node.state === 'active' && node.status === 'up');
  return active.length >= config.nodes.length;
}

function leaderText(answers: readonly ClusterStatus[]): string {
  const leader = answers.find((answer) => answer.leader !== undefined)?.leader;
  return leader === undefined ? 'no leader yet' : `leader ${leader}`;
}

/** Shows what the first of them said that has ended. */
function hasOneEnded(context: CommandContext, started: readonly Started[]): boolean {
  const ended = started.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
  if (ended === undefined) return false;
  const { node, child, before } = ended;
  const how = child.signalCode ?? `exit code ${child.exitCode}`;
  context.out.note(`${node.name} ended at once (${how}):`);
  context.out.note(outputSince(node.dataDir, before, SHOWN_LINES));
  if (started.length > 1) context.out.note('the others go on; idunno down ends them');
  context.setExitCode(child.exitCode ?? NODE_FAILED_EXIT);
  return true;
}

/** A config may have many problems, each on its line. */
const SHOWN_LINES = 40;
const NODE_FAILED_EXIT = 70;

function sayUp(
  context: CommandContext,
  config: ClusterConfig,
  status: ClusterStatus,
  started: number,
): void {
  const leader = status.leader ?? '?';
  const sentence =
    started === 0
      ? `cluster ${config.cluster} runs already: ${plural(config.nodes.length, 'node')}, leader ${leader}`
      : `cluster ${config.cluster} is up: ${plural(config.nodes.length, 'node')}, leader ${leader}`;
  context.out.done(sentence, 'up', { cluster: config.cluster, leader, started });
  context.out.note(
    [
      'next:',
      `  export IDUNNO_CONFIG=${config.path}`,
      '  idunno status',
      '  idunno model deploy lenet',
      '  idunno file put IMAGES… data/ && idunno job submit lenet --prefix data/ --wait',
      '  idunno down',
    ].join('\n'),
  );
}

/** Children of ours: their lines on our screen, and our end is theirs. */
async function runForeground(context: CommandContext, config: ClusterConfig): Promise<void> {
  const running = config.nodes.find(({ dataDir }) => readRunning(dataDir) !== undefined);
  if (running !== undefined) {
    throw new IdunnoError('FOLDER_LOCKED', `${running.name} runs already; idunno down ends it`);
  }
  const children = config.nodes.flatMap((node) => {
    const child = startProcess({
      dataDir: node.dataDir,
      args: nodeArguments(context, config, node),
      isForeground: true,
      env: context.io.env,
    });
    if ('startedAs' in child) return [];
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        context.out.line(`${node.name} | ${line}`);
      });
    }
    child.once('exit', (code, signal) =>
      context.out.note(`${node.name} ended (${signal ?? code})`),
    );
    return [{ node, ended: once(child, 'exit') }];
  });
  const endAll = async (): Promise<void> => {
    await Promise.all(children.map(({ node }) => endIfRunning(node, readRunning(node.dataDir))));
  };
  context.signal.addEventListener('abort', () => void endAll(), { once: true });
  await Promise.all(children.map(({ ended }) => ended));
}

async function endIfRunning(
  node: NodeConfig,
  record: ProcessRecord | undefined,
): Promise<'ended' | 'killed' | 'not running'> {
  if (record === undefined || !isRunning(record)) return 'not running';
  return endProcess(node.dataDir, record, DOWN_GRACE_MS);
}

const down: CommandSpec = {
  verb: 'down',
  summary: 'end exactly the nodes that "up" started; data stays',
  options: [DATA_OPTION],
  async run(context) {
    const config = await context.config(context.option('data'));
    const rows = await Promise.all(
      config.nodes.map(async (node) => {
        const record = readRunning(node.dataDir);
        const outcome = await endIfRunning(node, record);
        return { name: node.name, pid: record?.pid ?? null, outcome };
      }),
    );
    context.out.list('ended', rows, [
      { title: 'node', value: (row) => row.name },
      { title: 'process', value: (row) => (row.pid === null ? '-' : String(row.pid)) },
      { title: 'outcome', value: (row) => row.outcome },
    ]);
  },
};

const STATUS_COLUMNS: readonly Column<NodeStatusRow & { readonly nowMs: number }>[] = [
  { title: 'node', value: (node) => node.name },
  { title: 'address', value: (node) => `${node.host}:${node.port}` },
  { title: 'role', value: (node) => roleOf(node) },
  { title: 'state', value: (node) => node.state },
  { title: 'status', value: (node) => node.status },
  {
    title: 'up for',
    value: (node) =>
      node.bootWallMs > 0 && node.state === 'active'
        ? formatDuration(node.nowMs - node.bootWallMs)
        : '-',
    align: 'right',
  },
  { title: 'epoch', value: (node) => String(node.bootEpoch), align: 'right', wide: true },
  { title: 'stalled', value: (node) => formatDuration(node.stalledMs), align: 'right', wide: true },
];

function roleOf(node: NodeStatusRow): string {
  if (node.isLeader) return 'leader';
  return node.isCoordinator ? 'coordinator' : 'worker';
}

const status: CommandSpec = {
  verb: 'status',
  summary: 'the cluster as one node sees it',
  async run(context) {
    const client = await context.client();
    const found = await client.status({ signal: context.signal });
    if (context.out.format === 'json') return context.out.item('status', found, []);
    const leader = found.leader ?? 'none';
    context.out.line(
      `cluster ${found.cluster}, leader ${leader}, term ${found.term}, as ${found.node} sees it`,
    );
    const nowMs = context.io.now();
    const rows = found.nodes.map((node) => ({ ...node, nowMs }));
    context.out.list('nodes', rows, STATUS_COLUMNS);
  },
};

const node: CommandSpec = {
  verb: 'node',
  summary: 'run one node of the config file, here, until it is interrupted',
  args: [{ name: 'name', help: 'its name in the file' }],
  options: [DATA_OPTION],
  async run(context) {
    const config = await context.config(context.option('data'));
    const name = context.arg('name');
    if (!config.nodes.some((candidate) => candidate.name === name)) {
      const names = config.nodes.map((candidate) => candidate.name).join(', ');
      throw new IdunnoError('NODE_NOT_FOUND', `${config.path} names no node "${name}": ${names}`);
    }
    // The node brings LevelDB, ONNX and threads along: no other command should load them.
    const { runNode } = await import('../../node/index.js');
    await runNode({ config, name, signal: context.signal, say: (line) => context.out.note(line) });
  },
};

const shell: CommandSpec = {
  verb: 'shell',
  summary: 'a prompt at one node; understands the classic course commands, too',
  details: 'Type help at the prompt. Commands may also come from a pipe.',
  async run(context) {
    await runShell(context);
  },
};

export const CLUSTER_COMMANDS: readonly CommandSpec[] = [up, down, status, node, shell];
