/** Charts and contact sheets: PNGs of the asked size that show what they were given. */
import t from 'tap';
import {
  type Bitmap,
  decodeImage,
  FONT_FACES,
  readImageHeader,
  registerFonts,
  renderBarChart,
  renderContactSheet,
  renderLineChart,
} from '../../src/image/index.js';
import { createDrawing, readPixels } from '../../src/image/index.js';
import { halves, pixelAt } from './support.js';

const LINE = [0, 1, 2, 3].map((x) => ({ x, y: x * x }));

/** Pixels within `reach` of a colour. */
function countNear(
  bitmap: Bitmap,
  color: readonly [number, number, number],
  reach: number,
): number {
  let count = 0;
  for (let i = 0; i < bitmap.rgba.length; i += 4) {
    const far = color.map((value, channel) => Math.abs((bitmap.rgba[i + channel] ?? 0) - value));
    if (Math.max(...far) <= reach) count += 1;
  }
  return count;
}

t.test('a chart is a PNG of the asked size with a line in its colour', async (t) => {
  const png = renderLineChart([{ label: 'lenet-1', points: LINE, color: '#ff0000' }], {
    width: 400,
    height: 200,
    title: 'rates',
    xLabel: 'seconds',
    yLabel: 'items/s',
  });
  t.same(readImageHeader(png), { format: 'png', size: { width: 400, height: 200 } });
  const bitmap = await decodeImage(png);
  t.same(pixelAt(bitmap, 0, 0), [255, 255, 255, 255], 'white paper');
  t.ok(countNear(bitmap, [255, 0, 0], 40) > 100);
});

t.test('bars are as long as their values, and nothing is drawn for none', async (t) => {
  const blue = async (values: readonly (number | null)[]) => {
    const bars = values.map((value) => ({ value, spread: 0.1 }));
    const options = { width: 500, height: 200, title: 'seconds', valueLabel: 'seconds' };
    const png = renderBarChart(['kill', 'join'], [{ label: 'here', bars }], options);
    return countNear(await decodeImage(png), [0, 114, 178], 10);
  };
  const both = await blue([4, 4]);
  const one = await blue([4, null]);
  t.ok(one > 100);
  t.ok(Math.abs(both - 2 * one) < both / 20, `${both} pixels of two bars, ${one} of one`);
  t.ok(Math.abs((await blue([4, 2])) - 1.5 * one) < both / 20);
});

t.test('a marker is drawn inside the axes and left out beyond them', async (t) => {
  const series = [{ label: 'a', points: LINE }];
  const render = async (x: number) =>
    countNear(
      await decodeImage(renderLineChart(series, { markers: [{ x, label: 'leader killed' }] })),
      [136, 136, 136],
      10,
    );
  t.ok((await render(1.5)) > (await render(99)) + 100);
});

t.test('the same chart gives the same bytes', (t) => {
  const options = {
    markers: [
      { x: 1, label: 'a' },
      { x: 1.1, label: 'b' },
    ],
    width: 300,
    height: 150,
  };
  const once = renderLineChart([{ label: 'a', points: LINE }], options);
  t.ok(once.equals(renderLineChart([{ label: 'a', points: LINE }], options)));
  t.end();
});

t.test('a chart of nothing, of one point and of gaps is still a chart', (t) => {
  t.ok(renderLineChart([]).length > 0);
  t.ok(renderLineChart([{ label: 'one', points: [{ x: 1, y: 1 }] }]).length > 0);
  t.ok(
    renderLineChart([
      {
        label: 'gap',
        points: [
          { x: 1, y: null },
          { x: 2, y: null },
        ],
      },
    ]).length > 0,
  );
  t.end();
});

t.test('a chart of an impossible size is refused', (t) => {
  t.throws(() => renderLineChart([], { width: 15 }), RangeError);
  t.throws(() => renderLineChart([], { height: 8193 }), RangeError);
  t.throws(() => renderLineChart([], { width: 100.5 }), RangeError);
  t.end();
});

t.test('a contact sheet has the size of its rows and columns', (t) => {
  const tile = { image: halves(20, 10, 'png'), caption: 'daisy 0.97' };
  const sizeOf = (count: number, options: Parameters<typeof renderContactSheet>[1]) =>
    readImageHeader(renderContactSheet(new Array(count).fill(tile), options))?.size;
  t.same(sizeOf(5, { columns: 3, tileSide: 50 }), { width: 10 + 3 * 60, height: 10 + 2 * 82 });
  t.same(sizeOf(3, { columns: 3, tileSide: 50, title: 'x' }), { width: 190, height: 46 + 82 });
  t.same(sizeOf(0, { columns: 1, tileSide: 16 }), { width: 36, height: 10 + 48 });
  t.end();
});

t.test(
  'good tiles are framed green, bad ones red, and a broken picture is crossed out',
  async (t) => {
    const image = halves(20, 20, 'png');
    const sheet = await decodeImage(
      renderContactSheet(
        [
          { image, caption: 'right', good: true },
          { image, caption: 'wrong', good: false },
          { image: new Uint8Array([1, 2, 3]), caption: 'broken', good: false },
          { image: image.subarray(0, 50), caption: 'cut off' },
        ],
        { columns: 4, tileSide: 40 },
      ),
    );
    t.same(pixelAt(sheet, 11, 20), [0, 158, 115, 255]);
    t.same(pixelAt(sheet, 61, 20), [214, 39, 40, 255]);
    t.same(pixelAt(sheet, 20, 30), [255, 0, 0, 255], 'the picture itself');
    t.ok(countNear(sheet, [204, 204, 204], 4) > 20, 'a cross');
  },
);

t.test('a sheet of too many tiles or a senseless layout is refused', (t) => {
  const tile = { image: new Uint8Array(), caption: '' };
  t.throws(() => renderContactSheet(new Array(1001).fill(tile)), RangeError);
  t.throws(() => renderContactSheet([tile], { columns: 0 }), RangeError);
  t.throws(() => renderContactSheet([tile], { tileSide: 5 }), RangeError);
  t.end();
});

t.test('every registered face draws in its own way', (t) => {
  registerFonts();
  registerFonts();
  const shapes = new Set(
    FONT_FACES.map(({ family, weight }) => {
      const drawing = createDrawing(60, 60);
      drawing.context.font = `${weight} 50px "${family}"`;
      drawing.context.fillText('8', 10, 50);
      return readPixels(drawing).join(',');
    }),
  );
  t.equal(shapes.size, FONT_FACES.length);
  t.end();
});
