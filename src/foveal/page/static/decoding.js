// Picture files -> bitmaps, as the model sees them: upright, and without the colours of an embedded profile.

export const MOST_PIXELS = 100_000_000;

// An error whose message is a sentence for the person at the page.
export class Fault extends Error {}

// Bitmap of a Blob. Fault where it is no picture, or too large.
export async function decode(picture) {
  if (picture.size === 0) throw new Fault("The file is empty.");
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Fault("This is not a picture that the browser can read. JPEG, PNG, WebP and BMP work.");
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    const size = `${bitmap.width} × ${bitmap.height}`;
    bitmap.close();
    throw new Fault(`The picture is too large: ${size} pixels; up to ${MOST_PIXELS / 1e6} million work. Shrink it first.`);
  }
  return bitmap;
}
