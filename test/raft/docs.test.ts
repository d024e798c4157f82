/**
 * What docs/raft.md says about code and tests is true: every file that its tables name exists, every
 * name that follows a file is in that file, every quoted title is a title of a test there.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { projectRoot } from './root.js';

const text = readFileSync(join(projectRoot(), 'docs/raft.md'), 'utf8');

/** Rows of the tables below a heading, as cells; without the heads. */
function rowsBelow(heading: string): string[][] {
  const [, after] = text.split(`\n## ${heading}\n`);
  const section = after?.split('\n## ')[0] ?? '';
  return section
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-| ]+\|$/.test(line))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))
    .filter((cells) => !HEADS.has(cells.at(-1) ?? ''));
}

const HEADS: ReadonlySet<string> = new Set(['Ours', 'Shown by']);

function codePath(name: string): string {
  return name.includes('/') ? name : `src/raft/${name}`;
}

function testPath(name: string): string {
  if (name.startsWith('test/')) return name;
  if (name.startsWith('sim/')) return `src/${name}`;
  return name.endsWith('.txt') ? `test/raft/scripts/${name}` : `test/raft/${name}`;
}

/** Titles of the tests in a file, as they are written: placeholders of templates included. */
function titlesOf(source: string): string[] {
  const titles = source.matchAll(/\btest\(\s*(?:'((?:\\.|[^'])*)'|`((?:\\.|[^`])*)`)/g);
  return [...titles].map(([, plain, template]) => (plain ?? template ?? '').replaceAll("\\'", "'"));
}

/** `file.ts` `name`, `name`: the names are in the file before them. Returns how many files. */
function checkCode(t: Test, cell: string): number {
  let source = '';
  let files = 0;
  for (const [, token = ''] of cell.matchAll(/`([^`]+)`/g)) {
    if (token.endsWith('.ts')) {
      const path = join(projectRoot(), codePath(token));
      t.ok(existsSync(path), `${codePath(token)} exists`);
      source = readFileSync(path, 'utf8');
      files += 1;
    } else {
      t.match(source, new RegExp(`\\b${token}\\b`), `${token} is in the file before it`);
    }
  }
  return files;
}

/** `file.test.ts` "title"; "title": titles of the file before them. Returns how many tests. */
function checkTests(t: Test, cell: string): number {
  let titles: string[] = [];
  let shown = 0;
  for (const [, file, title] of cell.matchAll(/`([^`]+)`|"([^"]+)"/g)) {
    if (file !== undefined) {
      const path = join(projectRoot(), testPath(file));
      t.ok(existsSync(path), `${testPath(file)} exists`);
      titles = titlesOf(readFileSync(path, 'utf8'));
      if (!file.endsWith('.test.ts')) shown += 1;
    } else if (title !== undefined) {
      t.ok(
        titles.some((candidate) => candidate.includes(title)),
        `"${title}" is a test of the file before it`,
      );
      shown += 1;
    }
  }
  return shown;
}

t.test('every case of the public lists has a test of ours', (t) => {
  const rows = rowsBelow('The public lists');
  t.equal(rows.length, 32 + 22 + 26, 'scenarios, paper tests, laboratory');
  for (const cells of rows) {
    t.ok(checkTests(t, cells.at(-1) ?? '') > 0, `${cells[0]} has one`);
  }
  const paperTests = rows.flatMap(([first = '']) => [...first.matchAll(/Test\w+/g)]);
  t.equal(paperTests.length, 26, 'paper tests');
  t.end();
});

t.test('every pitfall is avoided somewhere, and a test shows it', (t) => {
  const rows = rowsBelow('Sixty ways to get it wrong');
  t.same(
    rows.map(([number]) => Number(number)),
    Array.from({ length: 60 }, (_, at) => at + 1),
  );
  for (const [number, , code = '', tests = ''] of rows) {
    t.ok(checkCode(t, code) > 0, `${number} names code`);
    t.ok(checkTests(t, tests) > 0, `${number} names a test`);
  }
  t.end();
});
