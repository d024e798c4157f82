/** Every scenario of test/raft/scripts gives exactly the trace that is written down there. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from './root.js';
import { runScript } from './script.js';

const folder = join(projectRoot(), 'test/raft/scripts');
const files = readdirSync(folder).filter((file) => file.endsWith('.txt'));

t.ok(files.length >= 10, 'the scenarios are there');

for (const file of files.sort()) {
  t.test(`scenario ${file} leads to the trace written in it`, (t) => {
    const path = join(folder, file);
    const expected = readFileSync(path, 'utf8');
    const actual = runScript(expected);
    if (process.env['UPDATE'] === '1') writeFileSync(path, actual);
    else t.equal(actual, expected);
    t.end();
  });
}
