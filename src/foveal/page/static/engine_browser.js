// The model runs in this browser; pictures stay on this machine.

import { Fault } from "./fault.js";

export const place = "in this browser: pictures stay on this machine";

// {model, detect(picture: Blob) -> {width, height, detections}}; report(sentence, share) tells how loading goes.
export async function connect(report) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let [number, broken] = [0, null];

  function ask(question) {
    if (broken !== null) return Promise.reject(broken);
    return new Promise((resolve, reject) => {
      waiting.set(question.id, { resolve, reject });
      worker.postMessage(question);
    });
  }

  worker.addEventListener("message", ({ data }) => {
    if (data.progress) return report(...progressText(data.progress));
    const asked = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error) asked.reject(new Fault(data.error));
    else asked.resolve(data.ready ?? data.found);
  });
  worker.addEventListener("error", event => {
    event.preventDefault();
    broken = new Fault("The model stopped in this browser, perhaps for want of memory. Load the page again.");
    for (const { reject } of waiting.values()) reject(broken);
    waiting.clear();
    worker.terminate();
  });

  try {
    const model = await ask({ start: true });
    return { model, detect: picture => ask({ id: ++number, picture }) };
  } catch (fault) {
    worker.terminate(); // the next try makes another
    throw fault;
  }
}

function progressText({ stage, length, bytes }) {
  if (stage === "starting") return ["Starting the model …", 1];
  const megabytes = count => (count / 1e6).toFixed(0);
  return [`Loading the model: ${megabytes(length)} of ${megabytes(bytes)} MB`, length / bytes];
}
