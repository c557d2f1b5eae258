// Picture files -> bitmaps, as the model sees them: upright, and without the colours of an embedded profile.

import { Fault } from "./fault.js";
import { promisedSize } from "./promised.js";

const MOST_PIXELS = 100_000_000;
const LONGEST_SIDE = 32_767; // of a canvas, in the browser that allows least of those this was written for

// Bitmap of a Blob. Fault where it is no picture, or too large.
export async function decode(picture) {
  if (picture.size === 0) throw new Fault("The file is empty.");
  check(await promisedSize(picture));
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Fault("This is not a picture that the browser can read. JPEG, PNG, WebP and BMP work.");
  }
  try {
    check(bitmap);
  } catch (fault) {
    bitmap.close();
    throw fault;
  }
  return bitmap;
}

function check(size) {
  if (size === null || (size.width * size.height <= MOST_PIXELS && Math.max(size.width, size.height) <= LONGEST_SIDE)) return;
  const most = `${MOST_PIXELS / 1e6} million, and sides of ${LONGEST_SIDE}`;
  throw new Fault(`The picture is too large: ${size.width} × ${size.height} pixels; up to ${most}, work. Shrink it first.`);
}
