// The model in the browser, on a thread of its own: pictures in, detections out.
// Asked {start: true} or {id, picture: Blob}; answers {progress}, {ready}, {id, found} or {id?, error}.

import * as ort from "./runtime/onnxruntime.js";
import { decode } from "./decoding.js";
import { Fault } from "./fault.js";
import { differences, undoBox } from "./letterbox.js";
import { bitmapRows, place } from "./placing.js";

ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/onnxruntime.wasm", import.meta.url).href };

let model = null;
let session = null;

async function start() {
  model = await (await get("./model.json", "", "no-cache")).json();
  if (differences(model.golden, model.canvas).length) {
    throw new Fault("This browser counts sizes otherwise than the model was trained with; nothing is detected.");
  }
  const weights = await download(model);
  postMessage({ progress: { stage: "starting" } });
  session = await ort.InferenceSession.create(weights, { executionProviders: ["wasm"] });
}

async function get(path, query = "", cache = "default") {
  let answer = null;
  try {
    answer = await fetch(new URL(path + query, import.meta.url), { cache });
  } catch {
    throw new Fault("The site does not answer. Check the connection, then load the page again.");
  }
  if (!answer.ok) throw new Fault(`The site has no ${path.replace("./", "")} (${answer.status}); write it again with foveal web.`);
  return answer;
}

// The digest in the address keeps a browser from taking another model, which it has kept of an earlier site.
async function download({ file, bytes, sha256 }) {
  const reader = (await get(`./${file}`, `?${sha256.slice(0, 16)}`)).body.getReader();
  const content = new Uint8Array(bytes);
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (length + part.value.length > bytes) break;
    content.set(part.value, length);
    length += part.value.length;
    postMessage({ progress: { stage: "loading", length, bytes } });
  }
  if (length !== bytes) throw new Fault("The model came damaged or cut off. Load the page again.");
  return content;
}

async function detect(picture) {
  const bitmap = await decode(picture);
  const { height, width } = bitmap;
  const placed = place(height, width, model.canvas, model.pad_value, bitmapRows(bitmap));
  bitmap.close();
  const found = await run(placed.planes, 1);
  const boxes = found.map(row => ({ ...row, box: undoBox(row.box, height, width, placed.size) }));
  return { width, height, detections: boxes };
}

// Detections of one picture on the canvas, in canvas pixels.
async function run(planes) {
  const images = new ort.Tensor("uint8", planes, [1, 3, model.canvas.height, model.canvas.width]);
  const { boxes, scores, labels, count } = await session.run({ images });
  return Array.from({ length: Number(count.data[0]) }, (_, row) => {
    const label = Number(labels.data[row]);
    const box = Array.from(boxes.data.subarray(4 * row, 4 * row + 4));
    return { box, score: scores.data[row], label, name: model.classes[label] };
  });
}

async function answer({ id, start: starting, picture, planes }) {
  try {
    if (starting) {
      await start();
      postMessage({ ready: model });
    } else {
      postMessage({ id, found: planes ? await run(planes) : await detect(picture) });
    }
  } catch (error) {
    postMessage({ id, error: error instanceof Fault ? error.message : `The model failed here: ${error.message ?? error}` });
  }
}

// One at a time: the runtime holds one set of buffers.
let last = Promise.resolve();
addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data));
});
