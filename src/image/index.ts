/**
 * Pictures: decoding, resizing, drawing, charts and contact sheets. The one module that touches
 * node-canvas (and, inside it, the one file `canvas.ts`).
 */
export { type Bar, type BarChartOptions, type BarSeries, renderBarChart } from './bar-chart.js';
export type { Bitmap } from './bitmap.js';
export {
  createDrawing,
  type Drawing,
  type DrawingContext,
  encodeJpeg,
  encodePng,
  readPixels,
} from './canvas.js';
export { type ContactSheetOptions, renderContactSheet, type Tile } from './contact-sheet.js';
export { type BadImageReason, decodeImage, PIXELS_MAX } from './decode.js';
export { FONT_FACES, registerFonts, TEXT_FONT } from './fonts.js';
export { type ImageFormat, type ImageHeader, readImageHeader } from './header.js';
export {
  type ChannelOrder,
  type CompleteInputSpec,
  channelCount,
  completeInputSpec,
  INPUT_SIDE_MAX,
  type InputSpec,
  type TensorLayout,
  tensorLength,
  tensorShape,
  validateInputSpec,
} from './input-spec.js';
export {
  type ChartMarker,
  type ChartSeries,
  type LineChartOptions,
  renderLineChart,
} from './line-chart.js';
export { createTensor, type TensorData, toTensor, writeTensor } from './to-tensor.js';
