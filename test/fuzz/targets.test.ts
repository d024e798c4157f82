/**
 * Each target of the fuzzer: the inputs that once failed, and a few cases. `npm run fuzz -- all` tries
 * many more.
 */
import t from 'tap';
import { readCorpus } from '../../fuzz/corpus.js';
import { runCases } from '../../fuzz/engine.js';
import { TARGETS } from '../../fuzz/targets/index.js';
import { runWatched } from '../../fuzz/watched.js';

for (const target of TARGETS) {
  t.test(`${target.name}: ${target.summary}`, async (t) => {
    const run = { seed: 'tests', cases: target.casesInTests, from: 0, isCorpusTried: true };
    // The decoders of pictures are native: a crash must not take the test with it.
    const isNative = target.name === 'images';
    const result = isNative
      ? await runWatched(target, run)
      : await runCases(target, { ...run, corpus: readCorpus(target.name) });
    t.same(
      result.failures.map(({ at, problem, shrunk }) => ({
        at,
        problem,
        shrunk: Buffer.from(shrunk).toString('hex'),
      })),
      [],
    );
    t.equal(result.accepted + result.refused, run.cases + result.corpus, 'each was judged');
    t.ok(result.accepted > run.cases / 20, `${result.accepted} of ${run.cases} were accepted`);
    t.ok(result.refused > run.cases / 20, `${result.refused} of ${run.cases} were refused`);
  });
}
