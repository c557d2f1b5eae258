// The size that the first bytes of a picture file promise: a huge one is refused before memory is taken for it.

import { Fault } from "./fault.js";

const PNG = 0x89504e47;
const RIFF = 0x52494646;
const BMP = 0x424d;
const JPEG = 0xffd8;

// {width, height} as stored; null where the bytes are of another kind, or too few. Fault where they cannot be read.
export async function promisedSize(picture) {
  const head = await bytesOf(picture, 0, 32);
  if (head.byteLength < 30) return null;
  if (head.getUint32(0) === PNG) return { width: head.getUint32(16), height: head.getUint32(20) };
  if (head.getUint32(0) === RIFF) return webpSize(head);
  if (head.getUint16(0) === BMP) return { width: Math.abs(head.getInt32(18, true)), height: Math.abs(head.getInt32(22, true)) };
  return head.getUint16(0) === JPEG ? jpegSize(picture) : null;
}

// Some bytes of a Blob as a DataView.
export async function bytesOf(picture, start, count) {
  try {
    return new DataView(await picture.slice(start, start + count).arrayBuffer());
  } catch {
    throw new Fault("The file cannot be read: it was moved or changed meanwhile, or is a folder.");
  }
}

// RFC 9649: of an extended file, a lossless one, and a plain one.
function webpSize(head) {
  const kind = String.fromCharCode(...new Uint8Array(head.buffer, 12, 4));
  const three = place => head.getUint16(place, true) + (head.getUint8(place + 2) << 16);
  if (kind === "VP8X") return { width: three(24) + 1, height: three(27) + 1 };
  if (kind === "VP8 ") return { width: head.getUint16(26, true) & 0x3fff, height: head.getUint16(28, true) & 0x3fff };
  if (kind !== "VP8L") return null;
  const bits = head.getUint32(21, true);
  return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}

// From one segment to the next up to the frame's (ITU-T T.81, B.2.2); what stands before it may be megabytes.
async function jpegSize(picture) {
  let place = 2;
  while (place + 9 <= picture.size) {
    const segment = await bytesOf(picture, place, 9);
    const [mark, kind] = [segment.getUint8(0), segment.getUint8(1)];
    if (mark !== 0xff || kind === 0xda) return null;
    if (kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind)) {
      return { width: segment.getUint16(7), height: segment.getUint16(5) };
    }
    place += kind === 0xff ? 1 : 2 + segment.getUint16(2); // 0xff: fill bytes
  }
  return null;
}
