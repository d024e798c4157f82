/** `idunno logs …`: searching the logs of all nodes at once, and emptying them. */
import { IdunnoError } from '../../base/index.js';
import type { ClearRow, LogQuery, NodeReport } from '../../logs/index.js';
import { formatBytes, plural } from '../format.js';
import type { LogLine, LogReport } from '../log-query.js';
import type { Column, Output } from '../output.js';
import type { CommandContext, CommandSpec } from '../types.js';

const REPORT_COLUMNS: readonly Column<NodeReport>[] = [
  { title: 'node', value: (row) => row.node },
  { title: 'status', value: (row) => row.status },
  { title: 'matches', value: (row) => String(row.matches), align: 'right' },
  { title: 'bytes', value: (row) => String(row.bytes), align: 'right' },
  { title: 'ms', value: (row) => String(row.ms), align: 'right' },
  { title: 'error', value: (row) => row.error ?? '', wide: true },
];

/** What a query came to. */
interface GrepOutcome {
  readonly reports: readonly NodeReport[];
  readonly matches: number;
  /** Nodes whose lines are not all there. */
  readonly missing: readonly NodeReport[];
}

/** Hands each line on as it comes; reports in order of the nodes' names. */
async function collectGrep(
  stream: AsyncIterable<LogLine | LogReport>,
  onLine: (line: LogLine) => Promise<void>,
): Promise<GrepOutcome> {
  const reports: NodeReport[] = [];
  for await (const item of stream) {
    if (item.kind === 'line') await onLine(item);
    else {
      const { kind: _kind, ...report } = item;
      reports.push(report);
    }
  }
  reports.sort((a, b) => (a.node < b.node ? -1 : 1));
  const matches = reports.reduce((sum, report) => sum + report.matches, 0);
  return { reports, matches, missing: reports.filter(({ status }) => status !== 'ok') };
}

/** `n1:LINE`. */
function prefixed({ node, bytes }: LogLine): Uint8Array {
  return Buffer.concat([Buffer.from(`${node}:`), bytes]);
}

function totalSentence({ reports, matches }: GrepOutcome): string {
  return `${plural(matches, 'line')} in the logs of ${plural(reports.length, 'node')}`;
}

/** Undefined when every node has answered in full. */
function missingSentence({ missing }: Pick<GrepOutcome, 'missing'>): string | undefined {
  if (missing.length === 0) return undefined;
  const named = missing.map(({ node, status, error }) => `${node} (${error ?? status})`);
  return `partial: lines are missing of ${named.join(', ')}; all others are complete`;
}

/** The same under two names; the classic one writes everything to stdout, as at its prompt. */
function grepCommand(noun: 'logs' | 'classic'): CommandSpec {
  return { ...GREP, noun, run: (context) => runGrep(context, noun === 'classic') };
}

const GREP: Omit<CommandSpec, 'run'> = {
  verb: 'grep',
  summary: 'search the logs of all nodes, as grep does',
  details: `Any node can be asked; it asks all others at once, also while there is no leader. Nodes that have
left are not asked. Lines are written as NODE:LINE, then a table of the nodes on stderr. With -o json
each line is a document with its node, segment and byte offset; the last one holds the reports.
PATTERN is what grep takes in the C locale, but for back-references. Exit codes: 0 lines were found,
1 none, 6 some node did not answer in full (it is named).
  idunno logs grep -E '"event":"(job|task)[.]' -m 20
  idunno logs grep -c -F member.change --only n1,n3`,
  args: [
    { name: 'pattern', help: 'a basic regular expression; with -E extended, with -F plain text' },
  ],
  options: [
    { flags: '-i, --ignore-case', help: 'letters match in either case' },
    { flags: '-v, --invert-match', help: 'lines that do not match' },
    { flags: '-F, --fixed-strings', help: 'PATTERN is text, one in each line' },
    { flags: '-E, --extended-regexp', help: 'PATTERN is an extended regular expression' },
    { flags: '-c, --count', help: 'the number of lines of each node, not the lines' },
    { flags: '-m, --max-count <n>', help: 'at most so many lines of each node, the oldest' },
    { flags: '--only <nodes>', help: 'only the logs of these nodes, separated by commas' },
  ],
};

async function runGrep(context: CommandContext, isClassic: boolean): Promise<void> {
  const query = queryOf(context);
  const only = namesOf(context.option('only'));
  const client = await context.client();
  const stream = client.logsGrep(query, {
    signal: context.signal,
    ...(context.target.timeoutMs === undefined ? {} : { budgetMs: context.target.timeoutMs }),
    ...(only === undefined ? {} : { only }),
  });
  const outcome = await collectGrep(stream, (line) => writeLine(context.out, line));
  const isTableResult = isClassic || query.countOnly;
  writeOutcome(context.out, isTableResult, outcome);
  context.setExitCode(outcome.missing.length > 0 ? 6 : outcome.matches > 0 ? 0 : 1);
}

function queryOf(context: CommandContext): LogQuery {
  const isFixed = context.flag('fixedStrings');
  const isExtended = context.flag('extendedRegexp');
  if (isFixed && isExtended) throw new IdunnoError('USAGE', 'use one of -F and -E, not both');
  return {
    pattern: context.arg('pattern'),
    syntax: isFixed ? 'fixed' : isExtended ? 'extended' : 'basic',
    ignoreCase: context.flag('ignoreCase'),
    invert: context.flag('invertMatch'),
    countOnly: context.flag('count'),
    max: context.numberOption('maxCount', { min: 1, max: Number.MAX_SAFE_INTEGER }) ?? null,
  };
}

function namesOf(list: string | undefined): string[] | undefined {
  const names = list?.split(',').map((name) => name.trim());
  if (names?.some((name) => name === '') === true) {
    throw new IdunnoError('USAGE', `--only takes names with commas between them, not "${list}"`);
  }
  return names;
}

async function writeLine(out: Output, line: LogLine): Promise<void> {
  if (out.format !== 'json') {
    await out.bytes(prefixed(line));
    return;
  }
  const { node, segment, offset, bytes } = line;
  const document = { node, segment, offset, line: Buffer.from(bytes).toString() };
  await out.bytes(Buffer.from(JSON.stringify(document)));
}

function writeOutcome(out: Output, isTableResult: boolean, outcome: GrepOutcome): void {
  const { reports, matches, missing } = outcome;
  if (out.format === 'json') {
    out.jsonLine({
      kind: 'logs',
      version: 1,
      nodes: reports,
      matches,
      partial: missing.length > 0,
    });
    return;
  }
  const say = (text: string): void => (isTableResult ? out.line(text) : out.note(text));
  say(out.rendered(reports, REPORT_COLUMNS));
  say(totalSentence(outcome));
  const warning = missingSentence(outcome);
  if (warning !== undefined) out.note(warning);
}

const CLEAR_COLUMNS: readonly Column<ClearRow>[] = [
  { title: 'node', value: (row) => row.node },
  { title: 'status', value: (row) => row.status },
  { title: 'segments', value: (row) => String(row.segments), align: 'right' },
  { title: 'size', value: (row) => formatBytes(row.bytes), align: 'right' },
  { title: 'error', value: (row) => row.error ?? '' },
];

const clear: CommandSpec = {
  noun: 'logs',
  verb: 'clear',
  summary: 'empty the logs of nodes, or of all; what was in them is gone',
  args: [{ name: 'nodes', help: 'whose logs', optional: true, variadic: true }],
  options: [{ flags: '--all', help: 'of all nodes that have not left' }],
  async run(context) {
    const nodes = context.argList('nodes');
    const isAll = context.flag('all');
    if (isAll === nodes.length > 0) {
      throw new IdunnoError('USAGE', 'whose logs? Name nodes, or say --all');
    }
    await context.confirm(`Empty the logs of ${isAll ? 'all nodes' : nodes.join(', ')}?`);
    const client = await context.client();
    const rows = await client.logsClear(isAll ? undefined : nodes, { signal: context.signal });
    context.out.list('cleared', rows, CLEAR_COLUMNS);
    const failed = rows.filter(({ status }) => status === 'failed').map(({ node }) => node);
    if (failed.length === 0) return;
    throw new IdunnoError('PARTLY_DONE', `the logs of ${failed.join(', ')} were not emptied`);
  },
};

export const LOG_COMMANDS: readonly CommandSpec[] = [grepCommand('logs'), clear];

/** `grep` at the classic prompt. */
export const CLASSIC_GREP: CommandSpec = grepCommand('classic');
