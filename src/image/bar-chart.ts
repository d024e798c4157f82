/**
 * Bar charts as PNG: a few named measures, one bar per series, with spreads. For reports.
 * Lying bars, so that long names are readable. Synchronous, like line-chart.ts.
 */
import type { Buffer } from 'node:buffer';
import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  type ChartConfiguration,
  type ChartItem,
  Legend,
  LinearScale,
  type Plugin,
  Title,
} from 'chart.js';
import { createDrawing, encodePng } from './canvas.js';
import { registerFonts, TEXT_FONT } from './fonts.js';
import { CHART_PALETTE, chartTitle, paper } from './line-chart.js';

/** `value` null draws nothing; `spread` draws a line of that length to both sides of the end. */
export interface Bar {
  readonly value: number | null;
  readonly spread?: number | undefined;
}

export interface BarSeries {
  readonly label: string;
  /** One per name. */
  readonly bars: readonly Bar[];
}

export interface BarChartOptions {
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly title?: string | undefined;
  readonly valueLabel?: string | undefined;
}

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, Title);

export function renderBarChart(
  names: readonly string[],
  series: readonly BarSeries[],
  options: BarChartOptions = {},
): Buffer {
  registerFonts();
  const drawing = createDrawing(options.width ?? 960, options.height ?? 120 + 64 * names.length);
  // chart.js asks for the browser's type; node-canvas has all of it that a bar chart uses.
  const item = drawing.context as unknown as ChartItem;
  const chart = new Chart(item, configuration(names, series, options));
  try {
    return encodePng(drawing);
  } finally {
    chart.destroy();
  }
}

function configuration(
  names: readonly string[],
  series: readonly BarSeries[],
  options: BarChartOptions,
): ChartConfiguration<'bar'> {
  const font = { family: TEXT_FONT, size: 13 };
  return {
    type: 'bar',
    data: {
      labels: [...names],
      datasets: series.map(({ label, bars }, index) => ({
        label,
        data: bars.map(({ value }) => value),
        backgroundColor: CHART_PALETTE[index % CHART_PALETTE.length] ?? '#333333',
      })),
    },
    options: {
      indexAxis: 'y',
      animation: false,
      responsive: false,
      devicePixelRatio: 1,
      layout: { padding: { top: 8, right: 24, bottom: 4, left: 4 } },
      scales: {
        x: {
          beginAtZero: true,
          title: { display: options.valueLabel !== undefined, text: options.valueLabel, font },
          ticks: { font },
        },
        y: { ticks: { font } },
      },
      plugins: {
        legend: { display: series.length > 1, labels: { font, boxHeight: 8 } },
        title: chartTitle(options.title),
      },
    },
    plugins: [paper as Plugin<'bar'>, spreadPlugin(series)],
  };
}

/** The value beside each bar, and its spread as a line across its end. */
function spreadPlugin(series: readonly BarSeries[]): Plugin<'bar'> {
  return {
    id: 'spreads',
    afterDatasetsDraw(chart) {
      const { ctx } = chart;
      const axis = chart.scales['x'];
      if (axis === undefined) return;
      ctx.save();
      ctx.font = `12px "${TEXT_FONT}"`;
      ctx.textBaseline = 'middle';
      for (const [row, { bars }] of series.entries()) {
        for (const [at, { value, spread }] of bars.entries()) {
          const element = chart.getDatasetMeta(row).data[at];
          if (value === null || element === undefined) continue;
          const from = axis.getPixelForValue(Math.max(0, value - (spread ?? 0)));
          const to = axis.getPixelForValue(value + (spread ?? 0));
          ctx.strokeStyle = '#222222';
          ctx.beginPath();
          ctx.moveTo(from, element.y);
          ctx.lineTo(to, element.y);
          ctx.stroke();
          ctx.fillStyle = '#222222';
          ctx.fillText(value.toPrecision(3), to + 6, element.y);
        }
      }
      ctx.restore();
    },
  };
}
