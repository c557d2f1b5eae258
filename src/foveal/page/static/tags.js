// Where the name tags of boxes go: at their box, inside the view, off each other where there is room.
// The same rule as in the pictures of `foveal predict` (runtime/tags.py).

const MOST_COVERED = 0.2; // a tag with a greater share under others could not be read, and is left out
const ORDER_COST = 0.01;
const BOX_COST = 0.1;

// Place [left, top] of each tag, or null. boxes: [x1, y1, x2, y2], best first; sizes: [width, height]; all in one
// unit, of which the view has width x height.
export function placeTags(boxes, sizes, width, height, line) {
  const taken = [];
  const areas = boxes.map(([x1, y1, x2, y2]) => Math.max(x2 - x1, 1) * Math.max(y2 - y1, 1));
  return boxes.map((box, index) => {
    const [wide, high] = sizes[index];
    let best = null;
    spots(box, wide, high, line).forEach(([wantedLeft, wantedTop], order) => {
      const left = Math.min(Math.max(Math.round(wantedLeft), 0), Math.max(0, width - wide));
      const top = Math.min(Math.max(Math.round(wantedTop), 0), Math.max(0, height - high));
      const spot = [left, top, left + wide, top + high];
      const covered = sum(taken, other => overlap(spot, other)) / (wide * high);
      const hidden = sum(boxes, (other, place) => overlap(spot, other) / areas[place]);
      const cost = covered + BOX_COST * hidden + ORDER_COST * order;
      if (best === null || cost < best.cost) best = { cost, covered, spot };
    });
    if (best.covered > MOST_COVERED) return null;
    taken.push(best.spot);
    return best.spot.slice(0, 2);
  });
}

function spots([x1, y1, x2, y2], wide, high, line) {
  const [left, right] = [x1 - line / 2, x2 + line / 2 - wide];
  const [above, below] = [y1 - line / 2 - high, y2 + line / 2];
  const [top, bottom] = [y1 - line / 2, y2 + line / 2 - high];
  const corners = [[left, above], [left, top], [left, below], [right, above], [right, top], [right, below]];
  corners.push([left, bottom], [right, bottom], [left - wide, top], [x2 + line / 2, top]);
  return above < 0 ? [...corners.slice(1), corners[0]] : corners; // no room on top: inside is looked at next
}

function overlap(first, second) {
  const wide = Math.min(first[2], second[2]) - Math.max(first[0], second[0]);
  const high = Math.min(first[3], second[3]) - Math.max(first[1], second[1]);
  return wide > 0 && high > 0 ? wide * high : 0;
}

function sum(items, value) {
  let total = 0;
  items.forEach((item, place) => { total += value(item, place); });
  return total;
}
