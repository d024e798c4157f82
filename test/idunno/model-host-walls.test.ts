/** What the process of a model may read, asked of Node itself for each way a package can lie. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ENV_COMMAND, permittedReads } from '../../src/idunno/model-host-walls.js';

const root = mkdtempSync(join(tmpdir(), 'idunno-walls-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

for (const path of ['app/src/main.js', 'app/node_modules/a/index.js', 'app/node_modules/b/x.js']) {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), '');
}
mkdirSync(join(root, 'linked/src'), { recursive: true });
symlinkSync(join(root, 'app/node_modules'), join(root, 'linked/node_modules'));
writeFileSync(join(root, 'secret'), '');

/** `ok` or the refusal for each path, as a process under these walls sees it. */
function asked(values: readonly string[], paths: readonly string[]): string[] {
  const script = `
    const { statSync } = require('node:fs');
    const ask = (path) => { try { statSync(path); return 'ok'; } catch (e) { return e.code; } };
    console.log(JSON.stringify(JSON.parse(process.argv[1]).map(ask)));`;
  const absolute = paths.map((path) => join(root, path));
  // A test runner's preload, which it adds to all it sees started, would fail inside the walls.
  const { stdout, stderr, status } = spawnSync(
    ENV_COMMAND,
    [
      '-u',
      'NODE_OPTIONS',
      process.execPath,
      '--experimental-permission',
      '--no-warnings',
      ...values.map((value) => `--allow-fs-read=${value}`),
      '-e',
      script,
      JSON.stringify(absolute),
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) return [`node ended ${status}: ${stderr.slice(0, 300)}`];
  return JSON.parse(stdout) as string[];
}

const within = (...paths: string[]): string[] => paths.map((path) => join(root, path));
const REFUSED = 'ERR_ACCESS_DENIED';

t.test('libraries beside the code: the folder is named once, and its neighbours stay shut', (t) => {
  const values = permittedReads(
    within('app/src/node_modules', 'app/package.json', 'app/node_modules', 'node_modules'),
    within('app/src', 'app/node_modules', 'app/node_modules'),
  );
  t.same(
    asked(values, ['app/src/main.js', 'app/node_modules', 'app/node_modules/a/index.js', 'secret']),
    ['ok', 'ok', 'ok', REFUSED],
  );
  t.end();
});

t.test('a folder inside another one takes nothing away from it', (t) => {
  const values = permittedReads([], within('app/node_modules/b', 'app/node_modules', 'app/src'));
  t.same(
    asked(values, ['app/node_modules/a/index.js', 'app/node_modules/b/x.js', 'app/package.json']),
    ['ok', 'ok', REFUSED],
  );
  t.end();
});

t.test('libraries behind a link: the link may be read, and where it leads', (t) => {
  const values = permittedReads(
    within('linked/node_modules', 'linked/package.json'),
    within('linked/src', 'app/node_modules'),
  );
  t.same(asked(values, ['linked/node_modules', 'app/node_modules/a/index.js', 'secret']), [
    'ok',
    'ok',
    REFUSED,
  ]);
  t.end();
});
