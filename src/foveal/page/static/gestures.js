// Mouse, fingers and keys on the picture -> zooming, panning and pointing.

const STEP = 1.4; // of one press of a key or a button
const ARROW = 60; // pixels
const CLICK = 5; // pixels that a finger may move in a click
const ARROWS = { ArrowLeft: [ARROW, 0], ArrowRight: [-ARROW, 0], ArrowUp: [0, ARROW], ArrowDown: [0, -ARROW] };

// view: zoomAt(times, x, y), pan(x, y), isZoomed(), pointAt(x, y), hover(x, y), letGo(); in pixels of the canvas.
export function listenForGestures(canvas, view) {
  listenForKeys(canvas, view);
  listenForPointers(canvas, view);
  canvas.addEventListener("dblclick", event => view.zoomAt(2, event.offsetX, event.offsetY));
  canvas.addEventListener("wheel", event => {
    // Until one has zoomed in, the wheel scrolls the page; a pinch on a touchpad comes as a wheel with Ctrl.
    if (!event.ctrlKey && !event.metaKey && !view.isZoomed()) return;
    event.preventDefault();
    const turned = Math.max(-60, Math.min(60, event.deltaY));
    view.zoomAt(Math.exp(-turned / 150), event.offsetX, event.offsetY);
  }, { passive: false });
}

function listenForKeys(canvas, view) {
  canvas.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") view.zoomAt(STEP);
    else if (event.key === "-") view.zoomAt(1 / STEP);
    else if (event.key === "0") view.zoomAt(0);
    else if (event.key === "Escape") view.letGo();
    else if (event.key in ARROWS && view.isZoomed()) view.pan(...ARROWS[event.key]);
    else return;
    event.preventDefault();
  });
}

function listenForPointers(canvas, view) {
  const pointers = new Map();
  let moved = 0;

  canvas.addEventListener("pointerdown", event => {
    if (event.button !== 0) return; // another opens a menu, and may never come up again
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (pointers.size === 1) moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    const [x, y] = [event.offsetX, event.offsetY];
    if (!pointers.has(event.pointerId)) return view.hover(x, y);
    const [beforeX, beforeY] = pointers.get(event.pointerId);
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    if (others.length === 1) {
      const [otherX, otherY] = others[0];
      const gap = (px, py) => Math.hypot(px - otherX, py - otherY) || 1;
      view.zoomAt(gap(x, y) / gap(beforeX, beforeY), (x + otherX) / 2, (y + otherY) / 2);
    } else if (!others.length) {
      view.pan(x - beforeX, y - beforeY);
    }
    moved += Math.hypot(x - beforeX, y - beforeY) + others.length * CLICK;
    pointers.set(event.pointerId, [x, y]);
  });
  canvas.addEventListener("pointerup", event => {
    if (pointers.has(event.pointerId) && pointers.size === 1 && moved < CLICK) view.pointAt(event.offsetX, event.offsetY);
  });
  canvas.addEventListener("lostpointercapture", event => pointers.delete(event.pointerId)); // up, or taken away
}

export const stepsOf = view => ({ larger: () => view.zoomAt(STEP), smaller: () => view.zoomAt(1 / STEP), fit: () => view.zoomAt(0) });
