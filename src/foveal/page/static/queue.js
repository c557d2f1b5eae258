// The pictures of this visit, detected on one after another.

// detect(file, name) -> found; onchange(picture): its state, or what was found, is new.
// A picture: {file, name, state: waiting | running | done | failed, found, fault, unseen: the browser cannot show it}.
export function createQueue({ detect, onchange }) {
  const pictures = [];
  let running = false;

  async function run() {
    if (running) return;
    running = true;
    for (let next = waiting(); next !== undefined; next = waiting()) {
      next.state = "running";
      onchange(next);
      try {
        next.found = await detect(next.file, next.name);
        next.found.detections.sort((a, b) => b.score - a.score);
        next.state = "done";
      } catch (error) {
        [next.state, next.fault] = ["failed", error];
      }
      if (pictures.includes(next)) onchange(next); // it may have been taken away meanwhile
    }
    running = false;
  }

  const waiting = () => pictures.find(({ state }) => state === "waiting");

  return {
    pictures,
    // New pictures; the first of them.
    add(files) {
      const added = files.map(({ file, name }) => ({ file, name, state: "waiting", found: null, fault: null, unseen: false }));
      pictures.push(...added);
      added.forEach(onchange);
      run();
      return added[0];
    },
    again(picture) {
      Object.assign(picture, { state: "waiting", fault: null });
      onchange(picture);
      run();
    },
    remove(picture) {
      pictures.splice(pictures.indexOf(picture), 1);
    },
  };
}
