/**
 * What the demonstration shows while it runs: on a terminal a view that redraws in place, else
 * plain lines now and then. Everything goes to stderr; stdout is for the result.
 */
import cliProgress from 'cli-progress';
import type { JobInfo } from '../src/idunno/index.js';

export interface LiveState {
  readonly jobs: readonly { job: JobInfo; rate: number }[];
  readonly gap: number | undefined;
  readonly leader: string | undefined;
  readonly nodesUp: number;
  readonly nodes: number;
}

const PLAIN_EVERY_MS = 2000;
const NAME_WIDTH = 7;

export class Screen {
  readonly #isTerminal = process.stderr.isTTY === true;
  readonly #startedMs = performance.now();
  #bars: cliProgress.MultiBar | undefined;
  readonly #barOf = new Map<number, cliProgress.SingleBar>();
  #status: cliProgress.SingleBar | undefined;
  #plainShownMs = 0;

  /** A line of its own that stays. */
  say(text: string): void {
    const line = `${((performance.now() - this.#startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}\n`;
    if (this.#bars === undefined) process.stderr.write(line);
    else this.#bars.log(line);
  }

  update(state: LiveState): void {
    if (this.#isTerminal) this.#draw(state);
    else if (performance.now() - this.#plainShownMs >= PLAIN_EVERY_MS) {
      this.#plainShownMs = performance.now();
      this.say(`${state.jobs.map(plainJob).join('; ')}; ${statusText(state)}`);
    }
  }

  /** Leaves the last picture standing and goes back to plain lines. */
  endLive(): void {
    this.#bars?.stop();
    this.#bars = undefined;
    this.#status = undefined;
    this.#barOf.clear();
  }

  #draw(state: LiveState): void {
    this.#bars ??= new cliProgress.MultiBar(
      {
        stream: process.stderr,
        format: '{name} [{bar}] {percentage}%  {value}/{total}  {rate}/s',
        barsize: 36,
        hideCursor: true,
        forceRedraw: true,
      },
      cliProgress.Presets.rect,
    );
    for (const { job, rate } of state.jobs) {
      let bar = this.#barOf.get(job.id);
      if (bar === undefined) {
        bar = this.#bars.create(job.queries, 0, {});
        this.#barOf.set(job.id, bar);
      }
      bar.update(job.queriesDone, { name: job.model.padEnd(NAME_WIDTH), rate: Math.round(rate) });
    }
    this.#status ??= this.#bars.create(1, 0, {}, { format: '        {text}' });
    this.#status.update(0, { text: statusText(state) });
  }
}

function plainJob({ job, rate }: LiveState['jobs'][number]): string {
  const percent = Math.floor((100 * job.queriesDone) / Math.max(1, job.queries));
  return `${job.model} ${percent} % (${Math.round(rate)}/s)`;
}

function statusText(state: LiveState): string {
  const gap = state.gap === undefined ? '' : `, rate gap ${(100 * state.gap).toFixed(1)} %`;
  const leader = state.leader === undefined ? 'no leader' : `${state.leader} leads`;
  return `${leader}, ${state.nodesUp} of ${state.nodes} nodes up${gap}`;
}
