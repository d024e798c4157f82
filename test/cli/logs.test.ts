/** `idunno logs` as a person sees it: what goes to stdout, what to stderr, and exit codes. */
import t from 'tap';
import type { ApiClient } from '../../src/cli/api-client.js';
import type { LogLine, LogReport } from '../../src/cli/log-query.js';
import type { LogQuery } from '../../src/logs/index.js';
import { runCli } from './support.js';

const LINE: LogLine = {
  kind: 'line',
  node: 'n1',
  segment: 'node.log.3',
  offset: 17,
  bytes: Buffer.from([0x61, 0xff, 0x62]),
};

function report(node: string, facts: Partial<LogReport> = {}): LogReport {
  const whole = { status: 'ok', matches: 1, bytes: 100, ms: 3, error: null } as const;
  return { kind: 'report', node, ...whole, ...facts };
}

interface Asked {
  query?: LogQuery;
  only?: readonly string[] | undefined;
  budgetMs?: number | undefined;
}

function clientOf(items: readonly (LogLine | LogReport)[], asked: Asked = {}): Partial<ApiClient> {
  return {
    async *logsGrep(query, { only, budgetMs } = {}) {
      Object.assign(asked, { query, only, budgetMs });
      yield* items;
    },
  };
}

t.test('lines go to stdout byte for byte, the table to stderr', async (t) => {
  const client = clientOf([LINE, report('n2', { matches: 0 }), report('n1')]);
  const ran = await runCli(['logs', 'grep', 'a'], { client });
  t.equal(ran.code, 0);
  t.equal(ran.stdout, `n1:${Buffer.from(LINE.bytes).toString()}\n`);
  t.match(ran.stderr, /NODE +STATUS +MATCHES +BYTES +MS\nn1 +ok +1 +100 +3\nn2 +ok +0 /);
  t.match(ran.stderr, /1 line in the logs of 2 nodes/);
});

t.test('with -c the table is the result; options are passed on', async (t) => {
  const asked: Asked = {};
  const client = clientOf([report('n1', { matches: 7 })], asked);
  const args = ['logs', 'grep', '-i', '-v', '-E', '-c', '-m', '9', '--only', 'n1, n2', 'x|y'];
  const ran = await runCli([...args, '--timeout', '3'], { client });
  t.equal(ran.code, 0);
  t.match(ran.stdout, /n1 +ok +7 /);
  t.same(asked, {
    query: {
      pattern: 'x|y',
      syntax: 'extended',
      ignoreCase: true,
      invert: true,
      countOnly: true,
      max: 9,
    },
    only: ['n1', 'n2'],
    budgetMs: 3_000,
  });
  await runCli(['logs', 'grep', '-F', '--', '-c'], { client });
  t.match(asked.query, { pattern: '-c', syntax: 'fixed', countOnly: false, max: null });
});

t.test('json has one document for each line and one at the end', async (t) => {
  const client = clientOf([LINE, report('n1'), report('n2', { status: 'down', error: 'gone' })]);
  const ran = await runCli(['logs', 'grep', 'a', '-o', 'json'], { client });
  const [line, end] = ran.stdout
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text) as object);
  t.match(line, { node: 'n1', segment: 'node.log.3', offset: 17 });
  t.match(end, {
    kind: 'logs',
    version: 1,
    matches: 2,
    partial: true,
    nodes: [{}, { node: 'n2' }],
  });
  t.equal(ran.code, 6);
});

t.test('nothing found is exit code 1; a node that did not answer is named with 6', async (t) => {
  const none = await runCli(['logs', 'grep', 'a'], {
    client: clientOf([report('n1', { matches: 0 })]),
  });
  t.equal(none.code, 1);
  const items = [LINE, report('n1'), report('n2', { status: 'silent', matches: 0, error: null })];
  const partial = await runCli(['logs', 'grep', 'a'], { client: clientOf(items) });
  t.equal(partial.code, 6);
  t.match(partial.stderr, /partial: lines are missing of n2 \(silent\); all others are complete/);
  const classic = await runCli(['classic', 'grep', 'a'], { client: clientOf(items) });
  t.equal(classic.code, 6);
  t.match(
    classic.stdout,
    /n2 +silent +0 /,
    'at the classic prompt the table is part of the result',
  );
});

t.test('a clear that did not reach every node is partly done', async (t) => {
  const row = { segments: 2, bytes: 2048, error: null } as const;
  const asked: unknown[] = [];
  const client: Partial<ApiClient> = {
    logsClear: async (nodes) => {
      asked.push(nodes);
      return [
        { node: 'n1', status: 'cleared', ...row },
        { node: 'n2', status: 'failed', ...row, error: 'it is down' },
      ];
    },
  };
  const ran = await runCli(['logs', 'clear', '--all', '--yes'], { client });
  t.equal(ran.code, 6);
  t.match(ran.stdout, /n1 +cleared +2 +2\.0 KiB/);
  t.match(ran.stderr, /the logs of n2 were not emptied/);
  await runCli(['logs', 'clear', 'n1', '--yes'], { client });
  t.same(asked, [undefined, ['n1']]);
  const unasked = await runCli(['logs', 'clear', 'n1'], { client });
  t.equal(unasked.code, 2, 'nobody can be asked here');
  t.equal(asked.length, 2);
});
