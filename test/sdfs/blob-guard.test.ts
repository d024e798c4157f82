/** Deletion orders and writes that cross on the way. */
import t from 'tap';
import { BlobGuard } from '../../src/sdfs/blob-guard.js';

t.test('an order decided before a repair does not delete what the repair brings', async (t) => {
  const guard = new BlobGuard();
  guard.pin(7, 100);
  t.equal(guard.maybeCondemn(7, 99), false, 'an older decision');
  t.equal(guard.maybeCondemn(7, 100), false, 'the same state: the repair is in flight');
  t.equal(guard.maybeCondemn(7, 101), true, 'a newer decision');
});

t.test('an earlier leader is not heeded once a later one was heard', async (t) => {
  const guard = new BlobGuard();
  t.equal(guard.heeds(3), true);
  t.equal(guard.heeds(3), true);
  t.equal(guard.heeds(2), false);
  t.equal(guard.heeds(4), true);
});

t.test('writers of a condemned blob are stopped, and later ones refused', async (t) => {
  const guard = new BlobGuard();
  const writer = guard.admit(5);
  const other = guard.admit(6);
  guard.maybeCondemn(5, 10);
  t.equal(writer.signal.aborted, true);
  t.equal(other.signal.aborted, false);
  t.throws(() => guard.admit(5), { code: 'INTENT_CLOSED' });
  guard.leave(5, writer);
  guard.pin(5, 11);
  t.ok(guard.admit(5), 'a repair may bring it back');
});

t.test('pins that were forgotten for their number protect all the more', async (t) => {
  const guard = new BlobGuard();
  guard.pin(1, 500);
  for (let blob = 2; blob <= 10_001; blob += 1) guard.pin(blob, 0);
  t.equal(guard.maybeCondemn(1, 400), false);
  t.equal(guard.maybeCondemn(99_999, 500), false, 'also of blobs that had no pin');
  t.equal(guard.maybeCondemn(99_999, 501), true);
});
