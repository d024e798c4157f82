/** `idunno job tasks`: the tasks of a job, and where their results are. */
import type { TaskInfo } from '../../idunno/index.js';
import { formatDecimal, formatTime, plural } from '../format.js';
import type { Column } from '../output.js';
import type { CommandContext, CommandSpec } from '../types.js';
import { ID, jobOf } from './job-id.js';

const LIMIT_MAX = 1_000_000;

const TASK_COLUMNS: readonly Column<TaskInfo>[] = [
  { title: 'task', value: (task) => String(task.task), align: 'right' },
  { title: 'queries', value: (task) => `${task.task}-${task.to - 1}` },
  { title: 'state', value: (task) => (task.isCut ? task.state : `${task.state}, not cut yet`) },
  { title: 'nodes', value: (task) => task.nodes.join(',') || '-' },
  { title: 'attempts', value: (task) => String(task.attempts), align: 'right' },
  { title: 'failed', value: (task) => String(task.queriesFailed), align: 'right' },
  {
    title: 'seconds',
    value: (task) => (task.seconds === undefined ? '-' : formatDecimal(task.seconds, 3)),
    align: 'right',
  },
  { title: 'output', value: (task) => task.file ?? '-' },
  {
    title: 'finished',
    value: (task) => (task.finishedMs === undefined ? '-' : formatTime(task.finishedMs)),
    wide: true,
  },
];

const tasks: CommandSpec = {
  noun: 'job',
  verb: 'tasks',
  summary: 'its tasks: Ready, Waiting, Success or Dead, who has them, and their output files',
  details: `Tasks are cut from the job when they are leased; what was never leased is the last line.
An output file is in the cluster as soon as its task is done:
  idunno file get results/7/0.jsonl -`,
  args: [ID],
  options: [{ flags: '--limit <n>', help: 'at most so many', default: '1000' }],
  async run(context) {
    const limit = context.numberOption('limit', { min: 1, max: LIMIT_MAX }) ?? 1_000;
    const { client, id } = await jobOf(context);
    const found: TaskInfo[] = [];
    let after: number | undefined;
    for (;;) {
      const page = await client.jobTasks(id, {
        limit: Math.min(limit - found.length, PAGE_TASKS),
        signal: context.signal,
        ...(after === undefined ? {} : { after }),
      });
      found.push(...page.tasks);
      after = page.next;
      if (after === undefined || found.length >= limit) break;
    }
    context.out.list('tasks', found, TASK_COLUMNS);
    if (after !== undefined) noteMore(context, found.length);
  },
};

const PAGE_TASKS = 1_000;

function noteMore(context: CommandContext, shown: number): void {
  context.out.note(`there are more than these ${plural(shown, 'task')}: see --limit`);
}

export const TASK_COMMANDS: readonly CommandSpec[] = [tasks];
