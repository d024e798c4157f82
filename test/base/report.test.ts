/** The document that simulations, drills and the demonstration print. */
import t from 'tap';
import {
  createReport,
  describeTargets,
  percentile,
  target,
  targetBesidePeer,
} from '../../src/base/index.js';

t.test('a target is met at the goal itself and missed beyond it', async (t) => {
  t.equal(target('a', 'ms', 'at-most', 50, 50).ok, true);
  t.equal(target('a', 'ms', 'at-most', 50, 50.1).ok, false);
  t.equal(target('a', 'x', 'at-least', 2, 2).ok, true);
  t.equal(target('a', 'x', 'at-least', 2, 1.9).ok, false);
  t.equal(target('a', 'writes', 'equal', 0, 0).ok, true);
  t.equal(target('a', 'writes', 'equal', 0, 1).ok, false);
});

t.test('what could not be measured meets no goal', async (t) => {
  for (const is of ['at-most', 'at-least', 'equal'] as const) {
    t.equal(target('a', 'ms', is, 50, Number.NaN).ok, false);
  }
});

t.test('beside a peer the goal is a multiple of what the peer reached', async (t) => {
  const met = targetBesidePeer('writes', '1/s', 'at-least', 2, 5_000, 2_500);
  t.match(met, { ok: true, goal: 5_000, peer: 2_500, ratio: 2 });
  t.equal(targetBesidePeer('writes', '1/s', 'at-least', 2, 4_900, 2_500).ok, false);
  t.equal(targetBesidePeer('p50', 'ms', 'at-most', 1, 1.1, 1).ok, false);
  t.equal(targetBesidePeer('p50', 'ms', 'at-most', 1, 1, Number.NaN).ok, false, 'no peer');
  t.match(describeTargets(createReport('bench', [met], {})), /peer 2500, ratio 2/);
});

t.test('a report is ok only if every target is met and nothing else failed', async (t) => {
  const good = target('a', 'ms', 'at-most', 50, 10);
  const bad = target('b', 'ms', 'at-most', 50, 60);
  t.equal(createReport('drill', [good], {}).ok, true);
  t.equal(createReport('drill', [good, bad], {}).ok, false);
  t.equal(createReport('drill', [good], {}, ['a node would not start']).ok, false);
});

t.test('a report says on which commit and machine it was made', async (t) => {
  const report = createReport('drill', [], { rounds: 3 });
  t.match(report.machine, /Node v\d+/);
  t.type(report.commit, 'string');
  t.equal(report['rounds'], 3);
  t.match(describeTargets(report), /^drill: ok/);
});

t.test('percentiles are values of the sample, by nearest rank', async (t) => {
  const samples = [5, 1, 4, 2, 3];
  t.equal(percentile(samples, 50), 3);
  t.equal(percentile(samples, 100), 5);
  t.equal(percentile(samples, 1), 1);
  t.ok(Number.isNaN(percentile([], 50)));
  t.same(samples, [5, 1, 4, 2, 3], 'the sample is left as it was');
});
