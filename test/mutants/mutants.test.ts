/** The drill of mutations itself: do its patches fit, and does it tell a catch from a breakdown? */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CATALOGUE } from '../../mutants/catalogue.js';
import { patch, PatchError } from '../../mutants/patch.js';
import { catalogueIds, idsInTable, renderTable, replaceRows } from '../../mutants/table.js';
import { type Ended, judgeSimulation, judgeTest } from '../../mutants/verdict.js';
import { projectRoot } from '../raft/root.js';

const ROOT = projectRoot();

t.test('every mutation fits the code exactly once, and compiles', (t) => {
  for (const mutation of CATALOGUE) {
    t.doesNotThrow(() => patch(ROOT, mutation), `${mutation.id} ${mutation.mistake}`);
    t.ok(mutation.tests.length > 0, 'somebody may notice it');
    for (const test of mutation.tests) {
      t.ok(
        existsSync(join(ROOT, 'test', `${test}.test.ts`)),
        `${mutation.id}: test/${test}.test.ts`,
      );
    }
  }
  t.equal(new Set(catalogueIds()).size, CATALOGUE.length, 'no id twice');
  t.end();
});

t.test('the published table is about these mutations', (t) => {
  const document = readFileSync(join(ROOT, 'docs/raft.md'), 'utf8');
  t.same(idsInTable(document), catalogueIds(), 'npm run mutants -- --write');
  t.end();
});

t.test('a patch that fits nowhere, or twice, or is no code, is refused', (t) => {
  const edit = { file: 'raft/quorum.ts', find: 'no such words', put: '' };
  const of = (part: Partial<typeof edit>) => () =>
    patch(ROOT, {
      id: 'T',
      mistake: '',
      edits: [{ ...edit, ...part }],
      tests: [],
      isSimulated: false,
    });
  t.throws(of({}), PatchError);
  t.throws(of({}), /contains 0 times, not once/);
  t.throws(of({ find: 'return' }), /times, not once/);
  t.throws(of({ find: 'return Math.floor(voterCount / 2) + 1;', put: 'return (;' }), /not compile/);
  t.end();
});

const ENDED: Ended = { status: 0, signal: undefined, isTimeout: false, stdout: '', stderr: '' };

t.test('a test catches only by a test that failed', (t) => {
  const failed = 'ok 1 - a\nnot ok 2 - b holds # time=3ms\n1..2\n';
  const judge = (part: Partial<Ended>) => judgeTest('x', { ...ENDED, ...part });
  t.same(judge({ status: 1, stdout: failed }), { kind: 'caught', by: 'x: b holds' });
  t.same(judge({ stdout: 'ok 1 - a\n1..1\n' }), { kind: 'missed' });
  t.match(judge({ status: 1, stdout: 'ok 1 - a\n1..1\n' }), { kind: 'broken' });
  t.match(judge({ stdout: '' }), { kind: 'broken' }, 'nothing was run');
  t.match(judge({ status: undefined, signal: 'SIGKILL', stdout: failed }), {
    kind: 'broken',
    why: /ended from outside by SIGKILL/,
  });
  t.match(judge({ status: undefined, isTimeout: true, stdout: failed }), { kind: 'broken' });
  t.match(judge({ status: 1, stdout: `${failed}ReferenceError: x is not defined` }), {
    kind: 'broken',
    why: /ReferenceError/,
  });
  t.end();
});

t.test('the simulator catches only by a broken promise', (t) => {
  const judge = (part: Partial<Ended>) => judgeSimulation({ ...ENDED, ...part });
  const violations = [{ seed: 7, invariant: 'one-vote' }];
  t.same(judge({ status: 1, stdout: JSON.stringify({ violations }) }), {
    kind: 'caught',
    by: 'one-vote',
    seed: 7,
  });
  // Another target missed, say the speed, is no catch.
  t.same(judge({ status: 1, stdout: JSON.stringify({ seeds: 9, violations: [] }) }), {
    kind: 'missed',
    seeds: 9,
  });
  t.match(judge({ status: 1, stderr: 'TypeError: x\n' }), { kind: 'broken', why: /TypeError/ });
  t.match(judge({ status: undefined, signal: 'SIGTERM' }), { kind: 'broken' });
  t.end();
});

t.test('the table says who noticed; new rows take the place of old ones', (t) => {
  const [mutation] = CATALOGUE;
  if (mutation === undefined) throw new Error('an empty catalogue');
  const table = renderTable([
    {
      mutation,
      simulation: { kind: 'caught', by: 'one-vote', seed: 7 },
      test: { kind: 'caught', by: 'x: a | b' },
    },
  ]);
  t.match(table, `| ${mutation.id} | ${mutation.mistake} | one-vote, seed 7 | x: a \\| b |`);
  const other = catalogueIds()[1] ?? '';
  const old = `| ${other} | kept |\n| ${mutation.id} | old |\n| Z99 | is no more |`;
  const document = `before\n<!-- mutants: begin -->\n${old}\n<!-- mutants: end -->\nafter\n`;
  const replaced = replaceRows(document, table);
  t.notMatch(replaced, 'old');
  t.match(replaced, `| ${other} | kept |`);
  t.same(idsInTable(replaced), [mutation.id, other]);
  t.match(replaced, /^before\n[\s\S]*after\n$/);
  t.throws(() => replaceRows('nothing', table), /no place/);
  t.end();
});
