/** The short table at the end, beside the published figures of the classic student systems. */
import Table from 'cli-table3';
import type { DemoResult } from './run.js';

export function describeTable(result: DemoResult): string {
  const table = new Table({
    head: ['measure', 'here', 'classic systems'],
    style: { head: [], border: [] },
  });
  const ms = (value: number): string => `${(value / 1000).toFixed(2)} s`;
  table.push(
    ['second job: first result after', ms(result.secondJobFirstResultMs), '6.28 s'],
    ['leader killed: next acknowledged write after', ms(result.failover.nextWriteMs), '6.79 s'],
    ['leader killed: next finished task after', ms(result.failover.nextTaskMs), '6.79 s'],
    ['gap between the rates of both jobs', `${(100 * result.rateGap).toFixed(1)} %`, '5.6 %'],
    ['queries per second, both jobs', result.itemsPerSecond.toFixed(0), ''],
    ...result.jobs.map((job) => [
      `accuracy of ${job.model} (${job.queries} queries)`,
      `${(100 * job.accuracy).toFixed(1)} %`,
      '',
    ]),
    [
      'acknowledged writes, lost / twice',
      `${result.acknowledgedWrites + result.fileVersions}, ${result.lostWrites} / ${result.duplicatedWrites}`,
      '',
    ],
    [
      'results missing / twice',
      `${result.missingResults} / ${result.duplicateResults}`,
      'up to 3 s of work',
    ],
  );
  return table.toString();
}
