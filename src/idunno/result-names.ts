/** Names of result files: `results/JOB/TASK.jsonl`, TASK being the task's first query. Pure. */

const NAME = /^results\/(0|[1-9]\d{0,15})\/(0|[1-9]\d{0,15})\.jsonl$/;

/** What people ask for by this name; the bytes may lie elsewhere. */
export function resultFileName(job: number, task: number): string {
  return `results/${job}/${task}.jsonl`;
}

/** Undefined for any other name. */
export function parseResultName(name: string): { job: number; task: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { job: Number(match[1]), task: Number(match[2]) };
}
