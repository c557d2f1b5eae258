// The picture with its boxes on a canvas that zooms and pans.

import { listenForGestures } from "./gestures.js";
import { paintBoxes } from "./painting.js";

const FONT = 13;
const LINES = [[20, 3], [60, 2], [Infinity, 1]]; // boxes in view up to which a line has so many pixels
export const MOST_ZOOM = 24; // times the size at which the picture fits
const TAGGED = 0.2; // of the view, that tags may take: more would hide what they name
const PIXELS_SHOWN = 3; // screen pixels of a picture's pixel from which it is drawn as a square

// onselect(row or null): a box was pointed at, or let go; onzoom(times): magnified by so much from where it fits.
export class View {
  constructor(canvas, colours, { onselect, onzoom }) {
    Object.assign(this, { canvas, colours, onselect, onzoom });
    this.context = canvas.getContext("2d");
    [this.bitmap, this.rows, this.selected] = [null, [], null];
    [this.zoom, this.left, this.top, this.asked] = [1, 0, 0, false];
    listenForGestures(canvas, this);
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  // A bitmap, which is the view's own from now on, or null; its boxes come with `update`.
  show(bitmap) {
    this.bitmap?.close();
    [this.bitmap, this.rows, this.selected] = [bitmap, [], null];
    this.canvas.classList.remove("over-box");
    if (bitmap !== null) this.canvas.parentElement.style.setProperty("--aspect", `${bitmap.width} / ${bitmap.height}`);
    this.zoomAt(0);
    this.redraw();
  }

  // The boxes, best first, and the one that is highlighted, or null.
  update(rows, selected) {
    [this.rows, this.selected] = [rows, selected];
    this.redraw();
  }

  isZoomed() {
    return this.zoom > 1;
  }

  // Canvas pixels of a picture's pixel.
  scale() {
    const { canvas, bitmap, zoom } = this;
    return zoom * Math.min(canvas.clientWidth / bitmap.width, canvas.clientHeight / bitmap.height);
  }

  zoomAt(times, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (this.bitmap === null) return;
    const before = this.scale();
    this.zoom = Math.min(Math.max(this.zoom * times, 1), MOST_ZOOM);
    this.left = x - ((x - this.left) * this.scale()) / before;
    this.top = y - ((y - this.top) * this.scale()) / before;
    this.canvas.classList.toggle("zoomed", this.isZoomed());
    this.onzoom(this.zoom);
    this.redraw();
  }

  // So near that a box fills about half of the canvas.
  zoomTo([x1, y1, x2, y2]) {
    const { clientWidth, clientHeight } = this.canvas;
    this.zoomAt(Math.min(clientWidth / (x2 - x1), clientHeight / (y2 - y1)) / 2 / this.scale());
    this.left = clientWidth / 2 - ((x1 + x2) / 2) * this.scale();
    this.top = clientHeight / 2 - ((y1 + y2) / 2) * this.scale();
    this.redraw();
  }

  pan(x, y) {
    this.left += x;
    this.top += y;
    this.redraw();
  }

  pointAt(x, y) {
    this.onselect(this.boxAt(x, y));
  }

  hover(x, y) {
    this.canvas.classList.toggle("over-box", this.boxAt(x, y) !== null);
  }

  letGo() {
    this.onselect(null);
  }

  // The smallest box under a point.
  boxAt(x, y) {
    if (this.bitmap === null) return null;
    const [px, py] = [(x - this.left) / this.scale(), (y - this.top) / this.scale()];
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    const hit = this.rows.filter(({ box }) => box[0] <= px && px <= box[2] && box[1] <= py && py <= box[3]);
    return hit.sort((a, b) => area(a) - area(b))[0] ?? null;
  }

  redraw() {
    if (!this.asked) requestAnimationFrame(() => this.draw());
    this.asked = true;
  }

  draw() {
    const { canvas, context, bitmap } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    this.asked = false;
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    if (bitmap === null || !width || !height) return;
    this.keepInside();
    const scale = this.scale();
    const frame = [this.left, this.top, bitmap.width * scale, bitmap.height * scale];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.imageSmoothingEnabled = scale < PIXELS_SHOWN;
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, ...frame);
    const toScreen = ([x1, y1, x2, y2]) => [x1 * scale + this.left, y1 * scale + this.top, x2 * scale + this.left, y2 * scale + this.top];
    const seen = this.rows.map(row => ({ ...row, row, box: toScreen(row.box).map(Math.round) }))
      .filter(({ box }) => box[2] > 0 && box[3] > 0 && box[0] < width && box[1] < height);
    const chosen = seen.find(({ row }) => row === this.selected) ?? null;
    const [, line] = LINES.find(([most]) => seen.length <= most);
    paintBoxes(context, seen, chosen, { line, font: FONT, width, height, frame, colours: this.colours, tagged: TAGGED });
  }

  // In the middle where the picture is smaller than the canvas, without gaps where it is larger.
  keepInside() {
    const place = (shift, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, shift)));
    this.left = place(this.left, this.bitmap.width * this.scale(), this.canvas.clientWidth);
    this.top = place(this.top, this.bitmap.height * this.scale(), this.canvas.clientHeight);
  }
}
