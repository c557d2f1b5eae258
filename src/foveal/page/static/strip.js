// The row of small pictures, one button each.

import { decode } from "./decoding.js";
import { byId, element, named } from "./elements.js";

const SIDE = 64; // pixels of a small picture

const STATES = { waiting: "waiting", running: "being looked at", failed: "failed" };

// onchoose(picture); counted(picture): how many of its detections are shown.
export function createStrip({ onchoose, counted }) {
  const strip = byId("strip");
  const items = new Map();
  let last = Promise.resolve();

  function add(picture) {
    const canvas = element("canvas", { "aria-hidden": "true", width: SIDE, height: SIDE });
    const badge = element("span", { class: "badge" });
    const button = element("button", { type: "button", on: { click: () => onchoose(picture) } }, canvas, badge, named(picture.name, "span"));
    const item = element("li", {}, button);
    items.set(picture, { item, button, badge });
    strip.append(item);
    last = last.then(() => thumbnail(picture, canvas));
  }

  // Cropped to a square from the middle; what is no picture stays blank. One at a time: a hundred photographs,
  // decoded at once, fill gigabytes.
  async function thumbnail(picture, canvas) {
    if (!items.has(picture)) return;
    const bitmap = await decode(picture.file).catch(() => null);
    if (bitmap === null) return;
    const side = Math.min(bitmap.width, bitmap.height);
    [canvas.width, canvas.height] = [2 * SIDE, 2 * SIDE];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 2 * SIDE, 2 * SIDE);
    bitmap.close();
  }

  return {
    update(picture, current) {
      if (!items.has(picture)) add(picture);
      const { button, badge } = items.get(picture);
      const count = picture.state === "done" ? counted(picture) : null;
      button.dataset.state = picture.state;
      badge.textContent = count ?? { waiting: "…", running: "…", failed: "!" }[picture.state];
      button.setAttribute("aria-label", `${picture.name}: ${count === null ? STATES[picture.state] : `${count} shown`}`);
      if (picture === current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      byId("strip-row").hidden = items.size < 2;
    },
    remove(picture) {
      items.get(picture)?.item.remove();
      items.delete(picture);
      byId("strip-row").hidden = items.size < 2;
    },
  };
}
