/** The machine's errors as ours: code, path, next step. */
import t from 'tap';
import { IdunnoError } from '../../src/base/index.js';
import { diskError } from '../../src/base/disk-errors.js';

const CASES: readonly (readonly [errno: string, code: string, text: RegExp])[] = [
  ['ENOSPC', 'DISK_FULL', /cannot write \/d\/f: the disk is full; free space or move dataDir/],
  ['EDQUOT', 'DISK_FULL', /the disk is full/],
  ['ENOENT', 'LOCAL_FILE_NOT_FOUND', /cannot write \/d\/f: no such file/],
  ['EACCES', 'DISK_ERROR', /EACCES; give the user that runs the node access to it/],
  ['EIO', 'DISK_ERROR', /EIO; the device reports damage/],
  ['EMFILE', 'DISK_ERROR', /ulimit -n/],
  ['EWHATEVER', 'DISK_ERROR', /EWHATEVER; check the disk/],
];

for (const [errno, code, text] of CASES) {
  t.test(`${errno} is ${code}, with the path and what to do`, async (t) => {
    const cause = Object.assign(new Error('from the machine'), { code: errno });
    const error = diskError(cause, 'write /d/f', '/d/f');
    t.match(error, { code, message: text, data: { path: '/d/f', errno }, cause });
  });
}

t.test('an error of ours passes as it is, and a nameless one is still told', async (t) => {
  const own = new IdunnoError('CORRUPT', 'damaged');
  t.equal(diskError(own, 'read /d/f', '/d/f'), own);
  t.match(diskError('odd', 'read /d/f', '/d/f'), { code: 'DISK_ERROR', message: /unknown/ });
});
