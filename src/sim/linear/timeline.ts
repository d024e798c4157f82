/**
 * A history as one HTML page that needs nothing else: a row per client, a bar per operation from
 * call to return, numbered in the longest order that the checker found, the operation where it got
 * stuck in red. For people who look at a failed seed.
 */
import type { Interval, Model } from './model.js';
import type { Judgement } from './wgl.js';

export interface Chart<State, Action> {
  /** `register 1`, say. */
  readonly title: string;
  readonly history: readonly Interval<Action>[];
  readonly model: Model<State, Action>;
  readonly judgement: Judgement<Action>;
}

const ROW_PX = 34;
const BAR_PX = 22;
/** Before zooming; browsers draw up to some tens of thousands without trouble. */
const WIDTH_MAX_PX = 24_000;
const BAR_WIDTH_MIN_PX = 5;

export function renderTimeline<State, Action>(
  heading: string,
  charts: readonly Chart<State, Action>[],
): string {
  const body = charts.map((chart) => renderChart(chart)).join('\n');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escapeHtml(heading)}</title>
<style>${STYLE}</style>
<h1>${escapeHtml(heading)}</h1>
<p class="legend"><span class="bar ok">7 · write 3</span> took effect as the 7th of the longest
order that was found <span class="bar left">read → 2</span> not in that order
<span class="bar stuck">read → 1</span> where the search got stuck
<span class="bar ok open">write 4</span> never returned: may take effect later, or never
· Ctrl + wheel, or + and −, zoom</p>
${body}
<script>${SCRIPT}</script>
</html>
`;
}

function renderChart<State, Action>(chart: Chart<State, Action>): string {
  const { title, history, judgement } = chart;
  const clients = [...new Set(history.map(({ client }) => client))].sort();
  const times = history.flatMap(({ callAt, returnAt }) => [callAt, returnAt ?? callAt]);
  const fromMs = Math.min(...times);
  const toMs = Math.max(...times, fromMs + 1);
  const scale = WIDTH_MAX_PX / (toMs - fromMs);
  const places = new Map(judgement.order.map(({ id }, at) => [id, at + 1]));
  const bars = history.map((interval) =>
    renderBar(interval, chart, {
      row: clients.indexOf(interval.client),
      left: (interval.callAt - fromMs) * scale,
      width: ((interval.returnAt ?? toMs) - interval.callAt) * scale,
      place: places.get(interval.id),
    }),
  );
  const names = clients.map(
    (client, row) =>
      `<div class="client" style="top:${row * ROW_PX}px">${escapeHtml(client)}</div>`,
  );
  const height = clients.length * ROW_PX;
  return `<h2>${escapeHtml(title)}: ${judgement.verdict}</h2>
<div class="scroll"><div class="chart" style="height:${height}px" data-width="${WIDTH_MAX_PX}">
${names.join('\n')}
${bars.join('\n')}
</div></div>`;
}

function renderBar<State, Action>(
  interval: Interval<Action>,
  { model, judgement }: Chart<State, Action>,
  at: { row: number; left: number; width: number; place: number | undefined },
): string {
  const { id, callAt, returnAt, action } = interval;
  const isStuck = judgement.stuckAt?.id === id;
  const state = isStuck ? 'stuck' : at.place === undefined ? 'left' : 'ok';
  const text = model.describe(action);
  const until = returnAt === undefined ? 'never returned' : `returned ${returnAt.toFixed(3)} ms`;
  const title = `${text} · called ${callAt.toFixed(3)} ms, ${until}`;
  const label = at.place === undefined ? text : `${at.place} · ${text}`;
  const width = Math.max(BAR_WIDTH_MIN_PX, at.width);
  return (
    `<div class="bar ${state}${returnAt === undefined ? ' open' : ''}" title="${escapeHtml(title)}" ` +
    `data-left="${at.left.toFixed(1)}" data-width="${width.toFixed(1)}" ` +
    `style="top:${at.row * ROW_PX}px;left:${at.left.toFixed(1)}px;width:${width.toFixed(1)}px">` +
    `${escapeHtml(label)}</div>`
  );
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

const STYLE = `
body { font: 14px/1.5 system-ui, sans-serif; margin: 24px; color: #222; background: #fff; }
h1 { font-size: 18px; } h2 { font-size: 15px; margin: 24px 0 6px; }
.legend { color: #555; max-width: 70em; }
.scroll { overflow-x: auto; border: 1px solid #ccc; padding: 8px 0 8px 0; }
.chart { position: relative; min-width: 100%; }
.client { position: sticky; left: 0; width: 70px; height: 0; font-weight: 600; z-index: 2;
  pointer-events: none; color: #777; position: absolute; }
.bar { position: absolute; height: ${BAR_PX}px; box-sizing: border-box; overflow: hidden;
  white-space: nowrap; font-size: 11px; line-height: 20px; padding: 0 3px; border-radius: 3px;
  border: 1px solid #2c7a4b; background: #d9f0e1; }
.legend .bar { position: static; display: inline-block; margin: 0 2px 0 10px; }
.bar.left { border-color: #999; background: #eee; }
.bar.stuck { border-color: #b00020; background: #ffd7dc; z-index: 1; }
.bar.open { border-right: 3px dotted #555; opacity: .7; }
`;

const SCRIPT = `
let zoom = 1;
const draw = () => {
  for (const chart of document.querySelectorAll('.chart')) {
    chart.style.width = chart.dataset.width * zoom + 80 + 'px';
    for (const bar of chart.querySelectorAll('.bar')) {
      bar.style.left = 80 + bar.dataset.left * zoom + 'px';
      bar.style.width = Math.max(${BAR_WIDTH_MIN_PX}, bar.dataset.width * zoom) + 'px';
    }
  }
};
const by = (factor) => {
  const at = [...document.querySelectorAll('.scroll')];
  const middles = at.map((s) => (s.scrollLeft + s.clientWidth / 2) / zoom);
  zoom = Math.min(64, Math.max(1 / 32, zoom * factor));
  draw();
  at.forEach((s, i) => { s.scrollLeft = middles[i] * zoom - s.clientWidth / 2; });
};
addEventListener('keydown', (e) => {
  if (e.key === '+') by(1.5);
  if (e.key === '-') by(1 / 1.5);
});
addEventListener('wheel', (e) => {
  if (!e.ctrlKey) return;
  e.preventDefault();
  by(e.deltaY < 0 ? 1.2 : 1 / 1.2);
}, { passive: false });
draw();
for (const scroll of document.querySelectorAll('.scroll')) {
  const stuck = scroll.querySelector('.stuck');
  if (stuck) scroll.scrollLeft = stuck.offsetLeft - scroll.clientWidth / 2;
}
`;
