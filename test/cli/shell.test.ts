/** The prompt: its lines, its errors, its help. The classic commands have tests of their own. */
import t from 'tap';
import { IdunnoError } from '../../src/base/index.js';
import type { ApiClient } from '../../src/cli/api-client.js';
import { tokenize } from '../../src/cli/shell/tokenize.js';
import { memberOf, runCli } from './support.js';

const shell = (stdin: string, client: Partial<ApiClient> = {}, cwd = '/') =>
  runCli(['shell', '--node', 'n1'], { stdin, client, cwd });

t.test('noun-verb commands work at the prompt, too, with its node', async (t) => {
  const asked: unknown[] = [];
  const client: Partial<ApiClient> = {
    memberSelf: async (options) => {
      asked.push(options?.node);
      return memberOf('n1');
    },
  };
  const { code, stdout } = await shell('member self\n', client);
  t.equal(code, 0);
  t.match(stdout, /n1:23:04:12/);
  t.same(asked, ['n1']);
});

t.test(
  'errors are one sentence, the prompt goes on, and the exit code tells of them',
  async (t) => {
    const client: Partial<ApiClient> = {
      fileDelete: async () => {
        throw new IdunnoError('FILE_NOT_FOUND', 'no file "x"');
      },
      memberSelf: async () => memberOf('n1'),
    };
    const { code, stdout, stderr } = await shell('delete x\nlist_self\n', client);
    t.equal(code, 3);
    t.match(stdout, /n1:23/);
    t.equal(stderr.trimEnd().split('\n').length, 1);
    t.match(stderr, /^error: no file "x" \(/);
  },
);

t.test('an unknown command suggests the one that was meant; exit ends the prompt', async (t) => {
  const { code, stdout, stderr } = await shell('list_mme\nexit\nlist_self\n');
  t.equal(code, 2);
  t.match(stderr, /unknown command "list_mme"; did you mean "list_mem"\?/);
  t.equal(stdout, '');
});

t.test('help lists every classic command', async (t) => {
  const { stdout } = await shell('help\n');
  const classic =
    'join leave list_mem list_self put get delete ls store get-versions train train-start ' +
    'populate-test-data upload_data add-job infer set-batch-size start-job stop-job ' +
    'get-job-stats job_info job_stats get-job-assigned-VMs';
  for (const name of classic.split(' '))
    t.match(stdout, new RegExp(`^ {2}${name}( |$)`, 'm'), name);
});

t.test('words may be quoted and escaped', async (t) => {
  t.same(tokenize(`put "my file.png"  a\\ b 'c d' # not this`), [
    'put',
    'my file.png',
    'a b',
    'c d',
  ]);
  t.same(tokenize('   '), []);
  t.throws(() => tokenize('put "x'), { code: 'USAGE' });
});
