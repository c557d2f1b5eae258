// Bilinear resizing of 8-bit pictures with antialiasing, in the whole numbers that torch and Pillow count in, so that
// the model sees the very pixels it was evaluated on: columns first, rounded to 8 bits, then rows.

// What each output place is made of: {first, count: Int32Array [places], weights: Int32Array [places * width], width,
// bits}; the weights of a place sum to about 2 ** bits.
export function taps(input, output) {
  const scale = input / output;
  const support = Math.max(scale, 1);
  const width = Math.ceil(support) * 2 + 1;
  const exact = new Float64Array(output * width);
  const first = new Int32Array(output);
  const count = new Int32Array(output);
  for (let place = 0; place < output; place++) {
    const centre = scale * (place + 0.5);
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const size = Math.min(Math.max(Math.min(Math.trunc(centre + support + 0.5), input) - start, 0), width);
    let total = 0;
    for (let j = 0; j < size; j++) {
      const distance = Math.abs((j + start - centre + 0.5) * (1 / support));
      exact[place * width + j] = distance < 1 ? 1 - distance : 0;
      total += exact[place * width + j];
    }
    for (let j = 0; j < size; j++) exact[place * width + j] /= total;
    first[place] = start;
    count[place] = size;
  }
  const bits = precision(exact);
  const weights = Int32Array.from(exact, weight => Math.trunc(0.5 + weight * 2 ** bits));
  return { first, count, weights, width, bits };
}

// As many bits as leave the largest weight within 16-bit numbers.
function precision(weights) {
  const largest = weights.reduce((most, weight) => Math.max(most, weight), 0);
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 1 << 15) bits++;
  return bits;
}

// Rows of RGBA pixels [rows, from, 4], each resized to `to` pixels, into RGB at row `top` of out [*, to, 3].
export function resizeRows(pixels, rows, from, to, plan, out, top) {
  for (let y = 0; y < rows; y++) {
    const line = y * from * 4;
    let target = (top + y) * to * 3;
    for (let x = 0; x < to; x++, target += 3) {
      if (plan === null) {
        out.set(pixels.subarray(line + x * 4, line + x * 4 + 3), target);
        continue;
      }
      const half = 1 << (plan.bits - 1);
      let [red, green, blue] = [half, half, half];
      let source = line + plan.first[x] * 4;
      const start = x * plan.width;
      for (let j = 0; j < plan.count[x]; j++, source += 4) {
        const weight = plan.weights[start + j];
        red += weight * pixels[source];
        green += weight * pixels[source + 1];
        blue += weight * pixels[source + 2];
      }
      out[target] = red >> plan.bits;
      out[target + 1] = green >> plan.bits;
      out[target + 2] = blue >> plan.bits;
    }
  }
}

// RGB [*, width, 3] -> its `to` rows, at the top left of the planes [3, canvas.height, canvas.width].
export function resizeColumns(pixels, width, to, plan, planes, canvas) {
  const area = canvas.height * canvas.width;
  for (let y = 0; y < to; y++) {
    for (let x = 0; x < width * 3; x++) {
      let value = pixels[y * width * 3 + x];
      if (plan !== null) {
        let sum = 1 << (plan.bits - 1);
        let source = plan.first[y] * width * 3 + x;
        const start = y * plan.width;
        for (let j = 0; j < plan.count[y]; j++, source += width * 3) sum += plan.weights[start + j] * pixels[source];
        value = sum >> plan.bits;
      }
      const channel = x % 3;
      planes[channel * area + y * canvas.width + (x - channel) / 3] = value;
    }
  }
}
