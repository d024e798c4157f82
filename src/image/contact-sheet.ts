/**
 * Contact sheets: many small pictures with captions on one PNG, right ones framed green and wrong
 * ones red, so that a person can judge a job's results at a glance.
 *
 * A picture that cannot be decoded becomes a crossed-out tile with its caption; it never fails
 * the sheet, because a sheet of results must show the bad inputs too.
 */
import type { Buffer } from 'node:buffer';
import { IdunnoError } from '../base/index.js';
import { createDrawing, type DrawingContext, encodePng } from './canvas.js';
import { openPicture } from './decode.js';
import { registerFonts, TEXT_FONT } from './fonts.js';

/** One picture. `good` frames it green (true) or red (false); absent: a grey frame. */
export interface Tile {
  readonly image: Uint8Array;
  readonly caption: string;
  readonly good?: boolean | undefined;
}

/** Layout, in pixels. The sheet is as tall as its rows need. */
export interface ContactSheetOptions {
  readonly title?: string | undefined;
  /** Default 8. */
  readonly columns?: number | undefined;
  /** Side of the square that a picture is fitted into; default 112. */
  readonly tileSide?: number | undefined;
}

/** Most tiles on one sheet: at the default size 1,000 are 1,000 × 17,000 pixels. */
export const TILES_MAX = 1000;

const GAP = 10;
const CAPTION_HEIGHT = 22;
const TITLE_HEIGHT = 36;
const FRAMES = { good: '#009e73', bad: '#d62728', unknown: '#bbbbbb' } as const;

/** Renders the sheet. Throws RangeError for more than TILES_MAX tiles or a senseless layout. */
export function renderContactSheet(
  tiles: readonly Tile[],
  options: ContactSheetOptions = {},
): Buffer {
  const { columns, side, width, height, top } = contactSheetLayout(tiles.length, options);
  registerFonts();
  const drawing = createDrawing(width, height);
  const { context } = drawing;
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, width, height);
  context.textBaseline = 'middle';
  if (options.title !== undefined) {
    context.font = `700 18px "${TEXT_FONT}"`;
    context.fillStyle = '#222222';
    context.fillText(fitText(context, options.title, width - 2 * GAP), GAP, TITLE_HEIGHT / 2 + 4);
  }
  for (const [index, tile] of tiles.entries()) {
    const x = GAP + (index % columns) * (side + GAP);
    const y = top + Math.floor(index / columns) * (side + CAPTION_HEIGHT + GAP);
    paintTile(context, tile, x, y, side);
  }
  return encodePng(drawing);
}

/** Sizes of a sheet of `count` tiles. */
function contactSheetLayout(count: number, options: ContactSheetOptions) {
  const side = options.tileSide ?? 112;
  const columns = options.columns ?? 8;
  if (count > TILES_MAX)
    throw new RangeError(`contact sheet: ${count} tiles, at most ${TILES_MAX}`);
  if (!Number.isInteger(columns) || columns < 1 || columns > 64) {
    throw new RangeError(`contact sheet: columns must be 1 to 64, is ${columns}`);
  }
  if (!Number.isInteger(side) || side < 16 || side > 512) {
    throw new RangeError(`contact sheet: tileSide must be 16 to 512, is ${side}`);
  }
  const rows = Math.max(1, Math.ceil(count / columns));
  const top = options.title === undefined ? GAP : TITLE_HEIGHT + GAP;
  const width = GAP + columns * (side + GAP);
  return { columns, side, top, width, height: top + rows * (side + CAPTION_HEIGHT + GAP) };
}

function paintTile(context: DrawingContext, tile: Tile, x: number, y: number, side: number): void {
  const frame = tile.good === undefined ? FRAMES.unknown : tile.good ? FRAMES.good : FRAMES.bad;
  context.fillStyle = '#f2f2f2';
  context.fillRect(x, y, side, side);
  if (!paintPicture(context, tile.image, x, y, side)) paintCross(context, x, y, side);
  context.strokeStyle = frame;
  context.lineWidth = 3;
  context.strokeRect(x + 1.5, y + 1.5, side - 3, side - 3);
  context.font = `13px "${TEXT_FONT}"`;
  context.fillStyle = tile.good === false ? FRAMES.bad : '#222222';
  context.fillText(fitText(context, tile.caption, side), x, y + side + CAPTION_HEIGHT / 2);
}

/** Fits the picture into the square, keeping its aspect; says whether it could be decoded. */
function paintPicture(
  context: DrawingContext,
  bytes: Uint8Array,
  x: number,
  y: number,
  side: number,
): boolean {
  try {
    const picture = openPicture(bytes);
    const scale = side / Math.max(picture.width, picture.height);
    const width = picture.width * scale;
    const height = picture.height * scale;
    context.quality = 'good';
    context.drawImage(
      picture.image,
      x + (side - width) / 2,
      y + (side - height) / 2,
      width,
      height,
    );
    return true;
  } catch (error) {
    if (error instanceof IdunnoError && error.code === 'BAD_IMAGE') return false;
    throw error;
  }
}

function paintCross(context: DrawingContext, x: number, y: number, side: number): void {
  context.strokeStyle = '#cccccc';
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + side, y + side);
  context.moveTo(x + side, y);
  context.lineTo(x, y + side);
  context.stroke();
}

/** Cuts a text to `width` pixels with an ellipsis. */
function fitText(context: DrawingContext, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 0 && context.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}
