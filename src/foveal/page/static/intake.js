// Pictures come in: chosen, dropped, pasted, or one of the samples.

import { byId, element } from "./elements.js";
import { Fault } from "./fault.js";

// onfiles([{file, name}]), onfault(fault).
export function createIntake({ onfiles, onfault }) {
  const accept = files => onfiles(Array.from(files, file => ({ file, name: file.name || "pasted.png" })));

  const chooser = byId("choose");
  chooser.addEventListener("change", () => {
    if (chooser.files.length) accept(chooser.files);
    chooser.value = ""; // the same file may be chosen again
  });
  addEventListener("paste", event => {
    if (event.clipboardData.files.length) accept(event.clipboardData.files);
  });
  listenForDrops(accept, onfault);
}

function listenForDrops(accept, onfault) {
  let inside = 0; // elements under the pointer that the drag has entered
  const mark = () => document.body.classList.toggle("dropping", inside > 0);
  addEventListener("dragenter", event => {
    event.preventDefault();
    inside++;
    mark();
  });
  addEventListener("dragleave", () => {
    inside--;
    mark();
  });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => {
    event.preventDefault();
    inside = 0;
    mark();
    if (event.dataTransfer.files.length) accept(event.dataTransfer.files);
    else onfault(new Fault("Drop a file: pictures of other sites are not fetched. Save it first."));
  });
}

// Buttons for the pictures that come with the page. samples: [{file, name}].
export function showSamples(samples, { onfiles, onfault }) {
  byId("samples-row").hidden = samples.length === 0;
  byId("samples").replaceChildren(...samples.map(({ file, name }) => {
    const address = new URL(`./${file}`, import.meta.url);
    return element("li", {}, element("button", { type: "button", title: name, "aria-label": `Sample picture: ${name}`, on: {
      async click() {
        const answer = await fetch(address).catch(() => null);
        if (answer?.ok) onfiles([{ file: await answer.blob(), name }]);
        else onfault(new Fault("The sample picture did not come. Check that the server runs, then try again."));
      },
    } }, element("img", { src: address.href, alt: "", loading: "lazy", width: 72, height: 72 })));
  }));
}
