/**
 * Line charts as PNG: rates of jobs over time, with vertical marks for what happened meanwhile
 * (`leader killed`, `job 2 started`). For reports and the demonstration; the dashboard draws its
 * own, live.
 *
 * chart.js does the axes, node-canvas the pixels; no animation, no timers, fonts from packages.
 * Synchronous, tens of milliseconds: not for a node's main thread.
 */
import type { Buffer } from 'node:buffer';
import {
  Chart,
  type ChartConfiguration,
  type ChartItem,
  Filler,
  Legend,
  LinearScale,
  LineController,
  LineElement,
  type Plugin,
  PointElement,
  Title,
} from 'chart.js';
import { createDrawing, encodePng } from './canvas.js';
import { registerFonts, TEXT_FONT } from './fonts.js';

/** One line: points in order of x. A y of null leaves a gap. */
export interface ChartSeries {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number | null }[];
  /** CSS colour; default: the next of a palette that colour-blind people can tell apart. */
  readonly color?: string | undefined;
  /** Dashed, for a bound or an ideal. */
  readonly isDashed?: boolean | undefined;
}

/** A vertical line with a caption at the top. */
export interface ChartMarker {
  readonly x: number;
  readonly label: string;
}

/** Size in pixels (16 to 8192 each) and texts; axes start at 0 unless values are negative. */
export interface LineChartOptions {
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly title?: string | undefined;
  readonly xLabel?: string | undefined;
  readonly yLabel?: string | undefined;
  readonly yMax?: number | undefined;
  readonly markers?: readonly ChartMarker[] | undefined;
}

/** Okabe and Ito's palette without its yellow, which is too light for lines on white. */
export const CHART_PALETTE: readonly string[] = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#e69f00',
  '#333333',
];
const SIDE_MAX = 8192;

Chart.register(Filler, Legend, LinearScale, LineController, LineElement, PointElement, Title);

/** Renders the chart. Throws RangeError when the size is out of bounds. */
export function renderLineChart(
  series: readonly ChartSeries[],
  options: LineChartOptions = {},
): Buffer {
  const width = options.width ?? 960;
  const height = options.height ?? 480;
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || side < 16 || side > SIDE_MAX) {
      throw new RangeError(`chart of ${width}×${height}: sides must be 16 to ${SIDE_MAX} pixels`);
    }
  }
  registerFonts();
  const drawing = createDrawing(width, height);
  // chart.js asks for the browser's type; node-canvas has all of it that a line chart uses.
  const item = drawing.context as unknown as ChartItem;
  const chart = new Chart(item, chartConfiguration(series, options));
  try {
    return encodePng(drawing);
  } finally {
    chart.destroy();
  }
}

function chartConfiguration(
  series: readonly ChartSeries[],
  options: LineChartOptions,
): ChartConfiguration<'line'> {
  const text = { family: TEXT_FONT, size: 13 };
  const axisTitle = (words: string | undefined) => ({
    display: words !== undefined,
    text: words ?? '',
    font: text,
  });
  return {
    type: 'line',
    data: {
      datasets: series.map((line, index) => {
        const color = line.color ?? CHART_PALETTE[index % CHART_PALETTE.length] ?? '#333333';
        return {
          label: line.label,
          data: line.points.map(({ x, y }) => ({ x, y: y ?? Number.NaN })),
          borderColor: color,
          backgroundColor: color,
          borderWidth: 2,
          borderDash: line.isDashed === true ? [6, 4] : [],
          pointRadius: line.points.length === 1 ? 3 : 0,
        };
      }),
    },
    options: {
      animation: false,
      responsive: false,
      devicePixelRatio: 1,
      layout: { padding: { top: 8, right: 16, bottom: 4, left: 4 } },
      font: text,
      scales: {
        x: { type: 'linear', title: axisTitle(options.xLabel), ticks: { font: text } },
        y: {
          type: 'linear',
          beginAtZero: true,
          grace: (options.markers ?? []).length > 0 ? '12%' : 0,
          ...(options.yMax === undefined ? {} : { max: options.yMax }),
          title: axisTitle(options.yLabel),
          ticks: { font: text },
        },
      },
      plugins: {
        legend: { display: series.length > 0, labels: { font: text, boxHeight: 2 } },
        title: chartTitle(options.title),
      },
    },
    plugins: [paper, markerPlugin(options.markers ?? [])],
  };
}

/** The heading of a chart, as an option of chart.js. */
export function chartTitle(text: string | undefined) {
  return {
    display: text !== undefined,
    text: text ?? '',
    font: { family: TEXT_FONT, size: 17, weight: 'bold' as const },
    color: '#222222',
  };
}

/** White under everything: transparent charts are unreadable on a dark page. */
export const paper: Plugin = {
  id: 'paper',
  beforeDraw({ ctx, width, height }) {
    ctx.fillStyle = '#ffffff';
    ctx.fillRect(0, 0, width, height);
  },
};

/** All lines first, then the captions over them, one below the other where they would overlap. */
function markerPlugin(markers: readonly ChartMarker[]): Plugin<'line'> {
  return {
    id: 'markers',
    afterDatasetsDraw({ ctx, chartArea, scales }) {
      const { x: axis } = scales;
      if (axis === undefined) return;
      const visible = markers
        .map(({ x, label }) => ({ x: axis.getPixelForValue(x), label }))
        .filter(({ x }) => x >= chartArea.left && x <= chartArea.right)
        .toSorted((a, b) => a.x - b.x);
      ctx.save();
      ctx.strokeStyle = '#888888';
      ctx.lineWidth = 1;
      ctx.setLineDash([4, 3]);
      for (const { x } of visible) {
        ctx.beginPath();
        ctx.moveTo(Math.floor(x) + 0.5, chartArea.top);
        ctx.lineTo(Math.floor(x) + 0.5, chartArea.bottom);
        ctx.stroke();
      }
      ctx.font = `12px "${TEXT_FONT}"`;
      ctx.textBaseline = 'top';
      const rowEnds: number[] = [];
      for (const { x, label } of visible) {
        const wide = ctx.measureText(label).width;
        const left = x + 4 + wide <= chartArea.right ? x + 4 : x - 4 - wide;
        const free = rowEnds.findIndex((end) => end < left);
        const row = free === -1 ? rowEnds.length : free;
        rowEnds[row] = left + wide + 4;
        const top = chartArea.top + 3 + row * 15;
        ctx.fillStyle = 'rgba(255, 255, 255, 0.8)';
        ctx.fillRect(left - 2, top - 1, wide + 4, 15);
        ctx.fillStyle = '#444444';
        ctx.fillText(label, left, top);
      }
      ctx.restore();
    },
  };
}
