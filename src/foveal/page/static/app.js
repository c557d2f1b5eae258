// The page: one picture on the stage, its detections beside it, more pictures in a row below.

import { createCamera } from "./camera.js";
import { decode } from "./decoding.js";
import { cocoFile, downloadJson, downloadPicture } from "./downloads.js";
import { byId, element, named } from "./elements.js";
import { Fault } from "./fault.js";
import { createFilters } from "./filters.js";
import { stepsOf } from "./gestures.js";
import { createIntake, showSamples } from "./intake.js";
import { createList } from "./list.js";
import { createQueue } from "./queue.js";
import { createStrip } from "./strip.js";
import { MOST_ZOOM, View } from "./view.js";
import { plural, summary } from "./words.js";

const SPEAK_AFTER = 400; // milliseconds without a change before the words follow a moving slider

const kind = document.querySelector('meta[name="engine"]').content;
const [{ connect, place }, colours, samples] = await Promise.all([
  import(`./engine_${kind}.js`), given("palette.json"), given("samples.json"),
]).catch(error => {
  byId("model-line").textContent = "A part of this page did not come. Load it again.";
  throw error;
});

byId("model-line").textContent = "";
let engine = null;
let ready = begin();

let [current, shown, selected, speaking] = [null, [], null, 0];
let filters = null;
const view = new View(byId("picture"), colours, { onselect: select, onzoom: zoomed });
const list = createList(colours, { onselect: select, onenter: row => view.zoomTo(row.box) });
const strip = createStrip({ onchoose: open, counted: ({ found }) => filters.shown(found.detections).length });
const queue = createQueue({ detect, onchange: changed });

createIntake({ onfiles: take, onfault: say });
createCamera({ ontake: (file, name) => take([{ file, name }]), onfault: say });
showSamples(samples, { onfiles: take, onfault: say });
const steps = stepsOf(view);
byId("zoom-in").addEventListener("click", steps.larger);
byId("zoom-out").addEventListener("click", steps.smaller);
byId("zoom-fit").addEventListener("click", steps.fit);
byId("again").addEventListener("click", again);
byId("remove").addEventListener("click", remove);
byId("download-json").addEventListener("click", () => downloadJson(cocoFile(done(), engine.model, filters)));
byId("download-picture").addEventListener("click", () => downloadPicture(current, shown, colours).catch(say));

// A file that comes with the page.
async function given(file) {
  return (await fetch(new URL(`./${file}`, import.meta.url))).json();
}

function begin() {
  const connecting = connect(loading).then(started);
  connecting.catch(say);
  return connecting;
}

async function detect(file, name) {
  await ready.catch(() => { ready = begin(); return ready; });
  return engine.detect(file, name);
}

function loading(sentence, share) {
  byId("loading").hidden = false;
  byId("loading-text").textContent = sentence;
  byId("loading-bar").value = share;
}

function started(connected) {
  engine = connected;
  say(null);
  const { model } = engine;
  byId("loading").hidden = true;
  byId("model-line").replaceChildren(named(model.name, "b"), ` runs ${place}`);
  document.title = `${model.name} · Foveal`;
  const facts = [
    ["Classes", model.classes.length > 12 ? `${model.classes.slice(0, 12).join(", ")} and ${model.classes.length - 12} more` : model.classes.join(", ")],
    ["Canvas", `${model.canvas.height} × ${model.canvas.width} pixels (height × width)`],
    ["Licence", model.licence], ["Run by", [model.backend, model.precision].filter(Boolean).join(", ")],
    ["Foveal", model.version], ["SHA-256", model.sha256],
  ];
  byId("facts").replaceChildren(...facts.filter(([, value]) => value).map(
    ([name, value]) => element("div", {}, element("dt", {}, name), element("dd", { dir: "auto" }, value)),
  ));
  byId("about").hidden = false;
  filters = createFilters(model, colours, refresh);
}

function take(files) {
  say(null);
  document.body.dataset.state = "pictures";
  open(queue.add(files));
}

// A picture onto the stage.
async function open(picture) {
  current = picture;
  for (const other of queue.pictures) strip.update(other, current);
  view.show(null);
  byId("picture-name").textContent = picture.name;
  refresh();
  const bitmap = await decode(picture.file).catch(() => null); // the engine says why, or could read it all the same
  if (current !== picture) return bitmap?.close();
  picture.unseen = bitmap === null;
  view.show(bitmap);
  refresh();
}

function changed(picture) {
  strip.update(picture, current);
  if (picture === current) refresh();
}

// Everything anew that depends on the picture and on what is shown of it.
function refresh() {
  const found = current?.found ?? null;
  shown = found === null ? [] : filters.shown(found.detections);
  if (!shown.includes(selected)) selected = null;
  byId("stage").dataset.state = current?.state ?? "none";
  byId("fault").hidden = current?.state !== "failed";
  byId("unseen").hidden = !(current?.state === "done" && current.unseen);
  write("fault-text", current?.state === "failed" ? faultOf(current) : "");
  byId("download-json").disabled = done().length === 0;
  byId("download-picture").disabled = found === null;
  byId("controls").hidden = found === null;
  if (found !== null) filters.list(found.detections);
  for (const picture of done()) strip.update(picture, current);
  byId("hint").hidden = shown.length === 0;
  update();
  clearTimeout(speaking);
  speaking = setTimeout(speak, SPEAK_AFTER);
}

function update() {
  view.update(shown, selected);
  list.update(shown, selected);
}

function select(row) {
  selected = row;
  update();
}

// The live region: once things have come to rest.
function speak() {
  const texts = { waiting: "Waiting …", running: "Looking …", failed: "", done: "" };
  if (current === null) return write("status", "No picture yet.");
  write("status", current.state === "done" ? summary(current, shown) : texts[current.state]);
  const seen = current.state === "done" ? plural(shown.length, "object") : "";
  byId("picture").setAttribute("aria-label", `${current.name}${seen && `, ${seen} marked`}. Plus and minus zoom, arrows move.`);
}

// Only what is new: a screen reader says again what is written again.
function write(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function zoomed(times) {
  byId("zoom-value").textContent = `${times < 10 ? times.toFixed(1).replace(".0", "") : Math.round(times)}×`;
  // Not `disabled`, which would take the focus from the button that was just pressed.
  for (const id of ["zoom-out", "zoom-fit"]) byId(id).setAttribute("aria-disabled", times === 1);
  byId("zoom-in").setAttribute("aria-disabled", times === MOST_ZOOM);
}

function again() {
  queue.again(current);
  byId("picture").focus({ preventScroll: true }); // the button goes away
}

function remove() {
  const place = queue.pictures.indexOf(current);
  queue.remove(current);
  strip.remove(current);
  const next = queue.pictures[Math.min(place, queue.pictures.length - 1)];
  if (next !== undefined) return open(next);
  current = null;
  document.body.dataset.state = "empty";
  view.show(null);
  refresh();
  byId("choose").focus();
}

const done = () => queue.pictures.filter(({ state }) => state === "done");

// An error that belongs to no picture; null: none any more.
function say(fault) {
  byId("alert").hidden = fault === null;
  write("alert", fault === null ? "" : sentence(fault));
  if (fault !== null && engine === null) byId("loading").hidden = true;
}

// The server's sentences begin with the file's name already.
function faultOf({ name, fault }) {
  return sentence(fault).startsWith(name) ? sentence(fault) : `${name}: ${sentence(fault)}`;
}

function sentence(fault) {
  return fault instanceof Fault ? fault.message : `Something went wrong in the page: ${fault.message}`;
}
