/** The catalogue of errors is one: code, advice and document say the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ERROR_CODES, type ErrorCode, IdunnoError } from '../../src/base/index.js';
import { packageRoot } from '../../src/cli/index.js';
import {
  EFFECT_TEXT,
  exitCodeOf,
  NEXT_STEP,
  renderError,
  renderSentence,
} from '../../src/cli/render-error.js';

const document = readFileSync(join(packageRoot(), 'docs/errors.md'), 'utf8');

function documentedRows(): Map<string, readonly string[]> {
  const rows = new Map<string, readonly string[]>();
  for (const line of document.split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim());
    const code = /^`([A-Z_]+)`$/.exec(cells[1] ?? '')?.[1];
    if (code !== undefined) rows.set(code, cells);
  }
  return rows;
}

t.test('docs/errors.md lists every code and no other', async (t) => {
  t.same([...documentedRows().keys()].sort(), Object.keys(ERROR_CODES).sort());
});

t.test('docs/errors.md says what the code says: effect, retry, exit code, next step', async (t) => {
  const rows = documentedRows();
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const [, , meaning = '', effect, retry, exit, next] = rows.get(code) ?? [];
    const facts = ERROR_CODES[code];
    t.ok(meaning.length > 10, `${code} has a meaning`);
    t.equal(effect, EFFECT_TEXT[facts.effect], `${code}: effect`);
    t.equal(retry, facts.retry ? 'safe' : 'will not help', `${code}: retry`);
    t.equal(exit, String(facts.exit), `${code}: exit`);
    t.equal(next, NEXT_STEP[code], `${code}: next`);
  }
});

t.test('every exit code that errors use is explained', async (t) => {
  const used = new Set(Object.values(ERROR_CODES).map((facts) => facts.exit));
  for (const exit of used) t.match(document, new RegExp(`^\\| ${exit} \\|`, 'm'), `exit ${exit}`);
});

t.test('an error is shown with its effect, whether a retry helps, and the next step', async (t) => {
  const shown = renderError(new IdunnoError('FILE_NOT_FOUND', 'no file "cat.png"'));
  t.equal(
    shown,
    'error: no file "cat.png"\n' +
      '  effect: nothing was changed; retry: will not help; ' +
      'next: idunno file list shows the names there are',
  );
});

t.test('a thrown value that is no known error is shown as a bug with exit code 70', async (t) => {
  t.match(renderError(new TypeError('x is not a function')), /^error: x is not a function\n.*bug/);
  t.equal(exitCodeOf(new TypeError('x')), 70);
  t.equal(exitCodeOf('text'), 70);
});

t.test('the shell shows an error as one sentence', async (t) => {
  const shown = renderSentence(new IdunnoError('JOB_NOT_FOUND', 'no job 9.'));
  t.equal(shown.split('\n').length, 1);
  t.match(shown, /^error: no job 9 \(nothing was changed; /);
});
