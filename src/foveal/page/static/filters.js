// What of the detections is shown: a threshold, and classes switched on and off. Nothing is asked anew.

import { byId, element, named, swatch } from "./elements.js";

const PLAIN_THRESHOLD = 0.3; // of a class for which the model stores none, as in `foveal predict`

// The threshold of all classes, where it is one, and the slider has it; else null.
function commonThreshold(classes, stored) {
  const [first] = stored.values();
  const same = classes.every(name => stored.get(name) === first);
  return first !== undefined && same && Number(first.toFixed(2)) === first ? first : null;
}

// model: class names, thresholds, score_thresh. onchange(): something else is to be shown.
export function createFilters(model, colours, onchange) {
  const slider = byId("threshold");
  const own = byId("own-thresholds");
  const stored = new Map(Object.entries(model.thresholds ?? {}));
  const common = commonThreshold(model.classes, stored);
  if (common !== null) stored.clear(); // the slider says it all
  const hidden = new Set();
  let classes = "";

  const floor = model.score_thresh ?? 0;
  slider.min = Math.floor(floor * 100) / 100;
  slider.value = common ?? PLAIN_THRESHOLD;
  own.checked = stored.size > 0;
  byId("own-thresholds-row").hidden = stored.size === 0;

  const limit = name => (own.checked ? stored.get(name) ?? PLAIN_THRESHOLD : Number(slider.value));
  const over = ({ name, score }) => score > Math.fround(limit(name)); // scores are in single precision

  function changed() {
    byId("threshold-value").textContent = own.checked ? "by class" : Number(slider.value).toFixed(2);
    slider.setAttribute("aria-valuetext", own.checked ? "each class at its own" : Number(slider.value).toFixed(2));
    slider.classList.toggle("resting", own.checked);
    onchange();
  }

  slider.addEventListener("input", () => {
    own.checked = false;
    changed();
  });
  own.addEventListener("change", changed);
  byId("all-classes").addEventListener("click", () => {
    hidden.clear();
    redo();
  });
  byId("no-classes").addEventListener("click", () => {
    for (const box of byId("classes").querySelectorAll("input")) hidden.add(box.value);
    redo();
  });

  function redo() {
    for (const box of byId("classes").querySelectorAll("input")) box.checked = !hidden.has(box.value);
    onchange();
  }

  function checkbox(label) {
    const name = model.classes[label];
    const input = element("input", { type: "checkbox", on: {
      change: () => {
        if (input.checked) hidden.delete(name);
        else hidden.add(name);
        onchange();
      },
    } });
    input.value = name;
    input.checked = !hidden.has(name);
    const limits = stored.has(name) ? ` (its own threshold: ${stored.get(name).toFixed(2)})` : "";
    const text = named(name);
    text.title += limits;
    return element("label", { class: "class" }, input, swatch(colours[label % colours.length][0]), text, element("span", { class: "count" }));
  }

  // The classes that a picture has detections of, with how many are shown.
  function list(detections) {
    const labels = [...new Set(detections.map(({ label }) => label))].sort((a, b) => a - b);
    if (labels.join() !== classes) {
      classes = labels.join();
      byId("classes").replaceChildren(...labels.map(checkbox));
    }
    byId("class-filter").hidden = labels.length === 0;
    labels.forEach((label, place) => {
      const count = detections.filter(row => row.label === label && over(row)).length;
      byId("classes").children[place].lastChild.textContent = count;
    });
  }

  changed();
  return {
    list,
    shown: detections => detections.filter(row => over(row) && !hidden.has(row.name)),
    // As they are written into the file.
    limits: () => Object.fromEntries(model.classes.map(name => [name, limit(name)])),
    hidden: () => [...hidden],
  };
}
