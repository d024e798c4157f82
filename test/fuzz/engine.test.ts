/** The fuzzer itself: it finds mistakes that were made on purpose, makes them small, and repeats them. */
import t from 'tap';
import { must } from '../../src/base/index.js';
import { caseOf, runCases } from '../../fuzz/engine.js';
import { TARGETS } from '../../fuzz/targets/index.js';
import { runWatched } from '../../fuzz/watched.js';
import { type Mistake, planted } from './planted.js';

const CASES = 2_000;

t.test('a reader without mistakes passes', async (t) => {
  const result = await runCases(planted('none'), { seed: '1', cases: CASES });
  t.same(result.failures, []);
  t.equal(result.accepted + result.refused, CASES);
  t.ok(result.accepted > CASES / 10 && result.refused > CASES / 10, 'both happen');
});

const MISTAKES: readonly [Mistake, RegExp, number][] = [
  ['length', /means something else/, 2],
  ['untyped', /TypeError/, 3],
  ['meaning', /means something else/, 3],
];

for (const [mistake, said, bytes] of MISTAKES) {
  t.test(`the mistake "${mistake}" is found and made small`, async (t) => {
    const target = planted(mistake);
    const { failures } = await runCases(target, { seed: '1', cases: CASES });
    const first = must(failures[0], 'a failure');
    t.match(first.problem, said);
    const smallest = Math.min(...failures.map(({ shrunk }) => shrunk.length));
    t.ok(smallest <= bytes + 2, `the smallest has ${smallest} bytes`);
    await t.rejects(async () => void (await target.check(first.shrunk)), 'it fails as well');
    const at = must(first.at, 'the case');
    const again = await runCases(target, { seed: '1', cases: 1, from: at });
    t.same(again.failures[0]?.input, first.input, 'the same case by its number');
    const kept = await runCases(target, { seed: '2', cases: 0, corpus: [first.shrunk] });
    t.equal(kept.failures.length, 1, 'as a file of the corpus it is tried first');
  });
}

/** Only what hangs is to be ended for its time: the others have as long as they need. */
const FATAL: readonly [Mistake, RegExp, number][] = [
  ['hang', /did not end/, 5_000],
  ['exit', /the process died: SIGKILL/, 120_000],
  ['memory', /the process died|of memory/, 120_000],
];

for (const [mistake, said, caseMsMax] of FATAL) {
  t.test(`the mistake "${mistake}" costs the child, and its case is known`, async (t) => {
    const target = planted(mistake);
    const targets = new URL('./planted.js', import.meta.url).href;
    const order = { seed: '1', cases: CASES, from: 0, isCorpusTried: false };
    const { failures } = await runWatched(target, { ...order, targets, caseMsMax });
    const [failure] = failures;
    t.match(failure?.problem, said);
    t.match(Buffer.from(failure?.input ?? []).toString('latin1'), /q/, 'the input is the one');
  });
}

t.test('a case is a function of target, seed and number alone', async (t) => {
  for (const target of TARGETS) {
    const first = [0, 1, 2, 3].map((at) => caseOf(target, 's', at).input);
    const again = [3, 2, 1, 0].map((at) => caseOf(target, 's', at).input).reverse();
    t.same(first, again, target.name);
    const others = [0, 1, 2, 3].map((at) => caseOf(target, 'z', at).input);
    t.notSame(first, others, target.name);
  }
});
