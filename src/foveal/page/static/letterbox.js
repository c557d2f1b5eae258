// Where a picture lies on the model's canvas, and boxes back: the rule of the model's metadata, with its golden table.

// As Python's round(): a half goes to the even neighbour.
export function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

// Height and width of a picture on the canvas {height, width}.
export function scaledSize(height, width, canvas) {
  const scale = Math.min(canvas.height / height, canvas.width / width);
  return {
    height: Math.max(1, roundHalfEven(height * scale)),
    width: Math.max(1, roundHalfEven(width * scale)),
  };
}

// Rows [height, width, scaled height, scaled width] of the table in which this rule gives something else.
export function differences(golden, canvas) {
  return golden.filter(([height, width, ...expected]) => {
    const size = scaledSize(height, width, canvas);
    return size.height !== expected[0] || size.width !== expected[1];
  });
}

// A box in canvas pixels -> in the picture's, cut at its border; in single precision, as the Python side counts.
export function undoBox(box, height, width, size) {
  const scales = [Math.fround(size.width / width), Math.fround(size.height / height)];
  return box.map((side, place) => {
    const value = Math.fround(side / scales[place % 2]);
    return Math.min(Math.max(value, 0), place % 2 ? height : width);
  });
}
