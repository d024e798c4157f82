/** A decoded picture as plain memory: no native handle, so it can be copied between threads. */

/** Pixels in RGBA order, not premultiplied, row by row from the top left; 4 × width × height bytes. */
export interface Bitmap {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
}
