// Boxes and their tags on a canvas, on the screen and in the picture that is downloaded alike.

import { placeTags } from "./tags.js";
import { shortened } from "./words.js";

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

// rows: {box, score, label, name} in the context's own pixels, best first; selected: one of them, or null.
// style: {line, font} in those pixels, width and height of what is seen, colours [[fill, ink], ...], frame: left, top,
// width and height of the picture, tagged: the share of what is seen that tags may take; the best come first.
export function paintBoxes(context, rows, selected, style) {
  const largestFirst = [...rows].sort((a, b) => area(b.box) - area(a.box)); // small ones inside stay whole
  for (const row of largestFirst) {
    if (row !== selected) outline(context, row, style, selected === null ? 1 : 0.45);
  }
  if (selected === null) {
    tags(context, rows, style);
  } else {
    highlight(context, selected, style);
    tags(context, [selected], style);
  }
}

// Line and letters for a picture that is seen at its own size: the rule of runtime/draw.py.
export function pictureStyle(width, height, count, colours) {
  const side = Math.sqrt(width * height);
  const few = count <= 12 ? 1 : Math.max(0.7, (12 / count) ** 0.25);
  const line = Math.max(count <= 40 ? 2 : 1, Math.round((side * few) / 200));
  const font = Math.max(count > 20 ? 9 : 10, Math.round((5 + side * 0.016) * few));
  return { line, font, width, height, frame: [0, 0, width, height], colours, tagged: Infinity };
}

const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

const colourOf = (row, { colours }) => colours[row.label % colours.length];

function outline(context, row, style, strength) {
  const [x1, y1, x2, y2] = row.box;
  context.globalAlpha = strength;
  context.lineJoin = "round";
  for (const [colour, line] of [["rgb(0 0 0 / 0.4)", style.line + 2], [colourOf(row, style)[0], style.line]]) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  context.globalAlpha = 1;
}

function highlight(context, row, style) {
  const [x1, y1, x2, y2] = row.box;
  context.fillStyle = "rgb(0 0 0 / 0.35)"; // the rest steps back
  context.beginPath();
  context.rect(...style.frame);
  context.rect(x1, y1, x2 - x1, y2 - y1);
  context.fill("evenodd");
  const rings = [["rgb(0 0 0 / 0.6)", 3 * style.line + 4], ["#fff", 3 * style.line], [colourOf(row, style)[0], 2 * style.line]];
  for (const [colour, line] of rings) {
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
}

function tags(context, all, style) {
  context.font = `600 ${style.font}px ${FONT}`;
  context.textBaseline = "middle";
  context.direction = "ltr";
  const pad = Math.max(3, Math.round(style.font * 0.35));
  const high = style.font + pad + 2;
  const texts = all.map(({ name, score }) => `${shortened(name)} ${score.toFixed(2)}`);
  const sizes = texts.map(text => [Math.min(Math.ceil(context.measureText(text).width) + 2 * pad, style.width), high]);
  let [count, room] = [0, style.tagged * style.width * style.height];
  while (count < all.length && (count === 0 || room > 0)) room -= sizes[count++][0] * high;
  const rows = all.slice(0, count);
  const places = placeTags(rows.map(row => row.box), sizes, style.width, style.height, style.line);
  for (let index = rows.length - 1; index >= 0; index--) { // the best lie on top
    if (places[index] === null) continue;
    const [left, top] = places[index];
    const [fill, ink] = colourOf(rows[index], style);
    context.fillStyle = fill;
    context.beginPath();
    context.roundRect(left, top, ...sizes[index], style.font * 0.25);
    context.fill();
    context.fillStyle = ink;
    context.fillText(texts[index], left + pad, top + high / 2 + style.font * 0.04, sizes[index][0] - 2 * pad);
  }
}
