/** Numbers and nouns as people read them. */
import t from 'tap';
import { plural } from '../../src/cli/format.js';

t.test('nouns are counted in good English', async (t) => {
  t.equal(plural(1, 'query'), '1 query');
  t.equal(plural(0, 'query'), '0 queries');
  t.equal(plural(2, 'file'), '2 files');
  t.equal(plural(2, 'key'), '2 keys');
  t.equal(plural(3, 'match'), '3 matches');
});
