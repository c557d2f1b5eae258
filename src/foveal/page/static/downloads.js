// What a person takes away: COCO JSON of all pictures, and the picture that is on the screen, with its boxes.

import { decode } from "./decoding.js";
import { element } from "./elements.js";
import { Fault } from "./fault.js";
import { paintBoxes, pictureStyle } from "./painting.js";
import { stem } from "./words.js";

const QUALITY = 0.92;

// COCO: images, categories, and annotations with scores, of what the filters let through. pictures: those done.
export function cocoFile(pictures, model, filters) {
  const ids = model.ids;
  const images = [];
  const annotations = [];
  for (const { name, found } of pictures) {
    images.push({ id: images.length + 1, file_name: name, width: found.width, height: found.height });
    for (const { box: [x1, y1, x2, y2], score, label } of filters.shown(found.detections)) {
      annotations.push({
        id: annotations.length + 1, image_id: images.length, category_id: ids[label],
        bbox: [x1, y1, x2 - x1, y2 - y1], area: (x2 - x1) * (y2 - y1), score, iscrowd: 0,
      });
    }
  }
  const info = { model: model.name, sha256: model.sha256, thresholds: filters.limits(), hidden_classes: filters.hidden() };
  return { info, images, categories: model.classes.map((name, label) => ({ id: ids[label], name })), annotations };
}

export function downloadJson(content) {
  save(new Blob([`${JSON.stringify(content, null, 1)}\n`], { type: "application/json" }), "detections.json");
}

// Fault where the browser cannot make a picture so large.
export async function downloadPicture(picture, shown, colours) {
  const bitmap = await decode(picture.file);
  const { width, height } = bitmap;
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const jpeg = /\.jpe?g$/i.test(picture.name);
  if (jpeg) {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  paintBoxes(context, shown, null, pictureStyle(width, height, shown.length, colours));
  const content = await new Promise(resolve => canvas.toBlob(resolve, jpeg ? "image/jpeg" : "image/png", QUALITY));
  if (content === null) throw new Fault("The browser cannot draw a picture so large; take the JSON, or foveal predict.");
  save(content, `${stem(picture.name)}_detections.${jpeg ? "jpg" : "png"}`);
}

function save(content, name) {
  const address = URL.createObjectURL(content);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
