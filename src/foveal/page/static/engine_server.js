// The model runs where this page came from.

import { Fault } from "./fault.js";
import { bytesOf } from "./promised.js";

export const place = "on the server that this page came from";

const GONE = "The server does not answer. Check that it runs, then try again.";
const TRIES = 4;
const LONGEST_WAIT = 5; // seconds, of what a busy server asks for

// {model, detect(picture: Blob, name) -> {width, height, detections}}.
export async function connect() {
  const answer = await request("v1/model");
  if (!answer.ok) throw new Fault(await reason(answer));
  return { model: await answer.json(), detect };
}

async function detect(picture, name) {
  for (let attempt = 1; ; attempt++) {
    const form = new FormData();
    form.append("file", picture, name);
    const answer = await request("v1/detect?all=true", { method: "POST", body: form }).catch(async fault => {
      await bytesOf(picture, 0, 1); // a file that cannot be read looks like a server that does not answer
      throw fault;
    });
    if (answer.status === 503 && attempt < TRIES) {
      const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 1, LONGEST_WAIT);
      await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
      continue;
    }
    if (!answer.ok) throw new Fault(await reason(answer));
    const found = await answer.json().then(said => said.pictures[0], () => null);
    if (!found) throw new Fault("The server's answer cannot be read. Is there another program at this address?");
    if (found.error) throw new Fault(found.error);
    return found;
  }
}

async function request(path, options) {
  try {
    return await fetch(new URL(`./${path}`, import.meta.url), options);
  } catch {
    throw new Fault(GONE);
  }
}

async function reason(answer) {
  const said = await answer.json().catch(() => ({}));
  const text = [said.error, said.detail, said.pictures?.[0]?.error].find(part => typeof part === "string");
  if (text) return text;
  if (answer.status === 413) return "The picture is larger than the server takes. Shrink it first.";
  if (answer.status === 415) return "The server does not take this kind of file. JPEG, PNG, WebP, BMP and TIFF work.";
  if (answer.status === 503) return "The server is busy. Try again in a moment.";
  if (answer.status === 404 || answer.status === 502) return GONE;
  return `The server could not detect on this picture (status ${answer.status}).`;
}
