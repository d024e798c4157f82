/** Many nodes asked at once, on a virtual clock: what is passed on, and what is said of each node. */
import t from 'tap';
import { IdunnoError, VirtualClock } from '../../src/base/index.js';
import { FanOut, type FanOutTarget } from '../../src/logs/fan-out.js';
import { writeEvent } from '../../src/logs/protocol.js';
import type { NodeReport, ScanEvent } from '../../src/logs/index.js';
import { type CallResult, readLogRecord, readRecords } from '../../src/net/index.js';

const END: ScanEvent = {
  kind: 'end',
  report: { status: 'ok', matches: 2, bytes: 9, ms: 1, error: null },
};
const LINES: ScanEvent = {
  kind: 'lines',
  segment: 'node.log',
  offsets: [0, 3],
  lengths: [2, 2],
  bytes: Buffer.from('abcd'),
};

type Answer = (signal: AbortSignal) => Promise<CallResult>;

function says(...events: readonly ScanEvent[]): Answer {
  return async () => ({ value: null, body: bodyOf(events) });
}

async function* bodyOf(events: readonly ScanEvent[], then?: Promise<never>) {
  for (const event of events) yield writeEvent('x', event);
  if (then !== undefined) await then;
}

const NEVER = new Promise<never>(() => undefined);

/** Asks nodes n1, n2 … and reads all; the reports by node and the lines counted. */
async function ask(answers: readonly Answer[], budgetMs = 60_000) {
  const clock = new VirtualClock();
  const targets = answers.map(
    (call, at): FanOutTarget => ({ node: `n${at + 1}`, silenceMs: 4_000, call }),
  );
  const fanOut = new FanOut(targets, { budgetMs }, clock);
  const reports = new Map<string, NodeReport>();
  let lines = 0;
  const reading = (async () => {
    for await (const record of readRecords(fanOut)) {
      const said = readLogRecord(record);
      if (said.kind === 'lines') lines += said.lengths.length;
      if (said.kind === 'end') reports.set(said.node, said);
    }
  })();
  await clock.runUntil(reading, 120_000);
  return { lines, reports, tookMs: clock.now() };
}

t.test('all that is said is passed on, and each node is reported once', async (t) => {
  const { lines, reports } = await ask([says(LINES, END), says(LINES, LINES, END), says(END)]);
  t.equal(lines, 6);
  t.same([...reports.keys()].sort(), ['n1', 'n2', 'n3']);
  t.match(reports.get('n2'), { status: 'ok', matches: 2 });
});

t.test('a node that is lost in the middle is down, with the lines that came', async (t) => {
  const lost: Answer = async () => ({
    value: null,
    body: bodyOf([LINES], Promise.reject(new IdunnoError('CONNECTION_LOST', 'reset'))),
  });
  const refused: Answer = () => Promise.reject(new IdunnoError('CONNECTION_LOST', 'refused'));
  const { lines, reports } = await ask([lost, refused, says(LINES, END), says(LINES)]);
  t.equal(lines, 6);
  t.match(reports.get('n1'), { status: 'down', matches: 2, error: 'reset' });
  t.match(reports.get('n2'), { status: 'down', matches: 0, error: 'refused' });
  t.match(reports.get('n3'), { status: 'ok' });
  t.match(reports.get('n4'), { status: 'down', error: /in the middle/ }, 'an answer without end');
});

t.test('a node that says nothing is silent after its time; the others do not wait', async (t) => {
  const frozen: Answer = async () => ({ value: null, body: bodyOf([LINES], NEVER) });
  const deaf: Answer = () => NEVER;
  const { reports, tookMs } = await ask([frozen, deaf, says(END)]);
  t.match(reports.get('n1'), { status: 'silent', matches: 2 });
  t.match(reports.get('n2'), { status: 'silent', matches: 0 });
  t.match(reports.get('n3'), { status: 'ok' });
  t.ok(tookMs >= 4_000 && tookMs < 5_000, `${tookMs} ms`);
});

t.test('a node that is over the time of the query is told so, at most a moment late', async (t) => {
  const slow: Answer = async () => ({ value: null, body: bodyOf([], NEVER) });
  const { reports, tookMs } = await ask([slow], 1_000);
  t.match(reports.get('n1'), { status: 'timeout' });
  t.ok(tookMs <= 1_500, `${tookMs} ms`);
});

t.test('a node that refuses says why; one that has left is not mentioned', async (t) => {
  const busy: Answer = () => Promise.reject(new IdunnoError('BUSY', '4 log queries run here'));
  const left: Answer = () => Promise.reject(new IdunnoError('NODE_LEFT', 'n2 has left'));
  const garbage: Answer = async () => ({ value: null, body: garbageBody() });
  const { reports } = await ask([busy, left, garbage]);
  t.match(reports.get('n1'), { status: 'failed', error: /4 log queries/ });
  t.notOk(reports.has('n2'));
  t.match(reports.get('n3'), { status: 'failed', error: /record/ });
});

async function* garbageBody() {
  yield Buffer.from('this is no record at all, but long enough to be read as one');
}

t.test('a reader that has enough cancels every call', async (t) => {
  const clock = new VirtualClock();
  const aborted: string[] = [];
  const call =
    (node: string): Answer =>
    async (signal) => {
      signal.addEventListener('abort', () => aborted.push(node));
      return { value: null, body: bodyOf([LINES], NEVER) };
    };
  const targets = ['n1', 'n2'].map((node) => ({ node, silenceMs: 4_000, call: call(node) }));
  const fanOut = new FanOut(targets, { budgetMs: 60_000 }, clock);
  await fanOut.next();
  await fanOut.return();
  t.same(aborted.sort(), ['n1', 'n2']);
  t.same(await fanOut.next(), { done: true, value: undefined });
  await clock.advanceSettled(10);
  t.equal(clock.pending, 0, 'no timer is left');
});

t.test('a reader that pauses makes no node late', async (t) => {
  const clock = new VirtualClock();
  const many = Array.from({ length: 200 }, () => LINES);
  const targets = [{ node: 'n1', silenceMs: 4_000, call: says(...many, END) }];
  const fanOut = new FanOut(targets, { budgetMs: 5_000 }, clock);
  const records = readRecords(fanOut);
  await records.next();
  await clock.advanceSettled(60_000);
  let last: unknown;
  for await (const record of records) last = readLogRecord(record);
  t.match(last, { kind: 'end', status: 'ok' });
});
