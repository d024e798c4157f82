/** The pictures that the demonstration leaves behind: rates over time, images with answers. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { renderContactSheet, renderLineChart } from '../src/image/index.js';
import type { DemoResult } from './run.js';

/** Writes `rates.png` and one contact sheet per job; returns their paths. */
export async function writePictures(result: DemoResult, folder: string): Promise<string[]> {
  const target = resolve(folder);
  mkdirSync(target, { recursive: true });
  const paths: string[] = [];
  const write = (name: string, bytes: Uint8Array): void => {
    writeFileSync(join(target, name), bytes);
    paths.push(join(target, name));
  };
  write('rates.png', ratesChart(result));
  for (const job of result.jobs) {
    write(
      `${job.model}.png`,
      await renderContactSheet(job.tiles, { title: job.model, columns: 10 }),
    );
  }
  return paths;
}

function ratesChart(result: DemoResult): Uint8Array {
  const series = result.jobs.map((job) => ({
    label: job.model,
    points: result.timeline.rates(job.id),
  }));
  return renderLineChart(series, {
    title: 'queries per second of both jobs',
    xLabel: 'seconds',
    yLabel: 'queries/s',
    markers: result.timeline.marks,
  });
}
