// A picture -> the tensor that the model takes.

import { scaledSize } from "./letterbox.js";
import { resizeColumns, resizeRows, taps } from "./resize.js";

const STRIP_PIXELS = 1 << 22; // pixels taken out of the picture at a time: browsers limit the size of a canvas

// [3, canvas.height, canvas.width] bytes of the canvas with the picture on it, and the picture's size there.
// rows(top, count) gives that many rows of the picture as RGBA bytes.
export function place(height, width, canvas, padValue, rows) {
  const size = scaledSize(height, width, canvas);
  const across = size.width === width ? null : taps(width, size.width);
  const down = size.height === height ? null : taps(height, size.height);
  const narrow = new Uint8ClampedArray(height * size.width * 3);
  const strip = Math.max(1, Math.floor(STRIP_PIXELS / width));
  for (let top = 0; top < height; top += strip) {
    const count = Math.min(strip, height - top);
    resizeRows(rows(top, count), count, width, size.width, across, narrow, top);
  }
  const planes = new Uint8ClampedArray(3 * canvas.height * canvas.width).fill(padValue);
  resizeColumns(narrow, size.width, size.height, down, planes, canvas);
  return { planes: new Uint8Array(planes.buffer), size };
}

// Reader of a bitmap's rows for `place`; what is transparent shows white.
export function bitmapRows(bitmap) {
  let context = null;
  return (top, count) => {
    if (context === null || context.canvas.height !== count) {
      context = new OffscreenCanvas(bitmap.width, count).getContext("2d", { willReadFrequently: true });
      context.fillStyle = "#fff";
    }
    context.fillRect(0, 0, bitmap.width, count);
    context.drawImage(bitmap, 0, -top);
    return context.getImageData(0, 0, bitmap.width, count).data;
  };
}
