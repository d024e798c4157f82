/** The log in memory: against slow twins where it is clever, at its borders where it is not. */
import t from 'tap';
import { createSeededRng, type Rng } from '../../src/base/index.js';
import { NO_CONF } from '../../src/raft/conf.js';
import { RaftLog } from '../../src/raft/log.js';
import { entryOf } from './harness.js';

function randomTerms(rng: Rng, length: number): number[] {
  let term = 1;
  return Array.from({ length }, () => {
    if (rng.float() < 0.3) term += 1 + rng.int(3);
    return term;
  });
}

function logOf(terms: readonly number[], { index, term } = { index: 0, term: 0 }): RaftLog {
  return new RaftLog(
    { index, term, conf: NO_CONF },
    terms.map((entryTerm, at) => entryOf(index + at + 1, entryTerm)),
  );
}

t.test('up to date is the lexicographic order of (last term, last index)', (t) => {
  const rng = createSeededRng('up-to-date');
  for (let count = 0; count < 5_000; count += 1) {
    const log = logOf(randomTerms(rng, rng.int(6)));
    const [term, index] = [rng.int(5), rng.int(8)];
    const mine = log.lastTerm * 1_000 + log.lastIndex;
    if (log.isUpToDate(term, index) !== term * 1_000 + index >= mine) {
      t.fail(`${index}.${term} against ${log.lastIndex}.${log.lastTerm}`);
    }
  }
  t.end();
});

t.test('the point to back up to equals that of a linear search', (t) => {
  const rng = createSeededRng('back-up');
  for (let count = 0; count < 5_000; count += 1) {
    const snapshot = { index: rng.int(3), term: 1 };
    const log = logOf(randomTerms(rng, rng.int(20)), snapshot);
    const [from, term] = [rng.int(25), rng.int(12)];
    let slow = Math.min(from, log.lastIndex);
    while (slow > snapshot.index && (log.term(slow) ?? 0) > term) slow -= 1;
    slow = Math.max(slow, snapshot.index);
    if (log.lastIndexWithTermAtMost(from, term) !== slow) t.fail(`from ${from}, term ${term}`);
  }
  t.end();
});

t.test('backing up by terms never skips the last entry that two logs share', (t) => {
  const rng = createSeededRng('shared');
  for (let count = 0; count < 3_000; count += 1) {
    const shared = randomTerms(rng, rng.int(8));
    const grow = (): number[] => {
      const start = shared.at(-1) ?? 1;
      return [...shared, ...randomTerms(rng, rng.int(8)).map((term) => start + term)];
    };
    const [leader, follower] = [logOf(grow()), logOf(grow())];
    // Entries may agree by chance behind the shared part: then they are one log so far, as in Raft.
    let agree = 0;
    while (
      agree < Math.min(leader.lastIndex, follower.lastIndex) &&
      leader.term(agree + 1) === follower.term(agree + 1)
    ) {
      agree += 1;
    }
    let next = leader.lastIndex + 1;
    for (let rounds = 0; ; rounds += 1) {
      const prev = next - 1;
      const prevTerm = leader.term(prev) ?? 0;
      if (follower.term(prev) === prevTerm) break;
      const hint = follower.lastIndexWithTermAtMost(prev, prevTerm);
      const guess = leader.lastIndexWithTermAtMost(hint, follower.term(hint) ?? 0);
      if (guess < agree || guess >= prev || rounds > 20) {
        t.fail(`from ${prev} to ${guess}, they agree up to ${agree}`);
        break;
      }
      next = guess + 1;
    }
  }
  t.end();
});

t.test('what a disk has to do equals the difference between the logs, over any history', (t) => {
  const rng = createSeededRng('disk');
  for (let count = 0; count < 300; count += 1) {
    const log = logOf([1]);
    let disk = [1];
    for (let step = 0; step < 30; step += 1) {
      const choice = rng.int(3);
      if (choice === 0) log.append(entryOf(log.lastIndex + 1, log.lastTerm + rng.int(2)));
      else if (choice === 1 && log.lastIndex > 1) log.truncate(2 + rng.int(log.lastIndex - 1));
      else {
        const { truncateFrom, append } = log.takeUnpersisted();
        if (truncateFrom !== undefined) disk = disk.slice(0, truncateFrom - 1);
        for (const entry of append) {
          if (entry.index !== disk.length + 1) t.fail('a gap on the disk');
          disk.push(entry.term);
        }
        const terms = disk.map((_, at) => log.term(at + 1));
        if (log.lastIndex !== disk.length || terms.some((term, at) => term !== disk[at])) {
          t.fail(`${terms} against ${disk}`);
        }
      }
    }
  }
  t.end();
});

t.test('truncating takes back what was stable', (t) => {
  const log = logOf([1, 1, 1]);
  log.truncate(2);
  t.same([log.lastIndex, log.stable], [1, 1]);
  log.append(entryOf(2, 2));
  t.equal(log.stable, 1);
  t.same(log.takeUnpersisted(), { truncateFrom: 2, append: [entryOf(2, 2)] });
  log.markStable(2);
  t.equal(log.stable, 2);
  t.end();
});

t.test('entries that never left memory need no truncation on the disk', (t) => {
  const log = logOf([1]);
  log.append(entryOf(2, 2));
  log.truncate(2);
  log.append(entryOf(2, 3));
  t.same(log.takeUnpersisted(), { truncateFrom: undefined, append: [entryOf(2, 3)] });
  t.end();
});

t.test('a slice is bounded by entries and bytes, and never empty where there is an entry', (t) => {
  const log = new RaftLog(
    { index: 0, term: 0, conf: NO_CONF },
    [1, 2, 3, 4].map((index) => ({ ...entryOf(index, 1), data: new Uint8Array(1_000) })),
  );
  t.equal(log.slice(1, 3, 1e9).length, 3);
  t.equal(log.slice(2, 10, 2_500).length, 2);
  t.equal(log.slice(2, 10, 1).length, 1);
  t.equal(log.slice(5, 10, 1e9).length, 0);
  t.end();
});

t.test('compaction keeps the term of the last compacted entry and counts the bytes', (t) => {
  const log = logOf([1, 2, 3]);
  const before = log.bytes;
  log.compact(2);
  t.same([log.snapshotIndex, log.term(2), log.term(1), log.lastIndex], [2, 2, undefined, 3]);
  t.equal(log.bytes, before / 3);
  log.compact(3);
  t.same([log.lastIndex, log.lastTerm, log.bytes], [3, 3, 0]);
  t.end();
});

t.test('a gap, a falling term, and touching what is compacted are bugs', (t) => {
  const log = logOf([1, 2]);
  t.throws(() => log.append(entryOf(4, 2)), /gap/);
  t.throws(() => log.append(entryOf(3, 1)), /goes back/);
  log.compact(1);
  t.throws(() => log.truncate(1), /compacted/);
  t.throws(() => log.slice(1, 1, 1), /compacted/);
  t.throws(() => log.markStable(3), /never handed out/);
  t.end();
});
