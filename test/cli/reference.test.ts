/**
 * docs/cli.md says what the commands say. After a change of a command run this test with
 * UPDATE_DOCS=1: it writes the reference anew, and the diff shows what users will notice.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ALL_COMMANDS, NOUNS } from '../../src/cli/commands/index.js';
import { packageRoot } from '../../src/cli/index.js';
import { renderReference } from '../../src/cli/reference.js';
import { CLASSIC_COMMANDS } from '../../src/cli/classic/index.js';

const path = join(packageRoot(), 'docs/cli.md');
const C1_TO_C5 = '`C1` `C2` `C3` `C4` `C5`';
const START = '<!-- reference: written by test/cli/reference.test.ts -->\n';
const END = '<!-- end of reference -->\n';

t.test('docs/cli.md holds the reference of exactly the commands there are', async (t) => {
  const text = readFileSync(path, 'utf8');
  const from = text.indexOf(START) + START.length;
  const to = text.indexOf(END);
  t.ok(from >= START.length && to >= from, 'the markers are there');
  const wanted = `\n${renderReference(ALL_COMMANDS, NOUNS)}\n`;
  if (process.env['UPDATE_DOCS'] === '1') {
    writeFileSync(path, `${text.slice(0, from)}${wanted}${text.slice(to)}`);
  } else t.equal(text.slice(from, to), wanted);
});

t.test('docs/cli.md and docs/classic.md name every classic command', async (t) => {
  for (const file of ['docs/cli.md', 'docs/classic.md']) {
    const text = readFileSync(join(packageRoot(), file), 'utf8').replace('`C1` to `C5`', C1_TO_C5);
    for (const { name } of CLASSIC_COMMANDS) t.match(text, `\`${name}`, `${name} in ${file}`);
  }
});

t.test('every command has a summary without a full stop, and every argument a help', async (t) => {
  for (const { noun, verb, summary, args = [], options = [] } of ALL_COMMANDS) {
    t.notMatch(summary, /\.$/, `${noun ?? ''} ${verb}`);
    for (const { name, help } of args) t.ok(help.length > 2, `${verb} ${name}`);
    for (const { flags, help } of options) t.ok(help.length > 2, `${verb} ${flags}`);
  }
});
